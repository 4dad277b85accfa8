"""What every alert is tested with: series that are fine, that are not, and that are fine again."""

from __future__ import annotations

from dataclasses import dataclass

HOUR, DAY = 3600, 86_400


@dataclass(frozen=True)
class Case:
    """Series from minute 0 on, a sample a step; which alerts fire at `quiet`, at `fires` and at `over`.

    `series` are selector and values as promtool writes them; each gets the labels of one platform. `also` are alerts
    that the same fault sets off, by what it is.
    """

    alert: str
    series: tuple[tuple[str, str], ...]
    fires: str = "15m"
    over: str = "40m"
    quiet: str = "4m"
    step: str = "1m"
    also: tuple[str, ...] = ()
    scraped: bool = True


def flat(*parts: tuple[float, int]) -> str:
    """Each value so many times."""
    return " ".join(f"{value:g}" if count == 1 else f"{value:g}+0x{count - 1}" for value, count in parts)


def ramp(*parts: tuple[float, int]) -> str:
    """A counter that grows by so much a step, for so many steps."""
    words, now = [], 0.0
    for step, count in parts:
        words.append(f"{now + step:g}+{step:g}x{count - 1}")
        now += step * count
    return " ".join(words)


def turns(good: float, bad: float, minutes: int = 15) -> str:
    """Fine for five steps, wrong for `minutes`, then fine."""
    return flat((good, 5), (bad, minutes), (good, 60))


def s(selector: str, values: str) -> tuple[str, str]:
    """One series; the labels of the platform are put in."""
    name, _, labels = selector.partition("{")
    inner = ", ".join(part for part in ('platform="rag"', 'environment="live"', labels.rstrip("}")) if part)
    return f"{name}{{{inner}}}", values


def one(alert: str, selector: str, values: str, *more: tuple[str, str], **options: object) -> Case:
    return Case(alert, (s(selector, values), *more), **options)  # type: ignore[arg-type]


# --- availability ----------------------------------------------------------------------------------------------------

_OK = 'kong_http_requests_total{job="gateway", code="200"}'
_BAD = 'kong_http_requests_total{job="gateway", code="503"}'
_SLOW = ("Availability999BurnsSlowly", "Availability9999BurnsSlowly")


def budget(alert: str, failed: str, fires: str, *also: str) -> Case:
    """3,000 requests a minute go well for hours, and so many fail."""
    return one(
        alert, _OK, ramp((6000, 340)), s(_BAD, failed), quiet="56m", fires=fires, over="660m", step="2m", also=also
    )


AVAILABILITY = (
    # A fifth of all requests for half an hour, then none: the windows of 30 minutes and of 6 hours end it.
    budget("Availability999BurnsFast", ramp((0, 30), (1500, 15), (0, 300)), "88m", *_SLOW, "Availability9999BurnsFast"),
    # One in 400: 99.9% burns 2.5 times as fast, which is no emergency; 99.99% burns 25 times as fast.
    budget("Availability9999BurnsFast", ramp((0, 30), (15, 15), (0, 300)), "85m", _SLOW[1]),
    budget(
        "Availability999BurnsSlowly", ramp((0, 30), (24, 60), (0, 300)), "170m", "Availability9999BurnsFast", _SLOW[1]
    ),
    budget("Availability9999BurnsSlowly", ramp((0, 30), (1, 100), (0, 300)), "250m"),
)

# --- api -------------------------------------------------------------------------------------------------------------

