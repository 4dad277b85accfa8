"""The data set as an RDB file: streamed by the server as to a replica (as `redis-cli --rdb`), checked by the engine."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.adapters import cancellation
from ragops.errors import IntegrityError, RagopsError, UnhealthyError
from ragops.hints import OTHER_POINT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.services.contract import Endpoint
    from ragops.services.stream_check import StreamCheck

_BLOCK = 1 << 20
_POLL = 0.5
_CONNECT_SECONDS = 30.0
_SILENCE_SECONDS = 300.0  # a server that waits for a save or a rewrite to end sends an empty line each second
_HEADER = re.compile(rb"\$(?:EOF:(\w{40})|(\d+))")
_HINT = "see why with `ragops logs redis`, then run it again"


class RdbStream:
    """The file as a stream; `taken_at` is just before the server was asked for it.

    The server forks for it, as for BGSAVE, and keeps no file of its own. It sends the file with a mark after it or,
    if it is set to save to its disk first, with the size before it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.taken_at = datetime.now(tz=UTC)
        self._socket = connection
        self._buffer = bytearray()
        self._mark = b""
        self._left: int | None = None  # bytes of the file that have not been read, if the server has sent its size

    def begin(self, user: str, password: str) -> None:
        """Log in, ask for the file, and return once its point in time is fixed. Raises RagopsError."""
        self._command("AUTH", user, password)
        self._command("REPLCONF", "capa", "eof")
        self._command("REPLCONF", "rdb-only", "1")  # no writes after it, for which the server would need memory
        self.taken_at = datetime.now(tz=UTC)
        self._send(b"SYNC\r\n")
        while not (line := self._line()):
            cancellation.check()
        header = _HEADER.fullmatch(line)
        if header is None:
            raise RagopsError("redis_save_failed", f"cannot read the data of redis: {_text(line)}", _HINT)
        self._mark, self._left = header[1] or b"", int(header[2]) if header[2] else None

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end. Raises RagopsError (redis_save_failed), UnhealthyError."""
        while not (ready := self._ready()) and not self._is_over():
            self._receive()
        block = self._take(min(size, ready))
        if self._left is not None:
            self._left -= len(block)
        return block

    def _ready(self) -> int:
        """Return how many bytes of the file are here: the last ones may be the mark."""
        return max(0, len(self._buffer) - len(self._mark))

    def _is_over(self) -> bool:
        return self._left == 0 if self._left is not None else self._buffer == self._mark

    def _take(self, size: int) -> bytes:
        block = bytes(self._buffer[:size])
        del self._buffer[:size]
        return block

    def _command(self, *arguments: str) -> None:
        parts = [word.encode() for word in arguments]
        self._send(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        if not (answer := self._line()).startswith(b"+"):
            raise RagopsError(
                "redis_save_failed", f"cannot read the data of redis: it refuses {arguments[0]}: {_text(answer)}", _HINT
            )

    def _send(self, data: bytes) -> None:
        with _translate_errors():
            self._socket.sendall(data)

    def _line(self) -> bytes:
        """Return a line without its end; the server sends empty ones while it prepares the file."""
        while b"\n" not in self._buffer:
            self._receive()
        return self._take(self._buffer.index(b"\n") + 1).strip()

    def _receive(self) -> None:
        """Wait for more. Raises UnhealthyError (redis_timeout), RagopsError (redis_save_failed)."""
        deadline = time.monotonic() + _SILENCE_SECONDS
        while time.monotonic() < deadline:
            cancellation.check()
            with _translate_errors(), contextlib.suppress(TimeoutError):
                block = self._socket.recv(_BLOCK)
                if not block:
                    what = "cannot read the data of redis: it ended the connection before all of its data had been sent"
                    raise RagopsError("redis_save_failed", what, _HINT)
                self._buffer += block
                return
        what = f"cannot read the data of redis: it has sent nothing for {_SILENCE_SECONDS:.0f} s"
        raise UnhealthyError("redis_timeout", what, _HINT)


@contextlib.contextmanager
def open_rdb(endpoint: Endpoint) -> Iterator[RdbStream]:
    """Have the server send its data; it gives up its save if the block ends before that. Raises RagopsError."""
    login = endpoint.logins["operator"]
    with _translate_errors():
        connection = socket.create_connection((endpoint.host, endpoint.port), _CONNECT_SECONDS)
    with connection:
        connection.settimeout(_POLL)
        stream = RdbStream(connection)
        stream.begin(login.user, login.password.get_secret_value())
        yield stream


@contextlib.contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"cannot read the data of redis: lost the connection, {error.strerror or error}"
        raise UnhealthyError("redis_unreachable", what, "is it running? `ragops status`") from error


def _text(line: bytes) -> str:
    return line.decode(errors="replace").lstrip("-")


def check_command(engine: str) -> tuple[str, ...]:
    """Return the command of the tool, which reads the file from its input."""
    return (f"{engine}-check-rdb", "/dev/stdin")


def read_counts(check: StreamCheck) -> dict[str, int]:
    """How many `keys` the file holds, and how many of them have a time to live (`expires`); waits for its end.

    Raises IntegrityError (rdb_unreadable), and what the check raises.
    """
    try:
        (answer,) = check.outputs()
    except RagopsError as error:
        if error.code != "tool_failed":
            raise
        what = f"cannot read the RDB file: {error.message}"
        raise IntegrityError("rdb_unreadable", what, OTHER_POINT) from error
    return counts_in(answer)


def counts_in(answer: str) -> dict[str, int]:
    """Return the counts that the tool prints. Raises IntegrityError (rdb_unreadable) without them."""
    lines = re.findall(r"^\[info\] (\d+) (keys|expires)\b", answer, re.MULTILINE)
    found = {kind: int(number) for number, kind in lines}
    if "RDB looks OK" not in answer or len(found) != 2:
        last = "; ".join(line for line in answer.splitlines() if "ERROR" in line or "rror" in line) or "no verdict"
        raise IntegrityError("rdb_unreadable", f"cannot read the RDB file: {last}", OTHER_POINT)
    return found
