"""The two-way connection to a command inside a container: frames of stdout and stderr in, stdin out."""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator

    from ragops.adapters.streams import ByteReader, ByteWriter

_HEADER = 8
_STDERR = 2
_BLOCK = 1 << 18


class BlockingReader:
    """A source whose `read` may block; `close` ends it."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def close(self) -> None:
        """End the source: the exchange is over, or is to end."""
        self.over.set()


class OpenStdin(BlockingReader):
    """A source without data that does not end before the conversation: the command notices when we are gone."""

    def read(self, size: int, /) -> bytes:  # noqa: ARG002  part of the protocol
        """Nothing, at the end."""
        self.over.wait()
        return b""


@dataclass
class RingBuffer:
    """A sink that keeps the last `limit` bytes."""

    limit: int
    data: bytearray = field(default_factory=bytearray)

    def write(self, data: bytes, /) -> None:
        """Keep the end."""
        self.data += data
        if len(self.data) > self.limit:
            del self.data[: -self.limit]


class ExecStream:
    """One hijacked connection of docker-py (`exec_start` or `attach_socket` with socket=True)."""

    def __init__(self, hijacked: Any) -> None:
        self._response = hijacked._response
        # The head of the answer was read through this buffer, which may already hold the first frames.
        self._reader = self._response.raw._fp.fp
        self._socket: socket.socket = getattr(hijacked, "_sock", hijacked)

    def exchange(self, source: ByteReader | None, stdout: ByteWriter, stderr: ByteWriter, limit: float) -> None:
        """Send all of `source`, hand out what comes until the other side ends. Raises TimeoutError after `limit` s."""
        deadline = time.monotonic() + limit
        self._socket.settimeout(limit)
        self._unreadable: Exception | None = None
        writer = threading.Thread(target=self._send, args=(source,), daemon=True)
        writer.start()
        try:
            while True:
                header = self._read(_HEADER, deadline)
                if len(header) < _HEADER:
                    break
                kind, size = struct.unpack(">BxxxL", header)
                self._hand_out(stderr if kind == _STDERR else stdout, size, deadline)
        finally:
            if isinstance(source, BlockingReader):
                source.close()
            self.close()
            writer.join(timeout=10)
        if self._unreadable:
            raise self._unreadable

    def close(self) -> None:
        """End the connection; the command sees the end of its input."""
        import socket

        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._response.close()

    def _hand_out(self, sink: ByteWriter, size: int, deadline: float) -> None:
        while size:
            data = self._read(min(size, _BLOCK), deadline)
            if not data:
                return
            sink.write(data)
            size -= len(data)

    def _read(self, size: int, deadline: float) -> bytes:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        return bytes(self._reader.read(size) or b"")

    def _send(self, source: ByteReader | None) -> None:
        """Send all input. The command may end before it has read everything; the rest is dropped then."""
        import socket

        with contextlib.suppress(OSError):
            for data in self._blocks(source):
                self._socket.sendall(data)
            self._socket.shutdown(socket.SHUT_RDWR if self._unreadable else socket.SHUT_WR)

    def _blocks(self, source: ByteReader | None) -> Iterator[bytes]:
        try:
            while source is not None and (data := source.read(_BLOCK)):
                yield data
        except Exception as error:
            self._unreadable = error


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream that arrives in chunks, without their ends."""
    rest = b""
    for chunk in chunks:
        *complete, rest = (rest + chunk).split(b"\n")
        yield from complete
    if rest:
        yield rest