_REFUSED = "ragops_api_auth_refused_total"
_STATUS = 'ragops_api_requests_total{job="api", route="/api/v1/search", method="GET", status='
_SECONDS = 'ragops_api_request_seconds_bucket{job="api", route="/api/v1/search", method="GET", class="2xx", le='
API = (
    one("ApiDown", 'up{job="api", instance="api"}', turns(1, 0), scraped=False),
    one("ApiErrors", f'{_STATUS}"200"}}', ramp((600, 120)), s(f'{_STATUS}"500"}}', ramp((0, 60), (60, 20), (0, 40))),
        quiet="55m", fires="75m", over="100m"),
    one("ApiSlow", f'{_SECONDS}"0.5"}}', ramp((100, 20), (50, 30), (100, 60)),
        s(f'{_SECONDS}"1"}}', ramp((100, 20), (50, 30), (100, 60))),
        s(f'{_SECONDS}"2.5"}}', ramp((100, 110))), s(f'{_SECONDS}"+Inf"}}', ramp((100, 110))),
        quiet="18m", fires="45m", over="75m"),
    one("ApiOverloaded", 'ragops_api_requests_shed_total{job="api"}',
        ramp((0, 10), (600, 30), (0, 60)), quiet="8m", fires="30m", over="60m"),
    one("BreakerOpen", 'ragops_api_breaker_state{job="api", dependency="qdrant"}', turns(0, 2)),
    one("BreakerOpensOften", 'ragops_api_breaker_changes_total{job="api", dependency="qdrant", state="open"}',
        flat((0, 3), (1, 3), (2, 3), (4, 3), (6, 160)), step="10m", quiet="90m", fires="150m", over="1640m"),
    one("UnauthorizedServiceCall", f'{_REFUSED}{{job="api", instance="api", kind="service", reason="missing"}}',
        flat((0, 10), (1, 100)), quiet="8m", fires="15m", over="80m"),
    one("ForgedTokens", f'{_REFUSED}{{job="api", instance="api", kind="user", reason="forged"}}',
        flat((0, 10), (3, 100)), quiet="8m", fires="15m", over="40m"),
    one("CacheUnavailable", 'ragops_api_cache_total{job="api", outcome="unavailable"}',
        ramp((0, 10), (5, 15), (0, 60)), quiet="8m", fires="22m", over="60m"),
    one("QueryLogDropped", 'ragops_api_query_log_dropped_total{job="api"}',
        flat((0, 10), (50, 100)), quiet="8m", fires="15m", over="60m"),
    one("ApiReadOnly", 'ragops_api_read_only{job="api"}', turns(0, 1, 50), quiet="30m", fires="45m", over="70m"),
)  # fmt: skip

# --- gateway ---------------------------------------------------------------------------------------------------------

_TARGET = 'kong_upstream_target_health{job="gateway", upstream="api", target="api:8000", state='
_CODE = 'kong_http_requests_total{job="gateway", route="v1", code='
_ENDS = "ragops_certificate_not_after_timestamp_seconds"
GATEWAY = (
    one("GatewayDown", 'up{job="gateway", instance="gateway"}', turns(1, 0)),
    one("UpstreamUnhealthy", f'{_TARGET}"healthy"}}', turns(1, 0), s(f'{_TARGET}"unhealthy"}}', turns(0, 1)),
        s(f'{_TARGET}"healthchecks_off"}}', turns(0, 0))),
    one("UpstreamUnhealthy", 'envoy_cluster_membership_healthy{job="gateway", envoy_cluster_name="api"}', turns(1, 0),
        s('envoy_cluster_membership_total{job="gateway", envoy_cluster_name="api"}', turns(1, 1))),
    one("TokensRefused", f'{_CODE}"200"}}', ramp((60, 120)), s(f'{_CODE}"401"}}', ramp((0, 20), (60, 40), (0, 60))),
        quiet="18m", fires="50m", over="90m"),
    one("TokensRefused", 'envoy_http_downstream_rq_xx{job="gateway", envoy_http_conn_manager_prefix="gateway", '
        'envoy_response_code_class="4"}', ramp((60, 120)),
        s('envoy_http_jwt_authn_denied{job="gateway", envoy_http_conn_manager_prefix="gateway"}',
          ramp((0, 20), (60, 40), (0, 60))), quiet="18m", fires="50m", over="90m"),
    one("ClientsRateLimited", f'{_CODE}"200"}}', ramp((60, 120)),
        s(f'{_CODE}"429"}}', ramp((0, 20), (60, 40), (0, 60))), quiet="18m", fires="55m", over="90m"),
    one("CertificateEndsSoon", _ENDS, flat((60 * DAY, 10), (10 * DAY, 90), (90 * DAY, 60)),
        quiet="8m", fires="80m", over="110m"),
    one("CertificateEnds", _ENDS, flat((60 * DAY, 10), (2 * DAY, 40), (90 * DAY, 60)),
        quiet="8m", fires="30m", over="60m"),
    one("TokenEnds", 'ragops_token_expires_timestamp_seconds{consumer="website", kid="a"}',
        flat((60 * DAY, 10), (5 * DAY, 90), (90 * DAY, 60)), quiet="8m", fires="80m", over="110m"),
)  # fmt: skip

# --- qdrant ----------------------------------------------------------------------------------------------------------


def node(name: str, number: int, values: str, labels: str = "") -> tuple[str, str]:
    return s(f'{name}{{job="qdrant", instance="qdrant-{number}"{labels}}}', values)


