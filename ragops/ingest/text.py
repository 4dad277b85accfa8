"""Reading one file as UTF-8 text, in blocks, with its hash."""

from __future__ import annotations

import codecs
import os
import stat
from hashlib import sha256
from typing import TYPE_CHECKING

from ragops.ingest.walk import modified_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

LARGEST_FILE = 64 << 20
_TOO_LARGE = f"larger than {LARGEST_FILE >> 20} MiB"
_BLOCK = 1 << 16


class UnusableDocumentError(Exception):
    """A document that cannot become chunks; the text says why, for its row and the report."""


class TextFile:
    """One pass over the file at `path`; after it `sha256`, `size` (bytes) and `modified` are those of what was read.

    Iterating raises UnusableDocumentError if it cannot be read, is too large, binary or not UTF-8.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sum = sha256()
        self.size = 0
        self.modified: datetime | None = None

    @property
    def sha256(self) -> str:
        """Of the bytes that were read so far, hexadecimal."""
        return self._sum.hexdigest()

    def __iter__(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        try:
            for block in self._blocks():
                if b"\0" in block:
                    raise UnusableDocumentError(f"binary: a NUL byte at {self.size + block.index(0)}")
                self.size += len(block)
                yield decoder.decode(block)
            yield decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            place = self.size - len(error.object) + error.start
            raise UnusableDocumentError(f"not UTF-8: byte 0x{error.object[error.start]:02x} at {place}") from error
        except OSError as error:
            raise UnusableDocumentError(f"cannot be read: {error.strerror}") from error

    def _blocks(self) -> Iterator[bytes]:
        # Do not wait for a writer if the file has become a pipe in between.
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnusableDocumentError("not a regular file")
            # As it was before the first byte: a later change shows in the next run.
            self.modified = modified_at(status)
            if status.st_size > LARGEST_FILE:
                raise UnusableDocumentError(_TOO_LARGE)
            while block := stream.read(_BLOCK):
                if self.size + len(block) > LARGEST_FILE:
                    raise UnusableDocumentError(_TOO_LARGE)
                self._sum.update(block)
                yield block


def inspect(path: Path) -> TextFile:
    """Read all of it and keep nothing but hash, size and time. Raises UnusableDocumentError."""
    file = TextFile(path)
    for _ in file:
        pass
    return file
