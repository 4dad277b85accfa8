"""What one conversion may use. Values that no real document comes near, so that only bombs meet them."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """Seconds of processor time and of waiting, bytes of memory, bytes of text as UTF-8.

    Each MiB of the file adds a second of processor time and 4 MiB of memory. Memory is address space, with Python and
    the libraries in it: 300 MiB before the first file.
    """

    processor_seconds: int = 30
    seconds: float = 180.0
    memory: int = 1536 << 20
    text: int = 128 << 20
