"""PostgreSQL and TimescaleDB: sessions, transactions, growth, jobs."""

from __future__ import annotations

from ragops.services.observability.dashboards.model import Board, Row, lines, number

_SESSIONS = Row(
    "Sessions",
    (
        number(
            "Answers",
            "none",
            "1 if the exporter can log in.",
            "`ragops health timescaledb`.",
            "min(pg_up{%})",
            red=1,
            low_is_red=True,
            alert="PostgresDown",
        ),
        number(
            "Connections in use",
            "percentunit",
            "Of `timescaledb.max_connections`.",
            "a program does not close its own.",
            "sum(pg_stat_activity_count{%}) / max(pg_settings_max_connections{%})",
            red=0.85,
            alert="PostgresConnectionsNearMax",
        ),
        number(
            "Sessions that wait",
            "none",
            "For a lock that another session holds.",
            "end the session that holds it.",
            "max(ragops_postgres_blocked_sessions{%})",
            red=5,
            alert="PostgresSessionsBlocked",
        ),
        number(
            "Age of the oldest row",
            "short",
            "In transactions; at two thousand million every write is refused.",
            "something holds old rows: freeze them.",
            "max(ragops_postgres_oldest_transactions{%})",
            red=500_000_000,
            alert="PostgresWraparoundNear",
        ),
        lines(
            "Connections",
            "none",
            "By state and database.",
            "many `idle` ones are of a program that forgets them.",
            ("sum by (datname, state) (pg_stat_activity_count{%} > 0)", "{{datname}} {{state}}"),
            alert="PostgresConnectionsNearMax",
        ),
        lines(
            "Longest transaction",
            "s",
            "How long the oldest open one lasts.",
            "it keeps old rows and may hold locks.",
            ('max by (datname) (pg_stat_activity_max_tx_duration{%, state!="idle"})', "{{datname}}"),
            red=3600,
            alert="PostgresLongTransaction",
        ),
        lines(
            "Locks",
            "none",
            "By kind; a lock alone hurts no one.",
            "`exclusive` ones for long stop writers.",
            ("sum by (mode) (pg_locks_count{%} > 0)", "{{mode}}"),
            alert="PostgresLongTransaction",
        ),
        lines(
            "Deadlocks",
            "none",
            "Transactions that PostgreSQL ended, in an hour.",
            "its log has both statements.",
            ("sum by (datname) (increase(pg_stat_database_deadlocks{%}[1h]))", "{{datname}}"),
            red=5,
            alert="PostgresDeadlocks",
        ),
    ),
)
_WORK = Row(
    "Work",
    (
        lines(
            "Transactions",
            "ops",
            "Committed and undone.",
            "many that are undone are errors of a program.",
            ("sum by (datname) (rate(pg_stat_database_xact_commit{%}[$__rate_interval]))", "committed {{datname}}"),
            ("sum by (datname) (rate(pg_stat_database_xact_rollback{%}[$__rate_interval]))", "undone {{datname}}"),
        ),
        lines(
            "Rows",
            "ops",
            "Read and written.",
            "never: it only shows how busy the database is.",
            ("sum(rate(pg_stat_database_tup_fetched{%}[$__rate_interval]))", "read"),
            ("sum(rate(pg_stat_database_tup_inserted{%}[$__rate_interval]))", "inserted"),
            ("sum(rate(pg_stat_database_tup_updated{%}[$__rate_interval]))", "updated"),
            ("sum(rate(pg_stat_database_tup_deleted{%}[$__rate_interval]))", "deleted"),
        ),
        lines(
            "Pages from memory",
            "percentunit",
            "The part of all pages that was in memory.",
            "more memory for the database: `timescaledb.memory`.",
            (
                "sum(rate(pg_stat_database_blks_hit{%}[$__rate_interval])) / (sum(rate(pg_stat_database_blks_hit{%}"
                "[$__rate_interval])) + sum(rate(pg_stat_database_blks_read{%}[$__rate_interval])) > 0)",
                "hits",
            ),
            red=0.9,
            low_is_red=True,
        ),
        lines(
            "Temporary files",
            "Bps",
            "Sorts and joins that did not fit into `work_mem`.",
            "slow statements: see its log.",
            ("sum by (datname) (rate(pg_stat_database_temp_bytes{%}[$__rate_interval]))", "{{datname}}"),
        ),
    ),
)
_GROWTH = Row(
    "Growth and jobs",
    (
        lines(
            "Size of databases",
            "bytes",
            "What is on disk.",
            "old query logs are not removed: `ragops migrate maintain`.",
            ("max by (datname) (pg_database_size_bytes{%})", "{{datname}}"),
            alert="DiskFullSoon",
        ),
        lines(
            "Size of hypertables",
            "bytes",
            "Tables that grow with time.",
            "their retention does not work.",
            ("max by (hypertable) (ragops_timescaledb_hypertable_bytes{%})", "{{hypertable}}"),
            alert="TimescaleJobFailed",
        ),
        lines(
            "WAL on disk",
            "bytes",
            "Log of changes that is kept.",
            "a slot or a failed checkpoint keeps it.",
            ("max(ragops_postgres_wal_bytes{%})", "WAL"),
            alert="DiskFullSoon",
        ),
        lines(
            "Jobs of TimescaleDB",
            "none",
            "1 if the last run went well.",
            "`ragops logs timescaledb` has the error.",
            ("min by (job_id, job_name) (ragops_timescaledb_job_last_run_success{%})", "{{job_id}} {{job_name}}"),
            red=1,
            low_is_red=True,
            alert="TimescaleJobFailed",
        ),
    ),
)

BOARD = Board(
    "ragops-database",
    "Database",
    "Sessions, work and growth of PostgreSQL.",
    (_SESSIONS, _WORK, _GROWTH),
    'up{job="postgres"}',
)
