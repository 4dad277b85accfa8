"""How fast the log of queries grows at several sizes, how long its aggregates take, and its retention."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from database_fill import DAYS, fill_logs
from database_processor import processor_seconds, server_process

from ragops.api.querylog import Entry, row
from ragops.services.timescaledb.schema import maintenance

if TYPE_CHECKING:
    from database_fill import Connection

_COPY = (
    "COPY rag.query_logs (id, asked_at, collection, query, query_hash, embedding_model, consumer, request_id, outcome,"
    " result_count, top_score, duration_ms) FROM STDIN"
)
_BATCH, _ROUNDS, _ROUND_ROWS = 500, 5, 20_000


@dataclass(frozen=True)
class Growth:
    """Rows a second that one connection adds to a log of `rows`, by COPY in transactions of 500; the best of rounds.

    `cpu_us` is the server's processor time for a row, None if its process is not one of this machine.
    """

    rows: int
    rate: float
    cpu_us: float | None


def grow(connection: Connection, wanted: int, *, is_random: bool = False, collections: int = 100) -> Growth:
    """Fill the log up to `wanted` rows of the last 90 days, then measure how fast the API adds to it."""
    there = _estimate(connection)
    if wanted > there:
        until = datetime.now(tz=UTC)
        since = until - timedelta(days=DAYS) * (1 - there / wanted)
        fill_logs(connection, wanted - there, since, until, is_random=is_random, collections=collections)
    connection.execute("ANALYZE rag.query_logs")
    connection.execute("CHECKPOINT")
    return measure_inserts(connection, wanted, is_random=is_random)


def measure_inserts(connection: Connection, size: int, *, is_random: bool = False) -> Growth:
    """Measure on a log of `size` rows: rows as the API makes them; what is added stays."""
    rates, spent, pid = [], [], server_process(connection)
    for _ in range(_ROUNDS):
        rows = [_row(number) for number in range(_ROUND_ROWS)]
        if is_random:
            rows = [(uuid.uuid4(), *one[1:]) for one in rows]
        began, used = time.perf_counter(), processor_seconds(pid)
        for start in range(0, len(rows), _BATCH):
            with connection.transaction(), connection.cursor() as cursor, cursor.copy(_COPY) as copy:
                for one in rows[start : start + _BATCH]:
                    copy.write_row(one)
        rates.append(_ROUND_ROWS / (time.perf_counter() - began))
        spent.append(processor_seconds(pid) - used)
    cpu = min(spent) / _ROUND_ROWS * 1e6 if pid else None
    return Growth(size, max(rates), cpu)


def _row(number: int) -> tuple[object, ...]:
    entry = Entry(
        f"collection-{number % 100}",
        f"how do I restore table {number % 9973}",
        "consumer-1",
        "static-multilingual-256-v1",
        datetime.now(tz=UTC),
    )
    entry.duration_ms = 4.2
    return row(entry, "keep", f"{number:032x}")


def _estimate(connection: Connection) -> int:
    return int((connection.execute("SELECT count(*) FROM rag.query_logs").fetchone() or (0,))[0])


def size_of_log(connection: Connection) -> dict[str, Any]:
    """Return bytes of a row in the table and in its indexes, for a log that has rows."""
    rows = _estimate(connection)
    heap, total = connection.execute(
        "SELECT sum(pg_table_size(c.oid)), sum(pg_total_relation_size(c.oid)) FROM pg_class c"
        " WHERE c.oid = ANY(ARRAY(SELECT inhrelid FROM pg_inherits WHERE inhparent = 'rag.query_logs'::regclass))"
    ).fetchone() or (0, 0)
    return {"rows": rows, "table": float(heap) / rows, "all": float(total) / rows}


@dataclass(frozen=True)
class Upkeep:
    """What one run of the maintenance took: the drop of a week that is too old, and the refresh of the aggregates."""

    dropped: tuple[str, ...]
    dropped_rows: int
    drop_seconds: float
    refresh_seconds: float


def keep_up(connection: Connection, rows: int, collections: int) -> Upkeep:
    """Add a week of `rows` queries that is beyond the retention, then drop it and refresh the aggregates."""
    until = datetime.now(tz=UTC) - timedelta(days=DAYS + 31)
    fill_logs(connection, rows, until - timedelta(days=7), until, is_random=False, collections=collections)
    kind = maintenance._kind(connection)
    began = time.perf_counter()
    dropped = maintenance._drop_old(connection, kind)
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    if not maintenance._refresh(connection, 30):
        for view in ("hourly", "daily"):
            connection.execute(
                f"CALL refresh_continuous_aggregate('rag.query_stats_{view}', now() - interval '89 days', now())"
            )
    return Upkeep(dropped, rows, seconds, time.perf_counter() - began)
