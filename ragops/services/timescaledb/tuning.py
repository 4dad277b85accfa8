"""What PostgreSQL is to do with the memory and processors that it is given."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.timescaledb.settings import TimescaleSettings

_MIB = 1 << 20
_GIB = 1 << 30

_BACKGROUND_WORKERS = 16  # TimescaleDB's own default: one scheduler for each database and its jobs
_OWN_WORKERS = 3  # checkpointer, writer of the log, autovacuum launcher


def tune(memory: int, cpus: int, connections: int) -> dict[str, str]:
    """Return settings for `memory` bytes, `cpus` processors, `connections` at most, by name in postgresql.conf.

    A quarter of the memory for shared_buffers and three for effective_cache_size: PostgreSQL documentation, "Resource
    Consumption" and "Planner Cost Constants", and timescaledb-tune (pkg/pgtune/memory.go), which the rest follows too:
    an eighth, at most 2047 MB, for maintenance_work_mem; 128 MB for each GB, shared by all connections and by half the
    processors, for work_mem (never under PostgreSQL's default of 4 MB); workers for all processors in addition to
    TimescaleDB's own, half of them for one query (parallel.go); locks for the chunks of large hypertables, twice
    of which a dump takes at once (256 are room for 25,000). More than one
    GB of write-ahead log if there is memory to fill it, so that bulk loads do not force checkpoints.
    """
    half = max(1, round(cpus / 2))
    log = min(max(memory, _GIB), 4 * _GIB)
    return {
        "shared_buffers": _megabytes(memory // 4),
        "effective_cache_size": _megabytes(memory * 3 // 4),
        "maintenance_work_mem": _megabytes(min(memory // 8, 2047 * _MIB)),
        "work_mem": _megabytes(max(memory // 8 // connections // half, 4 * _MIB)),
        "max_wal_size": _megabytes(log),
        "min_wal_size": _megabytes(log // 2),
        "max_worker_processes": str(_OWN_WORKERS + _BACKGROUND_WORKERS + cpus),
        "max_parallel_workers": str(cpus),
        "max_parallel_workers_per_gather": str(half if cpus > 1 else 0),
        "max_locks_per_transaction": str(min(max(memory // _GIB * 128, 256), 1024)),
        "random_page_cost": "1.1",
        "timescaledb.max_background_workers": str(_BACKGROUND_WORKERS),
    }


def parameters(settings: TimescaleSettings) -> Mapping[str, str]:
    """`tuned` for the settings; what they say themselves wins."""
    locks = str(settings.max_locks_per_transaction or "")
    said = {
        "shared_buffers": settings.shared_buffers,
        "work_mem": settings.work_mem,
        "max_locks_per_transaction": locks,
    }
    cpus = settings.cpus or os.cpu_count() or 1
    found = tune(settings.memory_bytes, cpus, settings.max_connections)
    return {**found, **{name: value for name, value in said.items() if value}}


def shared_memory(settings: TimescaleSettings) -> int:
    """Bytes of /dev/shm: parallel queries exchange rows and build hashes there, and Docker's 64 MB end them.

    Its pages count as the container's memory, and only once they are used.
    """
    return max(64 * _MIB, settings.memory_bytes // 2)


def _megabytes(size: int) -> str:
    return f"{size // _MIB}MB"