def three(name: str, *values: str, labels: str = "") -> tuple[tuple[str, str], ...]:
    return tuple(node(name, number, one, labels) for number, one in enumerate(values, 1))


_FINE = turns(1, 1)
_POINTS = three("collection_points", turns(9, 9), labels=', id="docs"')
_LATENCY = ', endpoint="/qdrant.Points/Query", status="0", le='
QDRANT = (
    Case("QdrantNodeDown", three("up", _FINE, turns(1, 0), _FINE)),
    Case("QdrantQuorumLost", three("up", _FINE, turns(1, 0), turns(1, 0)), also=("QdrantNodeDown",)),
    Case("QdrantQuorumLost", three("up", turns(1, 0)), also=("QdrantNodeDown",)),
    Case("QdrantNodesDisagree", three("cluster_peers_total", turns(3, 3), turns(3, 2), turns(3, 3))),
    Case("QdrantNodesDisagree", three("cluster_term", turns(7, 7), turns(7, 7), turns(7, 8))),
    Case("QdrantElections", three("cluster_term", *[flat((1, 5), *((n, 1) for n in range(2, 9)), (9, 60))] * 3),
         fires="12m"),
    Case("QdrantConsensusStopped", (
        node("cluster_working_state", 1, turns(0, 1, 20), ', state="stopped"'),
        node("cluster_working_state", 1, turns(1, 0, 20), ', state="working"')), fires="20m"),
    Case("QdrantConsensusStopped", three("cluster_pending_operations_total", turns(0, 3, 20)), fires="20m"),
    Case("QdrantRecoveryMode", three("app_status_recovery_mode", turns(0, 1))),
    Case("QdrantErrors", (
        node("rest_responses_total", 1, ramp((0, 10), (60, 15), (0, 60)), ', endpoint="/x", status="500"'),
        node("rest_responses_total", 1, ramp((600, 85)), ', endpoint="/x", status="200"')),
        quiet="8m", fires="22m", over="60m"),
    Case("QdrantErrors", (
        node("grpc_responses_total", 1, ramp((0, 10), (60, 15), (0, 60)), ', endpoint="/x", status="14"'),
        node("grpc_responses_total", 1, ramp((600, 85)), ', endpoint="/x", status="0"')),
        quiet="8m", fires="22m", over="60m"),
    Case("QdrantSlow", (
        node("grpc_responses_duration_seconds_bucket", 1, ramp((100, 20), (10, 30), (100, 60)), f'{_LATENCY}"0.5"'),
        node("grpc_responses_duration_seconds_bucket", 1, ramp((100, 110)), f'{_LATENCY}"2"'),
        node("grpc_responses_duration_seconds_bucket", 1, ramp((100, 110)), f'{_LATENCY}"+Inf"')),
        quiet="18m", fires="45m", over="75m"),
    Case("QdrantFilesNearLimit", (
        node("process_open_fds", 1, turns(100, 900, 30)), node("process_max_fds", 1, turns(1000, 1000))),
        fires="30m", over="50m"),
    Case("QdrantDeadReplica", three("collection_dead_replicas", turns(0, 2, 20), turns(0, 2, 20), turns(0, 0)),
         fires="20m"),
    Case("QdrantShardWithoutReplica", (*three("collection_active_replicas_min", turns(2, 0), turns(2, 0)), *_POINTS)),
    Case("CollectionUnderReplicated", (
        *three("collection_active_replicas_min", turns(2, 1, 30), turns(2, 1, 30)), *_POINTS,
        s("ragops_qdrant_replication_factor", turns(2, 2))), fires="30m", over="50m"),
    Case("QdrantTransferStuck", (node("collection_shard_transfer_incoming", 1, turns(0, 1, 90), ', id="docs"'),),
         fires="80m", over="110m"),
    Case("QdrantUpdatesWait", (node("collection_update_queue_length", 1, turns(3, 5000, 30), ', id="docs"'),),
         fires="30m", over="50m"),
)  # fmt: skip

# --- postgres --------------------------------------------------------------------------------------------------------


def pg(name: str, values: str, labels: str = "") -> tuple[str, str]:
    return s(f'{name}{{job="postgres", instance="timescaledb"{labels}}}', values)


