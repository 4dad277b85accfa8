"""Redis: memory, evictions, and what is on disk."""

from __future__ import annotations

from ragops.services.observability.dashboards.model import Board, Row, lines, number

_NOW = Row(
    "Now",
    (
        number(
            "Answers",
            "none",
            "1 if the exporter can log in.",
            "`ragops health redis`.",
            "min(redis_up{%})",
            red=1,
            low_is_red=True,
            alert="RedisDown",
        ),
        number(
            "Append-only file",
            "none",
            "1 if its last write went well.",
            "a crash now loses all since the last snapshot.",
            "min(redis_aof_last_write_status{%} * redis_aof_enabled{%})",
            red=1,
            low_is_red=True,
            alert="RedisAofBroken",
        ),
        number(
            "Age of the snapshot",
            "s",
            "Since the last save.",
            "it cannot save: see its log.",
            "time() - min(redis_rdb_last_save_timestamp_seconds{%})",
            red=7200,
            alert="RedisSnapshotOld",
        ),
        number(
            "Clients",
            "none",
            "Connections that are open.",
            "one program opens them and does not close them.",
            "sum(redis_connected_clients{%})",
            alert="RedisRefusesClients",
        ),
    ),
)
_TIME = Row(
    "Over time",
    (
        lines(
            "Memory",
            "bytes",
            "Used, resident and the limit.",
            "at the limit keys are dropped, or writes refused.",
            ("redis_memory_used_bytes{%}", "used"),
            ("redis_memory_used_rss_bytes{%}", "resident"),
            ("redis_memory_max_bytes{%}", "limit"),
            alert="RedisMemoryNearLimit",
        ),
        lines(
            "Dropped keys",
            "ops",
            "For want of memory, and because their time was over.",
            "the cache is smaller than what is asked for.",
            ("rate(redis_evicted_keys_total{%}[$__rate_interval])", "for want of memory"),
            ("rate(redis_expired_keys_total{%}[$__rate_interval])", "time over"),
            red=10,
            alert="RedisEvicts",
        ),
        lines(
            "Hit rate",
            "percentunit",
            "The part of all reads that found a key.",
            "never: questions differ.",
            (
                "rate(redis_keyspace_hits_total{%}[$__rate_interval]) / (rate(redis_keyspace_hits_total{%}"
                "[$__rate_interval]) + rate(redis_keyspace_misses_total{%}[$__rate_interval]) > 0)",
                "hits",
            ),
        ),
        lines(
            "Commands",
            "ops",
            "How many a second.",
            "never: it only shows how busy Redis is.",
            ("sum(rate(redis_commands_total{%}[$__rate_interval]))", "commands"),
        ),
        lines(
            "Writes that waited for the disk",
            "none",
            "In a quarter of an hour.",
            "the disk is too slow, all clients wait.",
            ("increase(redis_aof_delayed_fsync{%}[15m])", "waited"),
            red=3,
            alert="RedisDiskSlow",
        ),
        lines(
            "Size of the append-only file",
            "bytes",
            "Its size, and that after its last rewrite.",
            "it grows without end: rewrites fail.",
            ("redis_aof_current_size_bytes{%}", "now"),
            ("redis_aof_base_size_bytes{%}", "after the rewrite"),
            alert="RedisRewriteFailed",
        ),
        lines(
            "Rewrite and save",
            "none",
            "1 if the last one went well.",
            "no space, or no memory for a fork.",
            ("redis_aof_last_bgrewrite_status{%}", "rewrite"),
            ("redis_rdb_last_bgsave_status{%}", "save"),
            red=1,
            low_is_red=True,
            alert="RedisSnapshotFailed",
        ),
        lines(
            "Changes since the save",
            "none",
            "Keys that a snapshot does not have yet.",
            "saves do not happen.",
            ("redis_rdb_changes_since_last_save{%}", "changes"),
            alert="RedisSnapshotOld",
        ),
    ),
)

BOARD = Board("ragops-redis", "Redis", "Memory and persistence of the cache.", (_NOW, _TIME), 'up{job="redis"}')
