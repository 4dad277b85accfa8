"""Times of single statements, and what the planner does for them."""

from __future__ import annotations

import random
import re
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from database_lookups import EXCLUDED, LOOKUPS, OPERATORS
from database_processor import processor_seconds, server_process
from database_statements import find_statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from database_fill import Connection, Filled
    from database_lookups import Lookup

BAR_MS = 5.0
RUNS, WARM_UPS = {"lookup": 1000, "batch": 100, "whole": 20}, 20
# Read in whole they take longer than the bar as soon as they have grown; the others stay small.
_PART = re.compile(r"_\d{4}_\d{2}|^_hyper_\d+_\d+_chunk|\d+_\d+_")
LARGE = ("documents", "chunks", "query_logs", "ingestion_jobs", "query_stats_hourly")


@dataclass(frozen=True)
class Timed:
    """Milliseconds at the client and of the server's processor (p50 and p99, None if its process is elsewhere).

    `reads` says which index the plan uses, or that it reads a large table in whole.
    """

    key: str
    kind: str
    p50: float
    p99: float
    cpu: tuple[float, float] | None
    reads: tuple[str, ...]

    @property
    def name(self) -> str:
        """The statement as the page calls it."""
        module, _, name = self.key.rpartition(":")
        return f"`{module.rpartition('.')[2]}.{name}`" if module else self.key

    @property
    def shown(self) -> str:
        """What it reads, partitions and chunks by the name of one of them."""
        names = dict.fromkeys(_PART.sub("…", name) for name in self.reads)
        return ", ".join(f"`{name}`" if not name.startswith("all of") else f"**{name}**" for name in names)

    @property
    def scans(self) -> bool:
        """Whether a large table is read in whole."""
        return any(one.startswith("all of ") for one in self.reads)


def measure_all(connection: Connection, filled: Filled) -> list[Timed]:
    """Measure every statement that is not excluded; each runs in a transaction that is rolled back."""
    texts = find_statements()
    if unlisted := texts.keys() - LOOKUPS.keys() - EXCLUDED.keys():
        raise SystemExit(f"statements that bench/database_lookups.py does not list: {sorted(unlisted)}")
    found = [_measure(connection, filled, key, one.text or texts[key], one) for key, one in LOOKUPS.items()]
    return found + [_measure(connection, filled, key, one.text, one) for key, one in OPERATORS.items()]


def _measure(connection: Connection, filled: Filled, key: str, text: str, lookup: Lookup) -> Timed:
    rng, times, spent = random.Random(key), [], []
    pid = server_process(connection)
    for number in range(RUNS[lookup.kind] + WARM_UPS):
        values = lookup.values(filled, rng)
        with connection.transaction(force_rollback=True):
            used, began = processor_seconds(pid), time.perf_counter()
            _run(connection, text, values, copies=lookup.copies)
            taken = (time.perf_counter() - began) * 1000
            used = (processor_seconds(pid) - used) * 1000
        if number >= WARM_UPS:
            times.append(taken)
            spent.append(used)
    cpu = (statistics.median(spent), _p99(spent)) if pid else None
    reads = () if lookup.copies else _explain(connection, text, lookup.values(filled, rng))
    return Timed(key, lookup.kind, statistics.median(times), _p99(times), cpu, reads)


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def _run(connection: Connection, text: str, values: Any, *, copies: bool) -> None:
    if copies:
        with connection.cursor() as cursor, cursor.copy(text) as copy:  # type: ignore[call-overload]
            for row in values:
                copy.write_row(row)
        return
    cursor = connection.execute(text, values)  # type: ignore[call-overload]
    if cursor.description:
        cursor.fetchall()


def _explain(connection: Connection, text: str, values: Any) -> tuple[str, ...]:
    with connection.transaction(force_rollback=True), psycopg.ClientCursor(connection) as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {text}", values)  # type: ignore[call-overload]
        row = cursor.fetchone() or ([{}],)
    return tuple(dict.fromkeys(_scans(row[0][0].get("Plan", {}))))


def _scans(plan: dict[str, Any]) -> Iterator[str]:
    relation = plan.get("Relation Name", "")
    if "Index Name" in plan and relation:
        yield plan["Index Name"]
    elif plan.get("Node Type", "").endswith("Seq Scan") and relation.startswith(LARGE) and plan["Plan Rows"] > 1000:
        yield f"all of {relation}"
    for child in plan.get("Plans", []):
        yield from _scans(child)
