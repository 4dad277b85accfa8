"""A file that is read again when it changes, looked at once a second at most."""

from __future__ import annotations

import logging
import math
import os
from typing import TYPE_CHECKING, Generic, TypeVar

from ragops.api.logs import log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ragops.api.clock import Clock

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_SECONDS = 1.0


class ReloadingFile(Generic[T]):
    """The parsed content of a file; `empty` if there is none.

    A file that cannot be parsed (ValueError) changes nothing: the last good content stays, and the log has the reason.
    """

    def __init__(self, path: Path, parse: Callable[[bytes], T], empty: T, clock: Clock) -> None:
        self._path = path
        self._parse = parse
        self._empty = empty
        self._clock = clock
        self._checked = -math.inf
        self._seen: tuple[int, int, int] | None = None
        self._value = empty
        self.value()

    def value(self) -> T:
        """Return the content of the file, at most a second old."""
        now = self._clock.monotonic()
        if now - self._checked >= _SECONDS:
            self._checked = now
            self._look()
        return self._value

    def _look(self) -> None:
        try:
            with self._path.open("rb") as stream:
                info = os.fstat(stream.fileno())
                seen = (info.st_mtime_ns, info.st_ino, info.st_size)
                content = stream.read() if seen != self._seen else None
        except OSError as error:
            if self._seen is not None or self._value is self._empty:
                log(_LOG, logging.ERROR, "file_unreadable", path=str(self._path), reason=error.strerror)
            self._seen, self._value = None, self._empty
            return
        self._seen = seen
        if content is not None:
            self._read(content)

    def _read(self, content: bytes) -> None:
        try:
            self._value = self._parse(content)
        except ValueError as error:
            # Neither the content nor the parser's message, which may quote it.
            log(_LOG, logging.ERROR, "file_not_valid", path=str(self._path), reason=type(error).__name__)
        else:
            log(_LOG, logging.INFO, "file_read", path=str(self._path))
