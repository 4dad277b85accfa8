"""Regular work on the schema: partitions ahead, refreshed views, removal of query logs beyond their retention.

Nothing but `ragops migrate maintain` (and, on TimescaleDB Community, the retention policy of the schema) deletes data.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from psycopg import sql

from ragops.adapters.postgres import fetch_column, fetch_value, translate_errors
from ragops.services.timescaledb.schema.detection import missing_schema
from ragops.services.timescaledb.schema.migrations import Edition, detect, lock_schema

if TYPE_CHECKING:
    from ragops.adapters.postgres import Connection

QUERY_LOGS_KEPT = timedelta(days=90)
_MONTHS_AHEAD = 3
_GROWING = (("ingestion_jobs", "started_at"), ("query_logs", "asked_at"))


@dataclass(frozen=True)
class MaintenanceReport:
    """What maintenance did, by name of table or view.

    `dropped` are parts of rag.query_logs all of whose rows were older than 90 days; a part is a month (a week on
    TimescaleDB), so that rows live up to one part longer. `by_policy` states what the server does by itself instead.
    """

    partitions_made: tuple[str, ...]
    dropped: tuple[str, ...]
    refreshed: tuple[str, ...]
    by_policy: tuple[str, ...]


def maintain(connection: Connection, *, lock_timeout: float = 30) -> MaintenanceReport:
    """Make partitions ahead, drop query logs beyond 90 days, refresh materialized views; each a transaction.

    `connection` is an idle autocommit one, `lock_timeout` in seconds. Raises MissingError if there is no schema,
    LockedError, RagopsError as `translate_errors`.
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
    kind = fetch_value(connection, "SELECT relkind::text FROM pg_class WHERE oid = to_regclass('rag.query_logs')")
    if kind is None:
        raise missing_schema(connection)
    return str(kind)


def _make_partitions(connection: Connection) -> tuple[str, ...]:
    made = []
    for parent, column in _GROWING:
        # The months ahead, and those of rows that no partition was there for.
        query = sql.SQL(
            "SELECT date_trunc('month', now(), 'UTC') + n * INTERVAL '1 month' AS month"
            " FROM generate_series(0, {}) AS n UNION SELECT date_trunc('month', {}, 'UTC') FROM rag.{} ORDER BY month"
        ).format(_MONTHS_AHEAD, sql.Identifier(column), sql.Identifier(f"{parent}_default"))
        # All months first: no partition can be made while a query still reads the default one.
        months = fetch_column(connection, query)
        step = "SELECT rag.make_partition(%s, %s, %s)"
        made += [fetch_value(connection, step, [parent, column, month]) for month in months]
    return tuple(name for name in made if name)


def _has_retention_policy(connection: Connection) -> bool:
    # With an Apache licence a policy that was made before still stands there, but nothing runs it.
    if detect(connection) is not Edition.COMMUNITY:
        return False
    query = (
        "SELECT EXISTS (SELECT FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'"
        " AND hypertable_schema = 'rag' AND hypertable_name = 'query_logs' AND scheduled)"
    )
    return bool(fetch_value(connection, query))


def _drop_old(connection: Connection, kind: str) -> tuple[str, ...]:
    if kind != "p":
        query = "SELECT drop_chunks('rag.query_logs', older_than => now() - %s::interval)"
        return tuple(map(str, fetch_column(connection, query, [QUERY_LOGS_KEPT])))
    old = tuple(fetch_column(connection, _OLD_PARTITIONS, [QUERY_LOGS_KEPT]))
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
    views = fetch_column(connection, "SELECT matviewname FROM pg_matviews WHERE schemaname = 'rag'")
    for view in views:
        with connection.transaction():
            lock_schema(connection, lock_timeout)
            connection.execute(sql.SQL("REFRESH MATERIALIZED VIEW CONCURRENTLY rag.{}").format(sql.Identifier(view)))
    return tuple(views)
