"""The query log on a real database: rows are copied, and what the table refuses takes no other row with it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ragops.api.breakers import Breaker
from ragops.api.clock import Clock
from ragops.api.config import BreakerConfig, DatabaseConfig
from ragops.api.metrics import Metrics
from ragops.api.querylog import QueryLog
from ragops.api.stores import Database
from ragops.services.timescaledb import roles
from ragops.services.timescaledb.schema import migrations as schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.api.querylog import Entry
    from tests.engines import Engine


@pytest.fixture(scope="module")
def migrated(postgres: Engine) -> Engine:
    with roles.log_in(postgres.endpoint, "rag") as connection:
        schema.apply(connection, application_role="rag_app")
    return postgres


@pytest.fixture
def database(migrated: Engine) -> Database:
    endpoint = migrated.endpoint
    login = endpoint.logins["application"]
    config = DatabaseConfig(host="127.0.0.1", port=endpoint.port, dbname="rag", user=login.user, password_file="none")
    clock, metrics = Clock(), Metrics()
    breaker = Breaker("database", BreakerConfig(), 60, clock, metrics)
    return Database(config, lambda: (login.password.get_secret_value(),), breaker)


ASK = "SELECT query, outcome, result_count, top_score FROM rag.query_logs WHERE consumer = 'pool' ORDER BY asked_at"


def log_of(database: Database) -> QueryLog:
    return QueryLog(database, "keep", Clock(), Metrics())


async def logged(database: Database, questions: list[str], spoil: Callable[[Entry], None]) -> float | None:
    """Ask, and return how many rows were dropped."""
    log = log_of(database)
    await database.open()
    try:
        for question in questions:
            with log.recording("docs", question, "pool", "hashing-384-v1") as entry:
                entry.found([0.25, 0.5])
                spoil(entry)
        log.start()
        await log.close()
    finally:
        await database.close()
    return log._metrics.registry.get_sample_value("ragops_api_query_log_dropped_total")


def test_the_query_log_is_copied_and_a_row_that_the_table_refuses_is_lost_alone(
    migrated: Engine, database: Database
) -> None:
    def spoil(entry: Entry) -> None:
        if entry.query == "refused":
            entry.outcome = "no such outcome"  # the table has a CHECK

    questions = ["tab\tand\nline \\\\N", "nul\x00", "refused", "\u00e4\u4f60"]
    assert asyncio.run(logged(database, questions, spoil)) == 1
    rows = [("tab\tand\nline \\\\N", "ok", 2, 0.5), ("nul", "ok", 2, 0.5), ("\u00e4\u4f60", "ok", 2, 0.5)]
    assert migrated.sql(ASK) == rows


def test_rows_that_are_there_already_are_no_failure(migrated: Engine, database: Database) -> None:
    async def twice() -> None:
        log, rows = log_of(database), []
        with log.recording("docs", "again", "twice", "hashing-384-v1"):
            pass
        rows.append(log._queue.get_nowait())
        await database.open()
        for _ in range(2):
            log._queue.put_nowait(rows[0])
        log.start()
        await log.close()
        await database.close()

    asyncio.run(twice())
    assert migrated.sql("SELECT count(*) FROM rag.query_logs WHERE consumer = 'twice'") == [(1,)]