_RAG = ', datname="rag"'
POSTGRES = (
    Case("PostgresDown", (pg("pg_up", turns(1, 0)),)),
    Case("PostgresDown", (pg("up", turns(1, 0)),)),
    Case("PostgresConnectionsNearMax", (
        pg("pg_stat_activity_count", turns(20, 60), f'{_RAG}, state="idle"'),
        pg("pg_stat_activity_count", turns(5, 30), f'{_RAG}, state="active"'),
        pg("pg_settings_max_connections", turns(100, 100)))),
    Case("PostgresLongTransaction", (
        pg("pg_stat_activity_max_tx_duration", turns(0, 7200), f'{_RAG}, state="idle in transaction"'),
        pg("pg_stat_activity_max_tx_duration", turns(9999, 9999), f'{_RAG}, state="idle"'))),
    Case("PostgresSessionsBlocked", (pg("ragops_postgres_blocked_sessions", turns(1, 12)),)),
    Case("PostgresDeadlocks", (pg("pg_stat_database_deadlocks", flat((3, 10), (15, 100)), _RAG),),
         quiet="8m", fires="15m", over="90m"),
    Case("PostgresWraparoundNear", (
        pg("ragops_postgres_oldest_transactions", turns(2e8, 6e8, 90), _RAG),), fires="80m", over="110m"),
    Case("PostgresChecksumFailures", (pg("pg_stat_database_checksum_failures", turns(0, 1), _RAG),)),
    Case("TimescaleJobFailed", (
        pg("ragops_timescaledb_job_last_run_success", turns(1, 0, 30), ', job_id="1000", job_name="retention"'),),
        fires="30m", over="50m"),
    Case("PostgresFiguresIncomplete", (
        pg("pg_exporter_last_scrape_error", turns(0, 1, 30)), pg("pg_up", turns(1, 1))), fires="30m", over="50m"),
)  # fmt: skip

# --- redis -----------------------------------------------------------------------------------------------------------


def rd(name: str, values: str, labels: str = "") -> tuple[str, str]:
    return s(f'{name}{{job="redis", instance="redis"{labels}}}', values)


_NOEVICTION = rd("redis_instance_info", turns(1, 1), ', maxmemory_policy="noeviction"')
REDIS = (
    Case("RedisDown", (rd("redis_up", turns(1, 0)),)),
    Case("RedisDown", (rd("up", turns(1, 0)),)),
    Case("RedisLoads", (rd("redis_loading_dump_file", turns(0, 1, 20)),), fires="20m"),
    Case("RedisAofBroken", (rd("redis_aof_last_write_status", turns(1, 0)),)),
    Case("RedisAofBroken", (rd("redis_aof_enabled", turns(1, 0)),)),
    Case("RedisRewriteFailed", (rd("redis_aof_last_bgrewrite_status", turns(1, 0)),)),
    Case("RedisSnapshotFailed", (rd("redis_rdb_last_bgsave_status", turns(1, 0)),)),
    Case("RedisSnapshotOld", (
        rd("redis_rdb_last_save_timestamp_seconds", turns(0, -3 * HOUR)),
        rd("redis_rdb_changes_since_last_save", turns(7, 7)))),
    Case("RedisDiskSlow", (rd("redis_aof_delayed_fsync", flat((0, 10), (9, 60))),),
         quiet="8m", fires="15m", over="40m"),
    Case("RedisEvicts", (rd("redis_evicted_keys_total", ramp((0, 10), (3000, 40), (0, 60))),),
         quiet="8m", fires="45m", over="90m"),
    Case("RedisMemoryNearLimit", (
        rd("redis_memory_used_bytes", turns(100, 253, 30)), rd("redis_memory_max_bytes", turns(256, 256)), _NOEVICTION),
        fires="30m", over="50m"),
    Case("RedisRefusesClients", (rd("redis_rejected_connections_total", flat((0, 10), (4, 60))),),
         quiet="8m", fires="15m", over="40m"),
)  # fmt: skip

# --- recovery --------------------------------------------------------------------------------------------------------

