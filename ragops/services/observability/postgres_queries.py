"""Figures of the database that postgres_exporter has no collector for, or only newer releases: statements of ours.

Names begin with `ragops_`, so that no collector of the exporter has the same. The exporter's role is in pg_monitor and
may read no table: sizes are those of files, found in the catalogue.
"""

from __future__ import annotations

from typing import Any

import yaml

_AGE = "SELECT datname, age(datfrozenxid)::bigint AS oldest_transactions FROM pg_database WHERE datallowconn"
_BLOCKED = "SELECT count(*) AS sessions FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
_WAL = "SELECT coalesce(sum(size), 0)::bigint AS bytes FROM pg_ls_waldir()"
_JOBS = """
SELECT s.job_id::text AS job_id, j.proc_name AS job_name, (s.last_run_status = 'Success')::int AS last_run_success
FROM timescaledb_information.job_stats s JOIN timescaledb_information.jobs j USING (job_id)
WHERE s.last_run_status IS NOT NULL
"""
_HYPERTABLES = """
SELECT c.hypertable_name AS hypertable, sum(pg_total_relation_size(k.oid))::bigint AS bytes
FROM timescaledb_information.chunks c
JOIN pg_namespace n ON n.nspname = c.chunk_schema
JOIN pg_class k ON k.relnamespace = n.oid AND k.relname = c.chunk_name
GROUP BY c.hypertable_name
"""


def render_queries(*, timescaledb: bool) -> str:
    """Return the file of the exporter's `--extend.query-path`; without TimescaleDB its statements would fail."""
    queries = {
        "ragops_postgres": _query(_AGE, datname="", oldest_transactions="Age of the oldest row that is not frozen"),
        "ragops_postgres_blocked": _query(_BLOCKED, sessions="Sessions that wait for a lock"),
        "ragops_postgres_wal": _query(_WAL, bytes="Size of the write-ahead log on disk"),
    }
    if timescaledb:
        success = "1 if the last run of a job went well"
        queries |= {
            "ragops_timescaledb_job": _query(_JOBS, job_id="", job_name="", last_run_success=success),
            "ragops_timescaledb_hypertable": _query(_HYPERTABLES, hypertable="", bytes="Size of all its chunks"),
        }
    return yaml.safe_dump(queries, sort_keys=False, width=4096)


def _query(statement: str, **columns: str) -> dict[str, Any]:
    """Return one query; a column without a description is a label."""
    metrics = [
        {name: {"usage": "GAUGE" if text else "LABEL", "description": text or name}} for name, text in columns.items()
    ]
    return {"query": " ".join(statement.split()), "metrics": metrics}
