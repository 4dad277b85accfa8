"""While a backup holds the platform read-only the service writes nothing, loses nothing and answers as ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from ragops.api import read_only
from ragops.api.metrics import Metrics
from ragops.api.querylog import QueryLog
from ragops.api.read_only import CHANNEL, LOOK_SECONDS, ReadOnlyFlag
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio
GAUGE = "ragops_api_read_only"
HELLO = b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n"
HELLO += b"$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"


class FakeRedis:
    """The commands that the service sends; `held` are the subscribers, `refused` those that its ACL does not allow."""

    def __init__(self) -> None:
        self.held = 0
        self.silent = False
        self.refused: set[str] = set()
        self.calls: list[str] = []
        self.port = free_port()
        self._queued = False

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        self._server.close()

    def wrote(self) -> bool:
        return bool({"HSET", "EXPIRE", "UNLINK"} & set(self.calls))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            words = []
            for _ in range(int(head[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2].decode())
            writer.write(self._answer(words[0].upper(), words))
        writer.close()

    def _answer(self, name: str, words: list[str]) -> bytes:
        self.calls.append(name)
        if self.silent and name in ("HGET", "GET"):
            return b""
        if name in self.refused:
            return b"-NOPERM this user has no permissions to run it\r\n"
        if name == "HELLO":
            return HELLO
        if name in ("MULTI", "EXEC"):
            self._queued = name == "MULTI"
            return b"+OK\r\n" if self._queued else b"*2\r\n:1\r\n:1\r\n"
        if self._queued:
            return b"+QUEUED\r\n"
        if name == "PUBSUB":
            assert words[1:] == ["NUMSUB", CHANNEL]
            return f"*2\r\n${len(CHANNEL)}\r\n{CHANNEL}\r\n:{self.held}\r\n".encode()
        return {"HGET": b"$-1\r\n", "SCAN": b"*2\r\n$1\r\n0\r\n*0\r\n", "UNLINK": b":1\r\n"}.get(name, b"+OK\r\n")


class Rows:
    """A database as the log sees it."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    async def copy(self, statement: str, rows: Any) -> None:
        self.rows += rows


@pytest.fixture
async def redis() -> AsyncIterator[FakeRedis]:
    fake = FakeRedis()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def held_api(start: Callable[..., Any], redis: FakeRedis, tmp_path: Path) -> Any:
    """The service with a Redis that tells of a hold."""
    redis.held = 1
    return await start(redis=section(redis.port, tmp_path))


def section(port: int, folder: Path) -> dict[str, Any]:
    (folder / "redis.password").write_text("x\n")
    return {"host": "127.0.0.1", "port": port, "user": "rag", "password_file": "redis.password"}


def gauge(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value(GAUGE)


# --- looking ---------------------------------------------------------------------------------------------------------


async def test_looks_at_most_twice_a_second(clock):
    looks = []

    async def look() -> bool:
        looks.append(clock.monotonic())
        return len(looks) == 1

    state, metrics = ReadOnlyFlag(look, clock, (metrics := Metrics())), metrics
    assert [await state.now() for _ in range(5)] == [True] * 5
    assert (len(looks), gauge(metrics)) == (1, 1)
    clock.move(LOOK_SECONDS)
    assert [await state.now() for _ in range(5)] == [False] * 5
    assert (len(looks), gauge(metrics)) == (2, 0)


async def test_without_redis_nothing_is_held_and_questions_are_answered(start, tmp_path):
    api = await start(redis=section(free_port(), tmp_path))
    assert await api.deps.cache.read_only.now() is False
    assert (await api.search()).status_code == 200


async def test_answers_that_wait_for_one_slow_connection_are_one_failure(start, redis, tmp_path):
    api = await start(redis=section(redis.port, tmp_path))
    redis.silent = True
    answers = await asyncio.gather(*(api.search(f"rotation {number}") for number in range(10)))
    assert [one.status_code for one in answers] == [200] * 10
    breaker = api.deps.breakers["redis"].state()
    assert (breaker.state, breaker.last_error) == ("closed", "redis: TimeoutError")


async def test_an_acl_that_does_not_let_us_look_is_no_failure_of_redis(held_api, redis, clock):
    redis.refused = {"PUBSUB"}
    for _ in range(10):
        clock.move(LOOK_SECONDS)
        assert await held_api.deps.cache.read_only.now() is False
    breaker = held_api.deps.breakers["redis"].state()
    assert (breaker.state, breaker.failures) == ("closed", 0)


# --- not writing -----------------------------------------------------------------------------------------------------


async def test_answers_are_given_and_kept_only_afterwards(held_api, redis, clock):
    for _ in range(3):
        response = await held_api.search()
        assert (response.status_code, response.json()["cached"]) == (200, False)
    assert "HGET" in redis.calls, "what is in the cache may be read"
    assert not redis.wrote()
    assert gauge(held_api.deps.metrics) == 1
    redis.held = 0
    clock.move(LOOK_SECONDS)
    await held_api.search()
    assert "HSET" in redis.calls
    assert gauge(held_api.deps.metrics) == 0


async def test_readiness_does_not_know_of_it(held_api):
    await held_api.search()
    response = await held_api.http.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (200, "ok")


async def test_forgetting_answers_is_refused_in_words(held_api, redis, clock):
    headers = {"X-Service-Token": "operator-token-operator-token"}
    ask = {"url": "/internal/collections/refresh", "json": {"collections": ["manuals"]}, "headers": headers}
    body = (await held_api.http.post(**ask)).json()
    assert body["forgotten"] is False
    assert "30 s" in body["note"]
    assert not redis.wrote()
    redis.held = 0
    clock.move(LOOK_SECONDS)
    assert (await held_api.http.post(**ask)).json()["forgotten"] is True


async def test_rows_of_the_query_log_wait_and_keep_their_time(clock, monkeypatch):
    monkeypatch.setattr(read_only, "LOOK_SECONDS", 0.001)
    state, looked = {"held": True}, asyncio.Event()

    async def look() -> bool:
        looked.set()
        return state["held"]

    database, metrics = Rows(), Metrics()
    log = QueryLog(database, "keep", clock, metrics, ReadOnlyFlag(look, clock, metrics))  # type: ignore[arg-type]
    log.start()
    asked = []
    for number in range(3):
        asked.append((f"question {number}", clock.now()))
        with log.recording("manuals", f"question {number}", "alice", "hashing-384-v1"):
            clock.move(1)
    for _ in range(5):
        looked.clear()
        clock.move(1)
        await looked.wait()
    assert database.rows == []
    state["held"] = False
    clock.move(1)
    await log.close()
    assert [(row[3], row[1]) for row in database.rows] == asked
