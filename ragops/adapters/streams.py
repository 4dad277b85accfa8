"""What bytes come from and go to, block by block."""

from __future__ import annotations

from typing import Protocol


class ByteReader(Protocol):
    """What is read from, in blocks."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end."""


class ByteWriter(Protocol):
    """What is written to."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""
