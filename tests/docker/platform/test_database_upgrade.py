"""TimescaleDB from the version before the pinned one: the recovery point first, every row after it, the way back."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from ragops.config import secrets
from ragops.services.timescaledb import IMAGE

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.engine, pytest.mark.fault]

OLD = "timescale/timescaledb:2.19.3-pg17"
BEFORE, AFTER = OLD.partition(":")[2], IMAGE.partition(":")[2]
# Compressed: logs with columns that are NULL everywhere, readings over a year; a column whose chunks can be skipped.
HYPERTABLES = (
    "INSERT INTO rag.query_logs (asked_at, request_id, duration_ms)"
    " SELECT now() - n * interval '1 hour', gen_random_uuid(), n % 50 FROM generate_series(1, 1500) n",
    "ALTER TABLE rag.query_logs SET (timescaledb.compress, timescaledb.compress_segmentby = 'collection')",
    "SELECT compress_chunk(c) FROM show_chunks('rag.query_logs', older_than => interval '14 days') c",
    "CREATE TABLE readings (at timestamptz NOT NULL, kind int NOT NULL, number bigint, value text, note text)",
    "SELECT create_hypertable('readings', 'at', chunk_time_interval => interval '14 days')",
    "SET timescaledb.enable_chunk_skipping = on",
    "SELECT enable_chunk_skipping('readings', 'number')",
    "INSERT INTO readings SELECT timestamptz '2026-01-01' + i * interval '25 minutes', i % 7, i, md5(i::text)"
    " FROM generate_series(1, 20000) i",
    "ALTER TABLE readings SET (timescaledb.compress, timescaledb.compress_segmentby = 'kind')",
    "SELECT compress_chunk(c) FROM show_chunks('readings', older_than => timestamptz '2026-06-01') c",
    "CREATE MATERIALIZED VIEW daily WITH (timescaledb.continuous) AS SELECT time_bucket('1 day', at) AS day, kind,"
    " count(*) AS n, max(number) AS most FROM readings GROUP BY 1, 2 WITH NO DATA",
    "CALL refresh_continuous_aggregate('daily', NULL, NULL)",
    "SELECT add_compression_policy('readings', interval '100 years')",
)
TABLES = ("rag.query_logs", "readings", "daily")


class Database:
    """The database of a whole platform, asked as its operator."""

    def __init__(self, whole: Any) -> None:
        self.whole = whole

    def ask(self, *statements: str) -> list[tuple[Any, ...]]:
        """The rows of the last statement."""
        values = self.whole.outputs()
        password = secrets.load(self.whole.root / ".ragops" / "secrets" / "default.json")["timescaledb_owner"]
        where = f"host=127.0.0.1 port={values['TIMESCALEDB_PORT']} dbname={values['TIMESCALEDB_DATABASE']}"
        with psycopg.connect(f"{where} user=rag_owner password={password}", autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def version(self) -> str:
        return str(self.ask("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")[0][0])

    def held(self) -> dict[str, Any]:
        """Every row of the hypertables, how many chunks are compressed, policies and what chunks can be skipped by."""
        found: dict[str, Any] = {}
        for table in TABLES:
            rows = self.ask(f"SELECT t::text FROM {table} t ORDER BY 1")
            found[table] = (len(rows), hashlib.sha256(str(rows).encode()).hexdigest())
        queries = {
            "chunks": "SELECT hypertable_name, count(*), count(*) FILTER (WHERE is_compressed)"
            " FROM timescaledb_information.chunks WHERE hypertable_name IN ('query_logs', 'readings')"
            " GROUP BY 1 ORDER BY 1",
            "jobs": "SELECT proc_name, schedule_interval::text FROM timescaledb_information.jobs"
            " WHERE hypertable_name IS NOT NULL ORDER BY 1, 2",
            "skipping": "SELECT count(*) FROM _timescaledb_catalog.chunk_column_stats WHERE column_name = 'number'",
        }
        return {**found, **{name: self.ask(query) for name, query in queries.items()}}


@pytest.fixture
def old(fresh: Any, image: Callable[[str], str]) -> Any:
    """A platform on the version before, with everything in it that TimescaleDB has of its own."""
    image(OLD)
    fresh.configure(timescaledb={"image": OLD})
    fresh.up()
    fresh.fill()
    Database(fresh).ask(*HYPERTABLES)
    return fresh


def test_the_extension_of_a_living_platform_is_upgraded(old: Any) -> None:
    database = Database(old)
    assert database.version() == BEFORE.partition("-")[0]
    held, contents = database.held(), old.contents()
    assert held["rag.query_logs"][0] == 1500
    assert all(compressed > 0 for _, _, compressed in held["chunks"])
    old.configure(timescaledb={"image": None})

    planned = old.json("plan")
    (version,) = planned["versions"]
    assert (version["service"], version["before"], version["after"]) == ("timescaledb", BEFORE, AFTER)
    assert old.json("backup", "list")["points"] == []
    said = old.run("up", "--yes")
    assert "recovery point of the database before its version changes" in said.out + said.err

    (point,) = old.json("backup", "list")["points"]
    assert point["kind"] == "safety"
    shown = old.json("backup", "show", point["id"])
    assert "2.19.3" in str(shown)
    assert database.version() == AFTER.partition("-")[0]
    assert database.held() == held
    assert old.contents() == contents
    old.settled()
    old.run("backup", "verify", point["id"], "--deep")

    # The way back: what is lost after the upgrade comes from before it, into the new version.
    database.ask("DROP TABLE readings CASCADE", "TRUNCATE rag.query_logs", "DELETE FROM rag.chunks")
    said = old.run("restore", point["id"], "--service", "timescaledb", "--yes", "--no-safety")
    assert "extension timescaledb is 2.29.2 here, 2.19.3 in the recovery point" in said.err
    assert database.held() == held
    assert old.contents() == contents
    assert database.version() == AFTER.partition("-")[0]
    old.settled()

    # And what the new version writes, it reads: the same rows, through a recovery point of its own.
    taken = old.json("backup", "run")
    database.ask("DROP TABLE readings CASCADE", "TRUNCATE rag.query_logs")
    old.run("restore", taken["id"], "--service", "timescaledb", "--yes", "--no-safety")
    assert database.held() == held
    old.run("backup", "drill", taken["id"])
    assert old.up() == {}
