"""Alerts about Redis, or Valkey: memory, and what is written to disk."""

from __future__ import annotations

from ragops.services.observability.rules.model import Alert, Group, Severity

_ALERTS = (
    Alert(
        "RedisDown",
        # The name of a container that is gone is looked for longer than a scrape may take.
        'redis_up{job="redis"} == 0 or up{job="redis"} == 0',
        "1m",
        Severity.CRITICAL,
        "Redis of {{ $labels.platform }} does not answer",
        "It, or its exporter. The API answers without a cache, slower. If it does not start, its data may be damaged.",
        "redis-down",
    ),
    Alert(
        "RedisLoads",
        'redis_loading_dump_file{job="redis"} == 1',
        "10m",
        Severity.WARNING,
        "Redis has been reading its data for ten minutes",
        "It answers no command until it is through: a slow disk, or more data than memory.",
        "redis-down",
    ),
    Alert(
        "RedisAofBroken",
        'redis_aof_last_write_status{job="redis"} == 0 or redis_aof_enabled{job="redis"} == 0',
        "1m",
        Severity.CRITICAL,
        "Redis does not write its append-only file",
        "The last write failed, or the file is switched off: a crash now loses all since the last snapshot.",
        "redis-aof-broken",
    ),
    Alert(
        "RedisRewriteFailed",
        'redis_aof_last_bgrewrite_status{job="redis"} == 0',
        "5m",
        Severity.WARNING,
        "Redis could not rewrite its append-only file",
        "The file grows until a rewrite succeeds: no memory for a fork, or no space on the disk.",
        "redis-snapshot-failed",
    ),
    Alert(
        "RedisSnapshotFailed",
        'redis_rdb_last_bgsave_status{job="redis"} == 0',
        "5m",
        Severity.CRITICAL,
        "Redis could not save its snapshot",
        "It refuses all writes until one succeeds, so that nothing is lost without a sign.",
        "redis-snapshot-failed",
    ),
    Alert(
        "RedisSnapshotOld",
        'time() - redis_rdb_last_save_timestamp_seconds{job="redis"} > 7200'
        ' and redis_rdb_changes_since_last_save{job="redis"} > 0',
        "5m",
        Severity.WARNING,
        "Redis has saved no snapshot for {{ $value | humanizeDuration }}",
        "Keys have changed, and `save 900 1` should have saved them after a quarter of an hour.",
        "redis-snapshot-failed",
    ),
    Alert(
        "RedisDiskSlow",
        'increase(redis_aof_delayed_fsync{job="redis"}[15m]) > 3',
        "",
        Severity.WARNING,
        "The disk was too slow for Redis {{ $value | humanize }} times in a quarter of an hour",
        "A write to the append-only file waited for the one before: all clients wait with it.",
        "redis-disk-slow",
    ),
    Alert(
        "RedisEvicts",
        'rate(redis_evicted_keys_total{job="redis"}[15m]) > 10',
        "15m",
        Severity.WARNING,
        "Redis drops {{ $value | humanize }} keys a second for want of memory",
        "The cache is smaller than what is asked for: answers are computed again that it had.",
        "redis-memory",
    ),
    Alert(
        "RedisMemoryNearLimit",
        'redis_memory_used_bytes{job="redis"} / (redis_memory_max_bytes{job="redis"} > 0) > 0.95'
        ' and on (platform, environment, instance) redis_instance_info{maxmemory_policy="noeviction"}',
        "15m",
        Severity.CRITICAL,
        "Redis uses {{ $value | humanizePercentage }} of its memory and may drop nothing",
        "With `maxmemory_policy: noeviction` it refuses every write at the limit.",
        "redis-memory",
    ),
    Alert(
        "RedisRefusesClients",
        'increase(redis_rejected_connections_total{job="redis"}[15m]) > 0',
        "",
        Severity.WARNING,
        "Redis refused {{ $value | humanize }} connections",
        "More clients than it takes: one of them opens connections and does not close them.",
        "redis-refuses-clients",
    ),
)

GROUP = Group("redis", alerts=_ALERTS)
