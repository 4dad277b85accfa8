"""Kinds of hypertables on the real server: dumped, restored in place and on a fresh server, equal."""

# ruff: noqa: E501  statements as they are typed

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from ragops.errors import IntegrityError
from ragops.services import by_name
from ragops.services.contract import Extent
from ragops.services.timescaledb import APPLICATION_ROLE
from ragops.services.timescaledb.backup.backup import TimescaleBackup
from ragops.services.timescaledb.health import probe
from ragops.services.timescaledb.roles import log_in
from ragops.services.timescaledb.schema import migrations as schema
from tests.backup_helpers import KeepingWriter
from tests.docker.conftest import docker, image, module_mine  # noqa: F401  fixtures
from tests.docker.services.conftest import start  # noqa: F401
from tests.recovery_kinds.postgres.conftest import TakenBackup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.kinds]

SERIES = (
    "CREATE TABLE m (at timestamptz NOT NULL, kind int NOT NULL, value float8, extra text, big bigint)",
    "SELECT create_hypertable('m', 'at', chunk_time_interval => interval '1 day')",
    "INSERT INTO m SELECT timestamptz '2026-01-01' + i * interval '30 minutes', i % 3, i, NULL, i"
    " FROM generate_series(1, 600) i",
)
COMPRESS = (
    "ALTER TABLE m SET (timescaledb.compress, timescaledb.compress_segmentby = 'kind')",
    "SELECT compress_chunk(c) FROM show_chunks('m', older_than => timestamptz '2026-01-08') c",
)


@dataclass(frozen=True)
class Kind:
    name: str
    sql: tuple[str, ...]
    pictures: tuple[str, ...] = ()


JOBS = "SELECT proc_name, schedule_interval, config, scheduled, owner, hypertable_name FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY job_id"
KINDS = (
    Kind("compressed with a column that is NULL everywhere", (*SERIES, *COMPRESS)),
    Kind("chunk skipping", (*SERIES, "SET timescaledb.enable_chunk_skipping = on; SELECT enable_chunk_skipping('m', 'big')", *COMPRESS),
         ("SELECT column_name, range_start, range_end, valid FROM _timescaledb_catalog.chunk_column_stats ORDER BY id",)),
    Kind("changed after it was compressed", (*SERIES, *COMPRESS, "UPDATE m SET extra = 'x' WHERE big = 5",
         "INSERT INTO m VALUES ('2026-01-02', 9, 1, 'late', 1)", "ALTER TABLE m ADD COLUMN later text", "DELETE FROM m WHERE big = 7")),
    Kind("a default compressed again", (*SERIES, *COMPRESS, "ALTER TABLE m ADD COLUMN later text DEFAULT 'd'",
         "SELECT compress_chunk(decompress_chunk(c)) FROM show_chunks('m', older_than => timestamptz '2026-01-08') c")),
    Kind("a continuous aggregate", (*SERIES,
         "CREATE MATERIALIZED VIEW d WITH (timescaledb.continuous) AS SELECT time_bucket('1 day', at) AS day, kind, avg(value) AS v FROM m GROUP BY 1, 2",
         "SELECT add_continuous_aggregate_policy('d', start_offset => NULL, end_offset => interval '1 day', schedule_interval => interval '1 hour', initial_start => '2099-01-01')"),
         ("SELECT * FROM d ORDER BY 1, 2", "SELECT view_name, materialized_only FROM timescaledb_information.continuous_aggregates", JOBS)),
    Kind("a continuous aggregate over another, compressed", (*SERIES,
         "CREATE MATERIALIZED VIEW h WITH (timescaledb.continuous) AS SELECT time_bucket('1 hour', at) AS hour, kind, sum(value) AS v FROM m GROUP BY 1, 2",
         "CREATE MATERIALIZED VIEW d WITH (timescaledb.continuous) AS SELECT time_bucket('1 day', hour) AS day, sum(v) AS v FROM h GROUP BY 1",
         "ALTER MATERIALIZED VIEW h SET (timescaledb.compress = true)", "SELECT compress_chunk(c) FROM show_chunks('h') c"),
         ("SELECT * FROM d ORDER BY 1", "SELECT * FROM h ORDER BY 1, 2")),
    Kind("jobs of another owner", (*SERIES, "CREATE ROLE tk_jobs LOGIN; GRANT USAGE, CREATE ON SCHEMA public TO tk_jobs",
         "SET ROLE tk_jobs; CREATE PROCEDURE p(job_id int, config jsonb) LANGUAGE plpgsql AS 'BEGIN END';"
         " SELECT add_job('p', '1h', config => '{\"a\": 1}', initial_start => '2099-01-01'); RESET ROLE"), (JOBS,)),
    Kind("retention and compression by policy", (*SERIES, *COMPRESS,
         "SELECT add_retention_policy('m', interval '100 years', initial_start => '2099-01-01')",
         "SELECT add_compression_policy('m', interval '50 years', initial_start => '2099-01-01')"), (JOBS,)),
    Kind("space partitions", (
         "CREATE TABLE s (at timestamptz NOT NULL, dev text NOT NULL, v int)",
         "SELECT create_hypertable('s', 'at', partitioning_column => 'dev', number_partitions => 3)",
         "INSERT INTO s SELECT timestamptz '2026-01-01' + i * interval '6 hours', 'd' || i % 7, i FROM generate_series(1, 200) i"),
         ("SELECT * FROM s ORDER BY 1, 2", "SELECT hypertable_name, dimension_number, column_name, num_partitions FROM timescaledb_information.dimensions ORDER BY 1, 2")),
    Kind("checks, triggers and foreign keys", (
         "CREATE TABLE kinds (id int PRIMARY KEY); INSERT INTO kinds VALUES (0), (1), (2)",
         "CREATE FUNCTION known(k int) RETURNS boolean LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM kinds WHERE id = k)'",
         *SERIES[:2], "ALTER TABLE m ADD CHECK (known(kind)), ADD FOREIGN KEY (kind) REFERENCES kinds",
         "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
         "CREATE TRIGGER t BEFORE INSERT ON m FOR EACH ROW EXECUTE FUNCTION t()", *SERIES[2:])),
)  # fmt: skip


