"""One connection to Redis that all coroutines of a process share: commands go out together, replies come in order.

hiredis packs commands and parses replies. A trip costs a tenth of the processor time that one through the pool of
redis-py takes (docs/performance.md), so what every request needs goes this way, and all else by redis-py. RESP2.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import hiredis
from redis import exceptions

if TYPE_CHECKING:
    from collections.abc import Callable

Command = tuple[str | bytes | int, ...]
_CLOSED = "the connection was closed"


@dataclass(eq=False)
class _Batch:
    """Commands that wait for their replies; `deadline` by the clock of the event loop."""

    future: asyncio.Future[list[Any]]
    count: int
    deadline: float
    replies: list[Any] = field(default_factory=list)


class RedisPipeline:
    """Commands on one connection, made with the first of them and again after a failure.

    `login` returns user and password as they are when a connection is made. Every reply comes within `seconds`, else
    the connection is given up with all that waits for it.
    """

    def __init__(self, host: str, port: int, login: Callable[[], tuple[str, str]], seconds: float) -> None:
        self._host = host
        self._port = port
        self._login = login
        self._seconds = seconds
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None

    async def execute(self, *commands: Command) -> list[Any]:
        """Return the replies of `commands`, which are sent at once and run one after another.

        Raises redis.exceptions.RedisError (ConnectionError, TimeoutError, AuthenticationError, ResponseError for the
        first command that fails) and OSError. A caller that is cancelled leaves the others undisturbed.
        """
        connection = self._connection
        if connection is None or connection.is_closed:
            connection = await self._connect()
        replies = await connection.send(commands, self._seconds)
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                raise exceptions.ResponseError(str(reply))
        return replies

    async def close(self) -> None:
        """Close the connection; what waits for it fails."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._connection is not None:
            self._connection.end(exceptions.ConnectionError(_CLOSED))

    async def _connect(self) -> _Connection:
        """Return a new connection, the same one to all that need it now."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._open())
            self._connecting.add_done_callback(self._connected)
        return await asyncio.shield(self._connecting)

    def _connected(self, task: asyncio.Task[_Connection]) -> None:
        self._connecting = None
        if not task.cancelled() and task.exception() is None:
            self._connection = task.result()

    async def _open(self) -> _Connection:
        try:
            async with asyncio.timeout(self._seconds):
                loop = asyncio.get_running_loop()
                _, connection = await loop.create_connection(_Connection, self._host, self._port)
        except TimeoutError as error:
            raise exceptions.TimeoutError("no connection in time") from error
        [reply] = await connection.send((("AUTH", *self._login()),), self._seconds)
        if isinstance(reply, hiredis.ReplyError):
            connection.end(exceptions.ConnectionError(_CLOSED))
            raise exceptions.AuthenticationError(str(reply))
        return connection


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.is_closed = False
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._waiting: deque[_Batch] = deque()
        self._unsent: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def send(self, commands: tuple[Command, ...], seconds: float) -> asyncio.Future[list[Any]]:
        """Return the replies to come; written with what others send in the same turn of the loop."""
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        if self.is_closed:
            future.set_exception(exceptions.ConnectionError(_CLOSED))
            return future
        batch = _Batch(future, len(commands), self._loop.time() + seconds)
        if not self._unsent:
            self._loop.call_soon(self._flush)
        # hiredis' own types allow one word.
        self._unsent += [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]
        self._waiting.append(batch)
        if self._watch is None:
            self._watch = self._loop.call_at(batch.deadline, self._check)
        return future

    def end(self, error: Exception) -> None:
        """Close the connection, and fail what waits for it."""
        self.is_closed = True
        if self._transport is not None:
            self._transport.abort()
        if self._watch is not None:
            self._watch.cancel()
        while self._waiting:
            future = self._waiting.popleft().future
            if not future.done():
                future.set_exception(error)

    def _flush(self) -> None:
        if not self.is_closed and self._transport is not None:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _check(self) -> None:
        """Look whether the oldest reply is overdue: one timer serves all."""
        self._watch = None
        if not self._waiting:
            return
        deadline = self._waiting[0].deadline
        if deadline <= self._loop.time():
            self.end(exceptions.TimeoutError("no reply in time"))
        else:
            self._watch = self._loop.call_at(deadline, self._check)

    # --- asyncio.Protocol --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Give each reply to what waits for it."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                batch = self._waiting[0]
                batch.replies.append(reply)
                if len(batch.replies) == batch.count:
                    self._waiting.popleft()
                    if not batch.future.done():
                        batch.future.set_result(batch.replies)
        except (hiredis.ProtocolError, IndexError) as error:  # not Redis, or more replies than commands
            self.end(exceptions.ConnectionError(f"not the replies of Redis: {type(error).__name__}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what waits."""
        self.end(exceptions.ConnectionError(str(exc or _CLOSED)))
