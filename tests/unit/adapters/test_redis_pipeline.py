"""One connection for all: replies go to who waits for them, and a failure leaves nobody waiting."""

from __future__ import annotations

import asyncio
import socketserver
import threading
import time
from typing import TYPE_CHECKING

import pytest
from redis import exceptions

from ragops.adapters.redis_pipeline import RedisPipeline
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}  # as the API runs


class Server:
    """Answers ECHO with its word, FAIL with an error, SILENCE never; `reply` replaces all of it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.connections = 0
        self.reads: list[int] = []  # commands that came in one piece
        self.reply: bytes | None = None
        self.login_reply = b"+OK\r\n"
        self.logins: list[list[str]] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        self._server.close()
        self.drop()

    def drop(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        while piece := await reader.read(1 << 20):
            words = [part.decode() for part in piece.split(b"\r\n") if part and part[:1] not in b"*$"]
            self.reads.append(piece.count(b"*"))
            while words:
                writer.write(self._answer(words))
        writer.close()

    def _answer(self, words: list[str]) -> bytes:
        name = words.pop(0)
        if name == "AUTH":
            self.logins.append([words.pop(0), words.pop(0)])
            return self.login_reply
        if self.reply is not None:
            words.clear()
            return self.reply
        if name == "ECHO":
            word = words.pop(0)
            return f"${len(word)}\r\n{word}\r\n".encode()
        return b"-ERR no such thing\r\n" if name == "FAIL" else b""


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def pipeline(server: Server) -> AsyncIterator[RedisPipeline]:
    made = RedisPipeline("127.0.0.1", server.port, lambda: ("rag", "word"), 1.0)
    yield made
    await made.close()


async def test_commands_of_many_callers_go_out_together_and_each_gets_its_own(
    server: Server, pipeline: RedisPipeline
) -> None:
    await pipeline.execute(("ECHO", "first"))
    found = await asyncio.gather(*(pipeline.execute(("ECHO", f"a{n}"), ("ECHO", f"b{n}")) for n in range(50)))
    assert found == [[f"a{n}".encode(), f"b{n}".encode()] for n in range(50)]
    assert (server.connections, server.logins) == (1, [["rag", "word"]])
    assert len(server.reads) < 10, "not a trip for each of them"


async def test_the_first_callers_share_one_connection(server: Server, pipeline: RedisPipeline) -> None:
    await asyncio.gather(*(pipeline.execute(("ECHO", "x")) for _ in range(10)))
    assert server.connections == 1


async def test_an_error_is_that_of_its_caller_alone(pipeline: RedisPipeline) -> None:
    one, two, three = await asyncio.gather(
        pipeline.execute(("ECHO", "a")), pipeline.execute(("ECHO", "b"), ("FAIL",)), pipeline.execute(("ECHO", "c")),
        return_exceptions=True,
    )  # fmt: skip
    assert (one, three) == ([b"a"], [b"c"])
    assert isinstance(two, exceptions.ResponseError)


async def test_a_caller_who_leaves_disturbs_no_other(server: Server, pipeline: RedisPipeline) -> None:
    await pipeline.execute(("ECHO", "first"))
    leaving = asyncio.create_task(pipeline.execute(("ECHO", "gone")))
    staying = asyncio.create_task(pipeline.execute(("ECHO", "here")))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == [b"here"]
    assert await pipeline.execute(("ECHO", "next")) == [b"next"]
    assert server.connections == 1


async def test_silence_fails_all_that_wait_and_the_next_call_connects_again(server: Server) -> None:
    pipeline = RedisPipeline("127.0.0.1", server.port, lambda: ("rag", "word"), 0.2)
    await pipeline.execute(("ECHO", "first"))
    found = await asyncio.gather(pipeline.execute(("SILENCE",)), pipeline.execute(("SILENCE",)), return_exceptions=True)
    assert [type(one) for one in found] == [exceptions.TimeoutError] * 2
    assert await pipeline.execute(("ECHO", "again")) == [b"again"]
    assert server.connections == 2
    await pipeline.close()


async def test_a_reply_that_came_while_this_process_stood_still_is_in_time() -> None:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1000)
            self.request.sendall(b"+OK\r\n")
            self.request.recv(1000)
            self.request.sendall(b"+here\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as slow:
        threading.Thread(target=slow.handle_request, daemon=True).start()
        pipeline = RedisPipeline("127.0.0.1", slow.server_address[1], lambda: ("rag", "word"), 0.2)
        pipeline._connection = await pipeline._connect()
        waiting = asyncio.create_task(pipeline.execute(("GET", "x")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(0.5)
        assert await waiting == [b"here"]
        await pipeline.close()


async def test_a_connection_that_breaks_fails_what_waits_and_is_made_again(
    server: Server, pipeline: RedisPipeline
) -> None:
    await pipeline.execute(("ECHO", "first"))
    waiting = asyncio.create_task(pipeline.execute(("SILENCE",)))
    await asyncio.sleep(0.05)
    server.drop()
    with pytest.raises(exceptions.ConnectionError):
        await waiting
    assert await pipeline.execute(("ECHO", "again")) == [b"again"]


@pytest.mark.parametrize("reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n+OK\r\n+OK\r\n"])
async def test_what_is_no_reply_ends_the_connection(server: Server, pipeline: RedisPipeline, reply: bytes) -> None:
    await pipeline.execute(("ECHO", "first"))
    server.reply = reply
    found = await asyncio.gather(pipeline.execute(("ECHO", "x")), return_exceptions=True)
    assert found == [[b"OK"]] or isinstance(found[0], exceptions.ConnectionError)
    server.reply = None
    assert await pipeline.execute(("ECHO", "again")) == [b"again"]
    assert server.connections == 2


async def test_a_login_that_is_refused(server: Server, pipeline: RedisPipeline) -> None:
    server.login_reply = b"-WRONGPASS invalid username-password pair\r\n"
    with pytest.raises(exceptions.AuthenticationError, match="WRONGPASS"):
        await pipeline.execute(("ECHO", "x"))
    server.login_reply = b"+OK\r\n"
    assert await pipeline.execute(("ECHO", "x")) == [b"x"]


async def test_nobody_there() -> None:
    pipeline = RedisPipeline("127.0.0.1", free_port(), lambda: ("rag", "word"), 0.5)
    with pytest.raises(OSError):
        await pipeline.execute(("ECHO", "x"))
    await pipeline.close()


async def test_closing_fails_what_waits(pipeline: RedisPipeline) -> None:
    await pipeline.execute(("ECHO", "first"))
    waiting = asyncio.create_task(pipeline.execute(("SILENCE",)))
    await asyncio.sleep(0.01)
    await pipeline.close()
    with pytest.raises(exceptions.ConnectionError):
        await waiting