@pytest.fixture(scope="module")
def servers(start: Any) -> Iterator[tuple[Any, Any]]:  # noqa: F811
    source = start("timescaledb", memory="2gb", cpus=2)
    other = replace(start, names=replace(start.names, environment="elsewhere"))
    fresh = other("timescaledb", memory="2gb", cpus=2)
    for server in (source, fresh):
        by_name("timescaledb").prepare(server.endpoint)
    yield source, fresh
    fresh.docker.remove(fresh.name, force=True)


def empty(server: Any) -> None:
    """A database as `ragops up` leaves it, and no roles of earlier kinds."""
    for (name,) in server.sql("SELECT datname FROM pg_database WHERE datname ~ '^rag'", database="postgres"):
        server.sql(f'DROP DATABASE "{name}" WITH (FORCE)', database="postgres")
    for (name,) in server.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'tk%'", database="postgres"):
        server.sql(f"DROP ROLE {name}", database="postgres")
    by_name("timescaledb").prepare(server.endpoint)


def picture(server: Any, kind: Kind) -> list[Any]:
    queries = (
        *kind.pictures,
        "SELECT hypertable_name, num_chunks, compression_enabled FROM timescaledb_information.hypertables ORDER BY 1",
    )
    tables = [
        name for (name,) in server.sql("SELECT hypertable_name FROM timescaledb_information.hypertables ORDER BY 1")
    ]
    rows = [
        server.sql(f"SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {name} t")
        for name in tables
        if not name.startswith("_")
    ]
    return [server.sql(query) for query in queries] + rows


def take(server: Any, folder: Path) -> TakenBackup:
    writer = KeepingWriter(folder)
    TimescaleBackup().dump(server.endpoint, server.control, writer)
    return TakenBackup(folder, writer.parts)


def restore(server: Any, taken: TakenBackup) -> str:
    engine = TimescaleBackup()
    engine.preflight(server.endpoint, server.control, taken.folder, taken.parts)
    return "\n".join(engine.restore(server.endpoint, server.control, taken.folder, taken.parts))


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name.replace(" ", "-") for kind in KINDS])
def test_it_comes_back(kind: Kind, servers: tuple[Any, Any], tmp_path: Path) -> None:
    source, fresh = servers
    empty(source)
    for statement in kind.sql:
        source.sql(statement)
    before = picture(source, kind)
    taken = take(source, tmp_path / "point")
    proof = TimescaleBackup().prove(source.endpoint, source.control, taken.folder, taken.parts)
    assert proof.extent is Extent.RESTORED
    restore(source, taken)
    assert picture(source, kind) == before
    empty(fresh)
    restore(fresh, taken)
    assert picture(fresh, kind) == before


def test_a_default_that_compressed_rows_do_not_have_is_refused(servers: tuple[Any, Any], tmp_path: Path) -> None:
    """They would come back as NULL: found here, on 2.19.3 and 2.29.2 alike."""
    source, _ = servers
    empty(source)
    for statement in (*SERIES, *COMPRESS, "ALTER TABLE m ADD COLUMN later text DEFAULT 'd'"):
        source.sql(statement)
    with pytest.raises(IntegrityError, match=r"public\.m has compressed chunks from before its column later") as caught:
        take(source, tmp_path / "point")
    assert caught.value.code == "not_restorable"