_INFO = s('ragops_info{version="1", runtime="docker"}', flat((1, 400)))
_TAKEN = "ragops_backup_last_success_timestamp_seconds"
_NEWEST = "ragops_backup_newest_timestamp_seconds"
RECOVERY = (
    Case("BackupNeverTaken", (_INFO, s(_TAKEN, "_x180 110000+0x100")), step="10m",
         quiet="1430m", fires="1500m", over="2000m"),
    Case("BackupTooOld", (
        _INFO, s(_TAKEN, turns(0, -28 * HOUR)), s("ragops_backup_max_age_seconds", turns(97200, 97200)))),
    Case("BackupTooOld", (_INFO, s(_TAKEN, turns(-25 * HOUR, -27 * HOUR)))),
    Case("BackupTooOld", (  # the newest was removed: the one before it counts
        _INFO, s(_TAKEN, turns(-2 * HOUR, -2 * HOUR)), s(_NEWEST, turns(-2 * HOUR, -27 * HOUR)))),
    Case("BackupLost", (s(_TAKEN, turns(-2 * HOUR, -2 * HOUR)), s("ragops_backup_points", turns(3, 0)))),
    Case("BackupDamaged", (s("ragops_backup_points", turns(3, 3)), s("ragops_backup_newest_faults", turns(0, 2)))),
    Case("BackupFailed", (s("ragops_backup_last_run_success", turns(1, 0)),)),
    Case("BackupCopiesMissing", (s("ragops_backup_copies_missing", turns(0, 1, 90)),), fires="80m", over="110m"),
    Case("BackupShrank", (s("ragops_backup_size_bytes", flat((1000, 150), (300, 300))),), step="10m",
         quiet="1480m", fires="1520m", over="3000m"),
    Case("DrillNeverDone", (
        s(_TAKEN, "0+3600x260"), s("ragops_proof_last_success_timestamp_seconds", "_x220 1+0x100")), step="1h",
        quiet="190h", fires="200h", over="230h"),
    Case("DrillTooOld", (
        _INFO, s("ragops_drill_last_success_timestamp_seconds", turns(0, -9 * DAY, 90)),
        s("ragops_drill_max_age_seconds", turns(7 * DAY, 7 * DAY, 90))), fires="80m", over="110m"),
    Case("DrillTooOld", (
        _INFO, s("ragops_drill_last_success_timestamp_seconds", turns(-34 * DAY, -36 * DAY, 90))),
        fires="80m", over="110m"),
    Case("DrillFailed", (s("ragops_drill_last_run_success", turns(1, 0)),)),
    Case("ScheduleNotInstalled", (s('ragops_schedule_installed{kind="nightly"}', flat((1, 10), (0, 200), (1, 60))),),
         step="10m", quiet="1500m", fires="1600m", over="2200m"),
    Case("ScheduleNotRun", (
        s('ragops_schedule_installed{kind="nightly"}', turns(1, 1)),
        s('ragops_schedule_last_run_timestamp_seconds{kind="nightly"}', turns(0, -27 * HOUR)))),
    Case("ScheduleRunFailed", (s('ragops_schedule_last_run_success{kind="ingest"}', turns(1, 0)),)),
    Case("DriftFound", (s("ragops_drift_resources", turns(0, 2, 30)),), fires="30m", over="50m"),
    Case("HealthDown", (s('ragops_health_status{service="redis"}', turns(1, 2)),)),
    Case("OperationUnfinished", (
        s('ragops_operation_started_timestamp_seconds{operation="upgrade"}', "0x5 -30000x14 _x40"),)),
    Case("FiguresTooOld", (
        s('node_textfile_mtime_seconds{job="node", file="/figures/ragops.prom"}', turns(0, -27 * HOUR, 90)),),
        fires="80m", over="110m"),
    Case("FiguresUnreadable", (s('node_textfile_scrape_error{job="node"}', turns(0, 1, 30)),), fires="30m", over="50m"),
)  # fmt: skip

# --- machine ---------------------------------------------------------------------------------------------------------


def disk(name: str, values: str) -> tuple[str, str]:
    return s(
        f'node_filesystem_{name}{{job="node", instance="node", device="/dev/sda", fstype="ext4", mountpoint="/"}}',
        values,
    )


def nd(name: str, values: str, labels: str = "") -> tuple[str, str]:
    return s(f'node_{name}{{job="node", instance="node"{labels}}}', values)


def box(name: str, values: str) -> tuple[str, str]:
    return s(f'container_{name}{{job="containers", container_id="abc"}}', values)


