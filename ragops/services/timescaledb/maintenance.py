"""What a server does not do by itself: partitions ahead, fresh figures, and dropping query logs that had their time.

Nothing but `ragops migrate maintain` (and, on TimescaleDB Community, the retention policy of the schema) deletes data.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from psycopg import sql

from ragops.adapters.postgres import translate_errors
from ragops.errors import MissingError
from ragops.services.timescaledb.foreign_schema import refuse_foreign_schema
from ragops.services.timescaledb.schema import Edition, detect, lock_schema

if TYPE_CHECKING:
    from ragops.adapters.postgres import Connection

QUERY_LOGS_KEPT = timedelta(days=90)
_MONTHS_AHEAD = 3
_GROWING = (("ingestion_jobs", "started_at"), ("query_logs", "asked_at"))


@dataclass(frozen=True)
class MaintenanceReport:
    """What maintenance did, by name of table or view.

    `dropped` are parts of rag.query_logs all of whose rows were older than 90 days; a part is a month (a week on
    TimescaleDB), so that rows live up to one part longer. `by_policy` says what the server does by itself instead.
    """

    partitions_made: tuple[str, ...]
    dropped: tuple[str, ...]
    refreshed: tuple[str, ...]
    by_policy: tuple[str, ...]


def maintain(connection: Connection, *, lock_timeout: float = 30) -> MaintenanceReport:
    """Make partitions ahead, drop query logs beyond 90 days, refresh materialized views; each a transaction.

    `connection` is an idle autocommit one, `lock_timeout` in seconds. Raises MissingError if there is no schema,
    LockedError, RagopsError as `translate_errors` says.
    """
    with translate_errors("maintenance"):
        kind = _kind(connection)
        with connection.transaction():
            lock_schema(connection, lock_timeout)
            made = _make_partitions(connection) if kind == "p" else ()
        policy = kind == "r" and _has_retention_policy(connection)
        with connection.transaction():
            lock_schema(connection, lock_timeout)
            dropped = () if policy else _drop_old(connection, kind)
        refreshed = _refresh(connection, lock_timeout)
    by_policy = (("retention of query_logs",) if policy else ()) + (() if refreshed else ("refresh of query_stats",))
    return MaintenanceReport(made, dropped, refreshed, by_policy)


def _kind(connection: Connection) -> str:
    row = connection.execute("SELECT relkind::text FROM pg_class WHERE oid = to_regclass('rag.query_logs')").fetchone()
    if row is None:
        refuse_foreign_schema(connection)
        raise MissingError("schema_missing", "the database has no rag schema yet", "run `ragops migrate up`")
    return str(row[0])


def _make_partitions(connection: Connection) -> tuple[str, ...]:
    made = []
    for parent, column in _GROWING:
        # The months ahead, and those of rows that no partition was there for.
        query = sql.SQL(
            "SELECT date_trunc('month', now(), 'UTC') + n * INTERVAL '1 month' AS month"
            " FROM generate_series(0, {}) AS n UNION SELECT date_trunc('month', {}, 'UTC') FROM rag.{} ORDER BY month"
        ).format(_MONTHS_AHEAD, sql.Identifier(column), sql.Identifier(f"{parent}_default"))
        # All months first: no partition can be made while a query still reads the default one.
        for (month,) in connection.execute(query).fetchall():
            row = connection.execute("SELECT rag.make_partition(%s, %s, %s)", [parent, column, month]).fetchone()
            made += [row[0]] if row and row[0] else []
    return tuple(made)


def _has_retention_policy(connection: Connection) -> bool:
    # With an Apache licence a policy that was made before still stands there, but nothing runs it.
    if detect(connection) is not Edition.COMMUNITY:
        return False
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'"
        " AND hypertable_schema = 'rag' AND hypertable_name = 'query_logs' AND scheduled)"
    ).fetchone()
    return bool(row and row[0])


def _drop_old(connection: Connection, kind: str) -> tuple[str, ...]:
    if kind != "p":
        rows = connection.execute(
            "SELECT drop_chunks('rag.query_logs', older_than => now() - %s::interval)", [QUERY_LOGS_KEPT]
        )
        return tuple(str(name) for (name,) in rows)
    old = tuple(name for (name,) in connection.execute(_OLD_PARTITIONS, [QUERY_LOGS_KEPT]))
    for name in old:
        connection.execute(sql.SQL("DROP TABLE rag.{}").format(sql.Identifier(name)))
    return old


_OLD_PARTITIONS = """
SELECT relname FROM (
    SELECT c.relname::text,
           (regexp_match(pg_get_expr(c.relpartbound, c.oid), $$TO \\('([^']+)'\\)$$))[1]::timestamptz AS high
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'rag.query_logs'::regclass
) AS parts WHERE high <= now() - %s::interval ORDER BY high
"""


def _refresh(connection: Connection, lock_timeout: float) -> tuple[str, ...]:
    views = [name for (name,) in connection.execute("SELECT matviewname FROM pg_matviews WHERE schemaname = 'rag'")]
    for view in views:
        with connection.transaction():
            lock_schema(connection, lock_timeout)
            connection.execute(sql.SQL("REFRESH MATERIALIZED VIEW CONCURRENTLY rag.{}").format(sql.Identifier(view)))
    return tuple(views)