@pytest.mark.timeout(1500)
def test_thousands_of_chunks(servers: tuple[Any, Any], tmp_path: Path) -> None:
    source, _ = servers
    empty(source)
    source.sql("CREATE TABLE m (at timestamptz NOT NULL, a int, b int, c int, d int)")
    source.sql("SELECT create_hypertable('m', 'at', chunk_time_interval => interval '1 hour')")
    for column in "abcd":
        source.sql(f"CREATE INDEX ON m ({column}, at); CREATE INDEX ON m (at, {column})")
    source.sql("CREATE INDEX ON m (a, b)")
    for day in range(0, 180, 5):
        source.sql(
            f"INSERT INTO m SELECT timestamptz '2026-01-01' + interval '{day} days' + i * interval '1 hour', i, i, i, i"
            " FROM generate_series(0, 119) i"
        )
    assert source.sql("SELECT count(*) FROM show_chunks('m')") == [(4320,)]
    taken = take(source, tmp_path / "point")
    assert taken.parts[0].counts["public.m"] == 4320
    restore(source, taken)
    assert source.sql("SELECT count(*) FROM show_chunks('m')") == [(4320,)]
    assert TimescaleBackup().counts(source.endpoint)["public.m"] == 4320


def test_a_version_that_restores_less_than_it_dumps(start: Any, tmp_path: Path) -> None:  # noqa: F811
    """Chunk skipping and compressed chunks come back all the same; those are named at the dump, and in health."""
    other = replace(start, names=replace(start.names, environment="older"))
    older = other("timescaledb", image="timescale/timescaledb:2.19.3-pg17", memory="512mb", cpus=2)
    by_name("timescaledb").prepare(older.endpoint)
    skipping = "SET timescaledb.enable_chunk_skipping = on; SELECT enable_chunk_skipping('m', 'big')"
    for statement in (*SERIES, skipping):
        older.sql(statement)
    taken = take(older, tmp_path / "point")
    restore(older, taken)
    ranges = "SELECT column_name FROM _timescaledb_catalog.chunk_column_stats WHERE chunk_id = 0"
    assert older.sql(ranges) == [("big",)]
    assert older.sql("SELECT count(*) FROM m") == [(600,)]
    for statement in ("ALTER TABLE m ADD COLUMN never text DEFAULT 'd'; UPDATE m SET never = NULL", *COMPRESS):
        older.sql(statement)
    layout = (
        "SELECT c.relname, a.attname, a.atttypid::regtype::text, a.attstorage, a.attstattarget FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid WHERE c.relname LIKE 'compress_hyper%' AND a.attnum > 0 ORDER BY 1, 2"
    )
    kind = Kind(
        "compressed", (), (layout, "SELECT kind, count(*), count(extra), count(never) FROM m GROUP BY 1 ORDER BY 1")
    )
    before, compressed = picture(older, kind), take(older, tmp_path / "nowhere")
    proof = TimescaleBackup().prove(older.endpoint, older.control, compressed.folder, compressed.parts)
    assert proof.extent is Extent.RESTORED
    older.sql("DELETE FROM m")
    restore(older, compressed)
    assert picture(older, kind) == before
    warning = "TimescaleDB 2.19.3 cannot restore compressed chunks"
    assert warning in take(older, tmp_path / "compressed").notes
    (check,) = [check for check in probe(older.endpoint, 10).checks if check.name == "restorable"]
    assert (check.status.value, warning in check.detail) == ("degraded", True)


def test_the_schema_of_the_platform(servers: tuple[Any, Any], tmp_path: Path) -> None:
    source, _ = servers
    empty(source)
    with log_in(source.endpoint, "rag") as connection:
        schema.apply(connection, application_role=APPLICATION_ROLE)
    source.sql(
        "INSERT INTO rag.query_logs (asked_at, query, duration_ms) SELECT now() - i * interval '1 day', 'q', 1 FROM generate_series(1, 60) i"
    )
    source.sql("ALTER TABLE rag.query_logs SET (timescaledb.compress)")
    source.sql("SELECT compress_chunk(c) FROM show_chunks('rag.query_logs', older_than => interval '10 days') c")
    taken = take(source, tmp_path / "point")
    restore(source, taken)
    assert source.sql("SELECT count(*) FROM rag.query_logs") == [(60,)]
    assert {check.status.value for check in probe(source.endpoint, 10).checks} == {"ok"}