_SIZE = disk("size_bytes", flat((1000, 200)))
_BOX = s('ragops_container_info{container_id="abc", service="qdrant", container="rag-qdrant-1"}', flat((1, 100)))
MACHINE = (
    Case("DiskFullSoon", (
        disk("avail_bytes", "390+0x50 390-1x50 800+0x80"), disk("size_bytes", flat((1000, 200)))), step="10m",
        quiet="490m", fires="900m", over="1700m"),
    Case("DiskNearlyFull", (disk("avail_bytes", turns(500, 80)), _SIZE)),
    Case("DiskFull", (disk("avail_bytes", turns(500, 20)), _SIZE), also=("DiskNearlyFull",)),
    Case("DiskInodesFew", (disk("files_free", turns(500, 20, 30)), disk("files", flat((1000, 200)))),
         fires="30m", over="50m"),
    Case("DiskReadOnly", (disk("readonly", flat((0, 90), (1, 120))),), quiet="80m", fires="100m", over="180m"),
    Case("MemoryNearLimit", (
        nd("memory_MemAvailable_bytes", turns(40, 5, 20)), nd("memory_MemTotal_bytes", turns(100, 100))), fires="20m"),
    Case("OomKill", (nd("vmstat_oom_kill", flat((3, 10), (4, 60))),), quiet="8m", fires="12m", over="40m"),
    Case("ContainerMemoryNearLimit", (
        box("memory_working_set_bytes", turns(50, 96, 20)), box("spec_memory_limit_bytes", turns(100, 100)), _BOX),
        fires="20m"),
    Case("ContainerRestarts", (
        box("start_time_seconds", flat((1, 10), (60, 2), (180, 2), (300, 2), (420, 60))), _BOX),
        quiet="8m", fires="18m", over="50m"),
    Case("ClockSkew", (nd("timex_offset_seconds", turns(0.001, -0.3, 20)),), fires="20m"),
    Case("ClockNotSynchronized", (
        nd("timex_sync_status", flat((1, 5), (0, 120), (1, 60))),
        nd("timex_maxerror_seconds", flat((0.5, 5), (16, 120), (0.5, 60)))), fires="110m", over="140m"),
    Case("ProcessorSaturated", (
        nd("load15", turns(1, 9, 50)), nd("cpu_seconds_total", ramp((1, 120)), ', cpu="0", mode="idle"'),
        nd("cpu_seconds_total", ramp((1, 120)), ', cpu="1", mode="idle"')), fires="45m", over="80m"),
)  # fmt: skip

# --- watchers --------------------------------------------------------------------------------------------------------


def pr(name: str, values: str, labels: str = "") -> tuple[str, str]:
    return s(f'prometheus_{name}{{job="prometheus", instance="prometheus"{labels}}}', values)


def am(name: str, values: str, labels: str = "") -> tuple[str, str]:
    return s(f'alertmanager_{name}{{job="alertmanager", instance="alertmanager"{labels}}}', values)


WATCHERS = (
    Case("ExporterDown", (s('up{job="node", instance="node"}', turns(1, 0)),)),
    Case("PlatformNotScraped", (s('up{job="api", instance="api"}', "1x5 _x20 1x60"),), fires="25m", scraped=False),
    Case("ScrapesSlow", (s('scrape_duration_seconds{job="qdrant", instance="qdrant-1"}', turns(1, 9, 20)),),
         fires="20m"),
    Case("PrometheusConfigInvalid", (pr("config_last_reload_successful", turns(1, 0)),)),
    Case("PrometheusRulesFail", (
        pr("rule_evaluation_failures_total", ramp((0, 10), (1, 15), (0, 60)), ', rule_group="ragops-api"'),),
        quiet="8m", fires="22m", over="60m"),
    Case("PrometheusStorageFails", (pr("tsdb_compactions_failed_total", flat((0, 10), (1, 300))),),
         quiet="8m", fires="15m", over="280m"),
    Case("PrometheusStorageFails", (pr("tsdb_wal_corruptions_total", flat((0, 10), (1, 300))),),
         quiet="8m", fires="15m", over="280m"),
    Case("AlertmanagerUnreachable", (pr("notifications_alertmanagers_discovered", turns(1, 0)),)),
    Case("AlertmanagerUnreachable", (
        pr("notifications_alertmanagers_discovered", turns(1, 1)),
        pr("notifications_errors_total", ramp((0, 10), (1, 15), (0, 60)), ', alertmanager="x"')),
        quiet="8m", fires="22m", over="60m"),
    Case("NotificationsFail", (
         am("notifications_failed_total", ramp((0, 10), (1, 25), (0, 60)), ', integration="email"'),),
        quiet="8m", fires="28m", over="70m"),
    Case("AlertmanagerConfigInvalid", (am("config_last_reload_successful", turns(1, 0)),)),
)  # fmt: skip

CASES = (*AVAILABILITY, *API, *GATEWAY, *QDRANT, *POSTGRES, *REDIS, *RECOVERY, *MACHINE, *WATCHERS)
