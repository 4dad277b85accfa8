"""Protocols of byte streams that are read and written in blocks."""

from __future__ import annotations

from typing import Protocol


class ByteReader(Protocol):
    """A source of bytes, read in blocks."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end."""


class ByteWriter(Protocol):
    """A target of bytes."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""
