"""What is written of a question, and that nobody waits for it or fails with it."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import psycopg
import pytest

from ragops.api.dependency_errors import CircuitOpenError, DependencyFailedError
from ragops.api.metrics import Metrics
from ragops.api.problem import ApiError
from ragops.api.querylog import QueryLog
from tests.unit.api.fakes import Clock

pytestmark = pytest.mark.anyio


class Rows:
    """A database as the log sees it: takes rows, or raises what it is told to; `refused` questions are no values."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.errors: list[Exception] = []
        self.refused: set[str] = set()
        self.batches: list[int] = []
        self.silent = False

    async def copy(self, statement: str, rows: Any) -> None:
        self.batches.append(len(rows))
        if self.silent:
            await asyncio.Event().wait()
        if self.errors:
            raise self.errors.pop(0)
        if any(row[3] in self.refused for row in rows):
            raise psycopg.DataError("invalid value")
        self.rows += rows

    async def insert(self, statement: str, row: Any) -> None:
        if self.errors:
            raise self.errors.pop(0)
        if row[3] in self.refused:
            raise psycopg.DataError("invalid value")
        if row[0] not in [one[0] for one in self.rows]:  # as ON CONFLICT DO NOTHING does
            self.rows.append(row)


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


def dropped(log: QueryLog) -> float | None:
    return log._metrics.registry.get_sample_value("ragops_api_query_log_dropped_total")


async def test_a_row_that_can_never_be_written_is_lost_alone(database):
    log = make(database)
    database.refused = {"bad 3", "bad 5"}
    for number in range(8):
        await ask(log, f"{'bad' if number in (3, 5) else 'good'} {number}")
    log.start()
    await log.close()
    assert [row[3] for row in database.rows] == [f"good {number}" for number in (0, 1, 2, 4, 6, 7)]
    assert (database.batches, dropped(log)) == ([8], 2)


async def test_a_batch_whose_commit_was_not_heard_of_is_stored_once(database, monkeypatch):
    """COPY finds its ids taken then."""
    monkeypatch.setattr("ragops.api.querylog._FIRST_PAUSE", 0.001)
    log = make(database)
    for number in range(3):
        await ask(log, f"question {number}")
    copy = database.copy

    async def lost(statement: str, rows: Any) -> None:
        if database.rows:
            raise psycopg.errors.UniqueViolation("duplicate key")
        await copy(statement, rows)
        raise DependencyFailedError("database", "away")

    database.copy = lost
    log.start()
    await log.close()
    assert [row[3] for row in database.rows] == ["question 0", "question 1", "question 2"]
    assert dropped(log) == 0


async def test_rows_of_a_refused_batch_wait_for_a_database_that_goes_away(database, monkeypatch):
    monkeypatch.setattr("ragops.api.querylog._FIRST_PAUSE", 0.001)
    log = make(database)
    database.errors = [psycopg.DataError("invalid value"), DependencyFailedError("database", "away")]
    await ask(log, "one")
    await ask(log, "two")
    log.start()
    await log.close()
    assert [row[3] for row in database.rows] == ["one", "two"]


async def test_rows_are_gathered_into_batches_of_a_size(database):
    log = make(database)
    log.start()
    for number in range(1200):
        await ask(log, str(number))
    await log.close()
    assert database.batches == [500, 500, 200]


async def test_what_is_not_written_at_the_end_is_counted(database, monkeypatch, caplog):
    monkeypatch.setattr("ragops.api.querylog._FLUSH_SECONDS", 0.05)
    database.silent = True
    log = make(database)
    for number in range(700):
        await ask(log, str(number))
    log.start()
    await log.close()
    assert dropped(log) == 700
    assert [record.fields["rows"] for record in caplog.records if record.message == "query_log_lost"] == [700]


async def test_a_full_queue_drops_and_counts_and_nobody_waits(database):
    log = make(database)
    for number in range(10_003):
        await ask(log, str(number))
    assert dropped(log) == 3
    log.start()
    await log.close()
    assert len(database.rows) == 10_000


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
