"""What is written of a question, and that nobody waits for it or fails with it."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import psycopg
import pytest

from ragops.api.breakers import CircuitOpenError, DependencyFailedError
from ragops.api.metrics import Metrics
from ragops.api.problem import ApiError
from ragops.api.querylog import QueryLog
from tests.unit.api.fakes import Clock

pytestmark = pytest.mark.anyio


class Rows:
    """A database as the log sees it: takes rows, or raises what it is told to."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.errors: list[Exception] = []
        self.asked = asyncio.Event()

    async def insert(self, statement: str, rows: Any) -> None:
        self.asked.set()
        if self.errors:
            raise self.errors.pop(0)
        self.rows += rows


@pytest.fixture
async def database() -> Rows:
    return Rows()


def make(database: Any, privacy: str = "keep") -> QueryLog:
    return QueryLog(database, privacy, Clock(), Metrics())  # type: ignore[arg-type]


async def ask(log: QueryLog, query: str = "who?", error: BaseException | None = None) -> None:
    with log.recording("manuals", query, "alice", "hashing-384-v1") as entry:
        if error:
            raise error
        entry.found([0.2, 0.7])


@pytest.mark.parametrize(
    ("privacy", "text", "hashed"), [("keep", "who?", True), ("hash", None, True), ("omit", None, False)]
)
async def test_privacy_says_what_is_kept_of_a_question(database, privacy, text, hashed):
    log = make(database, privacy)
    log.start()
    await ask(log)
    await log.close()
    [row] = database.rows
    assert row[2:9] == (
        "manuals", text, hashlib.sha256(b"who?").hexdigest() if hashed else None, "hashing-384-v1", "alice", "", "ok",
    )  # fmt: skip
    assert row[9:11] == (2, 0.7)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (CircuitOpenError("qdrant", 3, "failed"), "refused"),
        (ApiError(404, "collection_not_found", "x"), "refused"),
        (DependencyFailedError("qdrant", "x"), "failed"),
        (RuntimeError("x"), "failed"),
        (asyncio.CancelledError(), "failed"),
    ],
)
async def test_outcomes(database, error, outcome):
    log = make(database)
    log.start()
    with pytest.raises(type(error)):
        await ask(log, error=error)
    await log.close()
    assert database.rows[0][8] == outcome


async def test_what_cannot_be_written_now_is_written_later_in_order(database, monkeypatch):
    monkeypatch.setattr("ragops.api.querylog._FIRST_PAUSE", 0.001)
    log = make(database)
    database.errors = [DependencyFailedError("database", "away"), CircuitOpenError("database", 1, "is left alone")]
    log.start()
    for number in range(3):
        await ask(log, f"question {number}")
    await log.close()
    assert [row[3] for row in database.rows] == ["question 0", "question 1", "question 2"]


async def test_rows_that_can_never_be_written_do_not_hold_up_others(database):
    log = make(database)
    database.errors = [psycopg.DataError("invalid value")]
    log.start()
    await ask(log, "bad")
    await database.asked.wait()
    await ask(log, "good")
    await log.close()
    assert [row[3] for row in database.rows] == ["good"]


async def test_a_full_queue_drops_and_counts_and_nobody_waits(database):
    log = make(database)
    for number in range(2003):
        await ask(log, str(number))
    assert log._metrics.registry.get_sample_value("ragops_api_query_log_dropped_total") == 3
    log.start()
    await log.close()
    assert len(database.rows) == 2000


async def test_without_a_database_nothing_is_kept():
    log = make(None)
    log.start()
    await ask(log)
    await log.close()


async def test_what_text_columns_cannot_hold_is_left_out(database):
    log = make(database)
    log.start()
    await ask(log, "a\x00b")
    await log.close()
    assert database.rows[0][3] == "ab"


async def test_ids_are_in_the_order_of_time_so_that_their_index_grows_at_one_end(database):
    clock = Clock()
    log = QueryLog(database, "keep", clock, Metrics())
    log.start()
    for _ in range(20):
        await ask(log)
        clock.move(1)
    await log.close()
    ids = [row[0] for row in database.rows]
    assert ids == sorted(ids)
    assert len(set(ids)) == 20
    assert {one.version for one in ids} == {7}
