"""Streams that hash, compress or decompress their bytes and keep their first failure."""

from __future__ import annotations

import hashlib
import io
import math
from typing import TYPE_CHECKING, Any, BinaryIO

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.adapters.streams import ByteReader, ByteWriter

BLOCK = 1 << 20
_LEVEL = 1
_WINDOW = 1 << 27  # bytes of memory that reading may take; ours are written with far less


class TeeReader:
    """A source whose bytes go to `also` too when they are read."""

    def __init__(self, source: ByteReader, also: Callable[[bytes], None]) -> None:
        self._source = source
        self._also = also

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, none at the end; the end is not passed on."""
        if block := self._source.read(size):
            self._also(block)
        return block


class ErrorKeepingStream:
    """A stream that keeps its first failure: a library may write on, and that fails for other reasons."""

    failure: BaseException | None = None

    def _record_failure(self, error: BaseException) -> BaseException:
        self.failure = self.failure or error
        return error


class CompressingReader(io.RawIOBase, ErrorKeepingStream):
    """A source, compressed as it is read; `size` and `sha256` are of the source."""

    def __init__(self, source: ByteReader, on_bytes: Callable[[int], None]) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()
        self._source = source
        self._on_bytes = on_bytes
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()
        self._ready = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some of the compressed bytes; 0 at the end."""
        try:
            while not self._ready and not self._ended:
                self._ready = memoryview(self._next())
        except BaseException as error:
            raise self._record_failure(error) from None
        taken = self._ready[: len(buffer)]
        buffer[: len(taken)] = taken
        self._ready = self._ready[len(taken) :]
        return len(taken)

    def _next(self) -> bytes:
        block = self._source.read(BLOCK)
        if not block:
            self._ended = True
            return self._compressor.flush()
        self.sha256.update(block)
        self.size += len(block)
        self._on_bytes(len(block))
        return self._compressor.compress(block)


class TooLongError(Exception):
    """More comes out than was put in: not ours, and perhaps meant to fill the disk."""


class HashingWriter(ErrorKeepingStream):
    """A target whose bytes are counted on the way, at most `limit` of them."""

    def __init__(self, target: ByteWriter, limit: float = math.inf) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()
        self._target = target
        self._limit = limit

    def write(self, data: bytes) -> int:
        """Take all of it. Raises TooLongError, and what the target raises."""
        if self.size + len(data) > self._limit:
            raise self._record_failure(TooLongError("it is longer than its manifest states"))
        try:
            self._target.write(data)
        except BaseException as error:
            raise self._record_failure(error) from None
        self.sha256.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: the target is flushed by its owner."""


class HashingReader(io.RawIOBase, ErrorKeepingStream):
    """A stored file whose bytes are counted as they are read."""

    def __init__(self, stored: BinaryIO, on_bytes: Callable[[int], None]) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()
        self._stored = stored
        self._on_bytes = on_bytes

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some of the stored bytes; 0 at the end."""
        try:
            block = self._stored.read(len(buffer))
            self.sha256.update(block)
        except BaseException as error:
            raise self._record_failure(error) from None
        buffer[: len(block)] = block
        self.size += len(block)
        self._on_bytes(len(block))
        return len(block)

    def drain(self) -> None:
        """Read to the end, for the checksum's sake."""
        while self.read(BLOCK):
            pass


class DecompressingWriter(ErrorKeepingStream):
    """A target of compressed bytes that writes them decompressed to `plain`, in blocks: little can become much."""

    def __init__(self, plain: HashingWriter) -> None:
        self._writer = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_writer(plain, closefd=False)  # type: ignore[arg-type]

    def write(self, data: bytes) -> int:
        """Take all of it, and write what comes out of it."""
        try:
            self._writer.write(data)
        except BaseException as error:
            raise self._record_failure(error) from None
        return len(data)

    def flush(self) -> None:
        """Do nothing: the target is flushed by its owner."""
