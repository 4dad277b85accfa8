"""The API's connections to its database when that is away and comes back under them, as in a restore."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ragops.api.breakers import Breaker
from ragops.api.clock import Clock
from ragops.api.config import BreakerConfig, DatabaseConfig
from ragops.api.metrics import Metrics
from ragops.api.problem import ApiError
from ragops.api.stores import Database

if TYPE_CHECKING:
    from ragops.operations.session import Platform
    from tests.engines import Engine

SINCE_AWAY = 4.5  # the pool by itself tries 1 s and 3 s after the first failure, then not before 7 s
TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ragops-api'"


@pytest.fixture
def database(postgres: Engine, postgres_platform: Platform) -> Database:
    login = postgres.endpoint.logins["application"]
    config = DatabaseConfig(
        host="127.0.0.1", port=postgres.endpoint.port, dbname="rag", user=login.user, password_file="none"
    )
    clock, metrics = Clock(), Metrics()
    breaker = Breaker("database", BreakerConfig(failures=1000, reset_seconds=30), 60, clock, metrics)
    return Database(config, lambda: (login.password.get_secret_value(),), breaker)


async def refused(database: Database) -> bool:
    try:
        await database.rows("SELECT 1")
    except ApiError:
        return True
    return False


def test_the_first_question_after_a_swap_is_answered(postgres: Engine, database: Database) -> None:
    asyncio.run(_swapped(postgres, database))


async def _swapped(postgres: Engine, database: Database) -> None:
    await database.open()
    try:
        assert await database.rows("SELECT count(*) FROM rag.documents") == [(100,)]
        postgres.sql(
            "ALTER DATABASE rag RENAME TO rag_aside" if postgres.sql(TERMINATE, "postgres") else "", "postgres"
        )
        away = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() - away < SINCE_AWAY:
            assert await refused(database), "there is no such database now"
        postgres.sql("ALTER DATABASE rag_aside RENAME TO rag", "postgres")
        assert await database.rows("SELECT count(*) FROM rag.documents") == [(100,)]
    finally:
        await database.close()


def test_connections_that_were_ended_are_not_given_out(postgres: Engine, database: Database) -> None:
    asyncio.run(_ended(postgres, database))


async def _ended(postgres: Engine, database: Database) -> None:
    await database.open()
    try:
        await asyncio.gather(*(database.rows("SELECT pg_sleep(0.05)") for _ in range(4)))
        postgres.sql(TERMINATE, "postgres")
        found = await asyncio.gather(*(database.rows("SELECT 1") for _ in range(8)))
        assert found == [[(1,)]] * 8
    finally:
        await database.close()
