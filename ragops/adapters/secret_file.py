"""A file of secrets that changes while a service runs: one value a line, the first is the one to send."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SECONDS = 1.0


class ReloadingSecretFile:
    """The lines of a file, read again once a second at most; the last good ones stay if it cannot be read."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._checked = clock()
        self._seen: tuple[int, int, int] | None = None
        self._lines: tuple[str, ...] = ()
        self._read()

    def lines(self) -> tuple[str, ...]:
        """Return its lines that are not empty. Raises OSError if it could never be read."""
        if self._clock() - self._checked >= _SECONDS:
            self._checked = self._clock()
            with contextlib.suppress(OSError, ValueError):
                self._read()
        return self._lines

    def first(self) -> str:
        """Return the value to send, empty if there is none."""
        return next(iter(self.lines()), "")

    def _read(self) -> None:
        with self._path.open() as stream:
            info = os.fstat(stream.fileno())
            seen = (info.st_mtime_ns, info.st_ino, info.st_size)
            if seen == self._seen:
                return
            lines = tuple(line.strip() for line in stream if line.strip())
        if lines or self._seen is None:
            self._seen, self._lines = seen, lines
