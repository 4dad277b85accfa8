"""Alerts about PostgreSQL and TimescaleDB."""

from __future__ import annotations

from ragops.services.observability.rules.model import PLATFORM, Alert, Group, Severity

_BY_SERVER = f"{PLATFORM}, instance"

_ALERTS = (
    Alert(
        "PostgresDown",
        'pg_up{job="postgres"} == 0 or up{job="postgres"} == 0',
        "1m",
        Severity.CRITICAL,
        "PostgreSQL of {{ $labels.platform }} does not answer",
        "The exporter cannot log in, or is away too: the server is down, full, or refuses the exporter's password.",
        "postgres-down",
    ),
    Alert(
        "PostgresConnectionsNearMax",
        f"sum by ({_BY_SERVER}) (pg_stat_activity_count) / max by ({_BY_SERVER}) (pg_settings_max_connections) > 0.85",
        "5m",
        Severity.WARNING,
        "{{ $value | humanizePercentage }} of PostgreSQL's connections are taken",
        "At the limit the API and ingest are refused; the operator's own few connections are kept free.",
        "postgres-connections-near-max",
        "timescaledb",
    ),
    Alert(
        "PostgresLongTransaction",
        f'max by ({_BY_SERVER}, datname) (pg_stat_activity_max_tx_duration{{state!="idle"}}) > 3600',
        "5m",
        Severity.WARNING,
        "A transaction of {{ $labels.datname }} has been open for {{ $value | humanizeDuration }}",
        "It keeps old rows from being cleaned up and may hold locks. A large restore takes its time too.",
        "postgres-long-transaction",
        "timescaledb",
    ),
    Alert(
        "PostgresSessionsBlocked",
        f"max by ({_BY_SERVER}) (ragops_postgres_blocked_sessions) > 5",
        "5m",
        Severity.WARNING,
        "{{ $value | humanize }} sessions wait for a lock",
        "One session holds what others need: questions cannot be logged, ingest stands still.",
        "postgres-long-transaction",
        "timescaledb",
    ),
    Alert(
        "PostgresDeadlocks",
        f"sum by ({_BY_SERVER}, datname) (increase(pg_stat_database_deadlocks[1h])) > 5",
        "",
        Severity.WARNING,
        "{{ $value | humanize }} deadlocks in {{ $labels.datname }} within an hour",
        "PostgreSQL ended one of two transactions that waited for one another, again and again.",
        "postgres-deadlocks",
        "timescaledb",
    ),
    Alert(
        "PostgresWraparoundNear",
        f"max by ({_BY_SERVER}, datname) (ragops_postgres_oldest_transactions) > 500000000",
        "1h",
        Severity.WARNING,
        "The oldest row of {{ $labels.datname }} is {{ $value | humanize }} transactions old",
        "Autovacuum does not get to freeze rows. At two thousand million the server refuses every write.",
        "postgres-wraparound-near",
        "timescaledb",
    ),
    Alert(
        "PostgresChecksumFailures",
        f"max by ({_BY_SERVER}, datname) (pg_stat_database_checksum_failures) > 0",
        "",
        Severity.CRITICAL,
        "{{ $value | humanize }} pages of {{ $labels.datname }} are damaged",
        "What the disk gave back is not what PostgreSQL wrote: the disk or its controller fails.",
        "postgres-checksum-failures",
        "timescaledb",
    ),
    Alert(
        "TimescaleJobFailed",
        "max by (platform, environment, instance, job_id, job_name) (ragops_timescaledb_job_last_run_success) == 0",
        "15m",
        Severity.WARNING,
        "Job {{ $labels.job_id }} ({{ $labels.job_name }}) of TimescaleDB fails",
        "Old query logs are not removed, or statistics of questions not refreshed: the database grows.",
        "timescale-job-failed",
        "timescaledb",
    ),
    Alert(
        "PostgresFiguresIncomplete",
        'pg_exporter_last_scrape_error{job="postgres"} == 1 and on (platform, environment, instance) pg_up == 1',
        "15m",
        Severity.WARNING,
        "The exporter of PostgreSQL cannot read all of its figures",
        "A statement fails, such as for a right that its role lacks: alerts that read it cannot fire.",
        "postgres-figures-incomplete",
    ),
)

GROUP = Group("postgres", alerts=_ALERTS)
