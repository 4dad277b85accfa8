"""What compression of old queries saves and costs, on TimescaleDB Community."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from database_fill import Connection

_OLDEST = (
    "SELECT format('%I.%I', chunk_schema, chunk_name), range_start, range_end FROM timescaledb_information.chunks"
    " WHERE hypertable_name = 'query_logs' AND range_end < now() ORDER BY range_start DESC LIMIT 1 OFFSET 2"
)
# What is asked of old queries: those of a collection, those of a time, the figures of a week, one question by its hash.
_QUESTIONS = {
    "latest of a collection": "SELECT * FROM {chunk} WHERE collection = 'collection-7' ORDER BY asked_at DESC LIMIT 50",
    "an hour": "SELECT * FROM {chunk} WHERE asked_at BETWEEN '{start}'::timestamptz AND '{start}'::timestamptz + interval '1 hour'",
    "hourly figures": "SELECT time_bucket('1 hour', asked_at), collection, count(*), max(duration_ms) FROM {chunk} GROUP BY 1, 2",
    "a question": "SELECT count(*) FROM {chunk} WHERE query_hash = encode(sha256('7'), 'hex')",
}
_RUNS = 5


def compress(connection: Connection) -> list[str]:
    """Compress one old chunk of the log and return a table; nothing on other editions."""
    license_ = connection.execute("SELECT current_setting('timescaledb.license', true)").fetchone() or (None,)
    if license_[0] != "timescale":
        return []
    row = connection.execute(_OLDEST).fetchone()
    if row is None:
        return []
    chunk, start, _end = row
    before = {name: _seconds(connection, text, chunk, start) for name, text in _QUESTIONS.items()}
    [size] = connection.execute("SELECT pg_total_relation_size(%s::regclass)", [chunk]).fetchone() or (0,)
    connection.execute(
        "ALTER TABLE rag.query_logs SET (timescaledb.compress, timescaledb.compress_segmentby = 'collection',"
        " timescaledb.compress_orderby = 'asked_at DESC')"
    )
    began = time.perf_counter()
    connection.execute("SELECT compress_chunk(%s::regclass)", [chunk])
    seconds = time.perf_counter() - began
    after = {name: _seconds(connection, text, chunk, start) for name, text in _QUESTIONS.items()}
    [rest] = connection.execute(
        "SELECT after_compression_total_bytes FROM chunk_compression_stats('rag.query_logs')"
        " WHERE format('%%I.%%I', chunk_schema, chunk_name) = %s",
        [chunk],
    ).fetchone() or (0,)
    lines = ["| of one chunk of 7 days | as rows, ms | compressed, ms |", "| --- | --- | --- |"]
    lines += [f"| {name} | {before[name] * 1000:.1f} | {after[name] * 1000:.1f} |" for name in _QUESTIONS]
    text = f"Compressed by collection in {seconds:.1f} s: {size / 1e6:.0f} MB are {rest / 1e6:.0f} MB, {size / max(rest, 1):.1f} times less."
    return [text, "\n".join(lines)]


def _seconds(connection: Connection, text: str, chunk: str, start: object) -> float:
    times = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        connection.execute(text.format(chunk=chunk, start=start)).fetchall()  # type: ignore[call-overload]
        times.append(time.perf_counter() - began)
    return statistics.median(times)
