"""`make bench-db`: every lookup of the metadata database when it is full, the growth of its log, and its upkeep.

RUNTIME=docker measures TimescaleDB in its container. CHUNKS, LOGS and GROWTH (sizes of the log, in millions, for the rate
of inserts: GROWTH=1,10,50) make it shorter or longer; with less than 1,000,000 chunks and 10,000,000 logs the table says so.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from measure import publish, run, write_project

sys.path.insert(0, str(Path(__file__).parent.parent))

from database_compression import compress
from database_fill import fill_documents, make_room
from database_growth import grow, keep_up, size_of_log
from database_measure import BAR_MS, measure_all

from ragops.config.load import load
from ragops.operations.session import Session
from ragops.services.timescaledb.roles import session

if TYPE_CHECKING:
    from database_fill import Connection
    from database_growth import Growth, Upkeep
    from database_measure import Timed

RAGOPS = str(Path(sys.executable).with_name("ragops"))
RUNTIME = os.environ.get("RUNTIME", "embedded")
CHUNKS, LOGS = int(os.environ.get("CHUNKS", "1000000")), int(os.environ.get("LOGS", "10000000"))
GROWTH = [int(float(size) * 1e6) for size in os.environ.get("GROWTH", "1").split(",")]
COLLECTIONS, JOBS = 100, 10_000
BAR_GROWTH, BAR_RETENTION = 1.2, 2.0


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="ragops-db-"))
    folder.chmod(0o755)
    try:
        write_project(folder, RUNTIME)
        for arguments in (["up", "--yes"], ["migrate", "up"]):
            run([RAGOPS, *arguments], folder)
        endpoint = Session(load(folder / "ragops.yaml", None), "bench", print).endpoint("timescaledb")
        with session(endpoint, limit=0) as connection:
            text = measure(connection)
    finally:
        subprocess.run([RAGOPS, "down", "--purge-data", "--yes"], cwd=folder, capture_output=True, timeout=300)
        shutil.rmtree(folder, ignore_errors=True)
    publish("bench-db" if RUNTIME == "embedded" else f"bench-db-{RUNTIME}", text)


def measure(connection: Connection) -> str:
    """Fill the database, measure, and return the section of the page."""
    began = time.perf_counter()
    make_room(connection)
    filled = fill_documents(connection, COLLECTIONS, CHUNKS // 10, CHUNKS, JOBS)
    rates = [grow(connection, size, collections=COLLECTIONS) for size in sorted({*GROWTH, LOGS}) if size <= LOGS]
    seconds = time.perf_counter() - began
    size = size_of_log(connection)
    upkeep = keep_up(connection, LOGS * 7 // 90, COLLECTIONS)
    connection.execute("VACUUM ANALYZE")
    timed = measure_all(connection, filled)
    rates += [grow(connection, more, collections=COLLECTIONS) for more in sorted(GROWTH) if more > LOGS]
    version = connection.execute("SELECT current_setting('server_version')").fetchone() or ("",)
    head = (
        f"`make bench-db` on {os.cpu_count()} cores (load {os.getloadavg()[0]:.0f}), Python {platform.python_version()},"
        f" {datetime.now(UTC):%Y-%m-%d}; runtime {RUNTIME}, PostgreSQL {version[0]}; {CHUNKS:,} chunks of"
        f" {filled.documents:,} documents in {COLLECTIONS} collections and {LOGS:,} logged queries, filled in {seconds:.0f} s."
    )
    parts = [head, lookups_table(timed), growth_table(rates, size), upkeep_text(upkeep)]
    return "\n\n".join([*parts, *compress(connection)])


def lookups_table(timed: list[Timed]) -> str:
    """Return the rows of all statements, and what misses the bar."""
    lines = [
        "| statement | kind | p50, ms | p99, ms | processor time of the server, p50 and p99, ms | reads |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in timed:
        cpu = "" if one.cpu is None else f"{one.cpu[0]:.2f}, {one.cpu[1]:.2f}"
        lines.append(f"| {one.name} | {one.kind} | {one.p50:.2f} | {one.p99:.2f} | {cpu} | {one.shown} |")
    lookups = [one for one in timed if one.kind == "lookup"]
    over = [one.name for one in lookups if one.p99 >= BAR_MS]
    busy = [one.name for one in lookups if one.cpu is not None and one.cpu[1] >= BAR_MS]
    scans = [one.name for one in timed if one.scans]
    return "\n".join(lines) + (
        f"\n\nLookups whose p99 is not below {BAR_MS:g} ms: {', '.join(over) or 'none'} of {len(lookups)}; by processor time:"
        f" {', '.join(busy) or 'none'}. Statements that read a large table in whole: {', '.join(scans) or 'none'}."
    )


def growth_table(rates: list[Growth], size: dict[str, float]) -> str:
    """Return the rate of inserts by size of the log."""
    first = rates[0]
    lines = ["| rows of the log | rows/s added | processor time of the server for a row, µs | of the first |", "| --- | --- | --- | --- |"]  # fmt: skip
    for one in rates:
        cpu = "" if one.cpu_us is None else f"{one.cpu_us:.1f}"
        ratio = first.rate / one.rate if one.cpu_us is None or not first.cpu_us else one.cpu_us / first.cpu_us
        lines.append(f"| {one.rows:,} | {one.rate:,.0f} | {cpu} | {ratio:.2f} |")
    note = f"One connection, COPY in transactions of 500 rows; bar {BAR_GROWTH} times the first."
    return "\n".join(lines) + (
        f"\n\n{note} A row takes {size['table']:.0f} bytes in the table and {size['all']:.0f} with its indexes."
    )


def upkeep_text(one: Upkeep) -> str:
    """Return how long the upkeep took."""
    return (
        f"`ragops migrate maintain`: {', '.join(one.dropped) or 'nothing'} dropped with {one.dropped_rows:,} rows in"
        f" {one.drop_seconds:.2f} s (bar {BAR_RETENTION:g} s), the aggregates refreshed in {one.refresh_seconds:.1f} s."
    )


if __name__ == "__main__":
    main()
