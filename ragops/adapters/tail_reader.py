"""A reader of a file that is still being written."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, BinaryIO

from ragops.adapters import cancellation
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from pathlib import Path

_POLL = 0.02


class TailReader:
    """The file `path`, which may not be there yet; its end is where it ends once `finish` was called."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._finished = threading.Event()
        self._abandoned = False

    def finish(self) -> None:
        """Report that its writer has finished."""
        self._finished.set()

    def abandon(self) -> None:
        """Report that the writer has failed: a reader gives up."""
        self._abandoned = True
        self._finished.set()

    def read(self, size: int) -> bytes:
        """`size` bytes as soon as there are so many, fewer at the end. Raises RagopsError (part_abandoned), OSError."""
        while True:
            finished = self._finished.is_set()  # before the look: what was written until then is seen by it
            if self._abandoned:
                raise RagopsError("part_abandoned", f"{self._path.name} was not written to its end")
            stream = self._open(finished)
            if stream is not None and (finished or self._unread_bytes() >= size):
                return stream.read(size)  # a regular file gives all that it has
            self._finished.wait(_POLL)
            cancellation.check()

    def _unread_bytes(self) -> int:
        """Bytes that have not been read."""
        return os.fstat(self._file.fileno()).st_size - self._file.tell() if self._file else 0

    def _open(self, finished: bool) -> BinaryIO | None:
        if self._file is None:
            try:
                self._file = self._path.open("rb", buffering=0)
            except FileNotFoundError:
                if finished:
                    raise
        return self._file

    def __enter__(self) -> TailReader:
        """Itself."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()
