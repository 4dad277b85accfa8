"""Alerts and panels on real engines: what breaks ends in exactly the alerts that its runbook names, and they end.

Times of the rules are shortened; see tests/live_prometheus.py.
"""

from __future__ import annotations

import os
import re
import signal
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ragops.services.observability.dashboards import BOARDS
from ragops.services.observability.postgres_queries import render_queries
from tests.integration.stack import ask
from tests.live_prometheus import LABELS, program, watched
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.stack import Stack
    from tests.live_prometheus import Watched

pytestmark = pytest.mark.campaign(of="live alerts", sample=0)  # each takes as long as its alert, and as its end
HOUR, DAY = 3600, 86_400
# Panels that have no data here, and why: all others must have.
NO_GATEWAY = {("ragops-gateway", title) for title in (
    "Upstream", "By status", "By consumer", "By route", "Refused", "95th percentile", "Bytes", "Connections",
)}  # fmt: skip
NO_CONTAINERS = {("ragops-overview", title) for title in ("Processor time by container", "Memory by container")} | {
    ("ragops-machine", title) for title in ("Processor time by container", "Memory by container", "Restarts")
}
# The development server of Qdrant is a single node, and has Qdrant's figures of requests and points alone.
NO_CLUSTER = {("ragops-qdrant", title) for title in (
    "Replicas that are not active", "Fewest active replicas", "Peers", "Term", "Changes that wait", "Memory",
    "Open files", "Optimizations", "Transfers", "Updates that wait", "Page faults")}  # fmt: skip
NO_TIMESCALEDB = {("ragops-database", "Size of hypertables"), ("ragops-database", "Jobs of TimescaleDB")}
WELL = {
    "ragops_info{version=\"1\",runtime=\"embedded\"}": 1,
    "ragops_backup_last_run_success": 1, "ragops_backup_size_bytes": 1000, "ragops_backup_duration_seconds": 3,
    "ragops_backup_copies_missing": 0, "ragops_backup_points": 3, "ragops_backup_newest_faults": 0,
    "ragops_backup_max_age_seconds": 26 * HOUR, "ragops_drift_resources": 0,
    "ragops_drill_last_run_success": 1, "ragops_drill_duration_seconds": 9, "ragops_drill_data_age_seconds": 60,
    "ragops_drill_restore_duration_seconds": 5, "ragops_schedule_installed{kind=\"nightly\"}": 1,
    "ragops_schedule_last_run_success{kind=\"nightly\"}": 1, "ragops_health_status{service=\"redis\"}": 0,
}  # fmt: skip


def figures(**changed: float) -> dict[str, float]:
    """The figures of a platform that is well, but for those that are named."""
    now = time.time()
    instants = {
        "ragops_backup_last_success_timestamp_seconds": now - HOUR,
        "ragops_drill_last_success_timestamp_seconds": now - HOUR,
        "ragops_proof_last_success_timestamp_seconds": now - HOUR,
        'ragops_schedule_last_run_timestamp_seconds{kind="nightly"}': now - HOUR,
        "ragops_certificate_not_after_timestamp_seconds": now + 300 * DAY,
        'ragops_token_expires_timestamp_seconds{consumer="website",kid="a"}': now + 300 * DAY,
    }
    return {**WELL, **instants, **{f"ragops_{name}": value for name, value in changed.items()}}


@pytest.fixture(scope="module")
def live(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Prometheus and its exporters on the engines of the session."""
    for name in ("prometheus", "node_exporter", "redis_exporter", "postgres_exporter", "alertmanager"):
        program(name)
    with watched(tmp_path_factory.mktemp("live")) as made:
        redis, database = stack.engines["redis"].endpoint, stack.engines["timescaledb"].endpoint
        made.node_exporter()
        made.alertmanager()
        made.figures(figures())
        login = redis.logins["operator"]
        address = f"-redis.addr=redis://127.0.0.1:{redis.port}"
        made.run("redis_exporter", "-web.listen-address={listen}", address,
                 f"-redis.user={login.user}", job="redis",
                 REDIS_PASSWORD=login.password.get_secret_value())  # fmt: skip
        queries = made.folder / "queries.yaml"
        queries.write_text(render_queries(timescaledb=False))
        login = database.logins["operator"]
        made.run("postgres_exporter", "--web.listen-address={listen}", f"--extend.query-path={queries}", job="postgres",
                 instance="timescaledb", DATA_SOURCE_URI=f"127.0.0.1:{database.port}/rag?sslmode=disable",
                 DATA_SOURCE_USER=login.user, DATA_SOURCE_PASS=login.password.get_secret_value())  # fmt: skip
        made.scrape("api", {"api": f"127.0.0.1:{stack.api_port}"})
        qdrant = f"127.0.0.1:{stack.engines['qdrant'].endpoint.port}"
        made.scrape("qdrant", {"qdrant": qdrant}, key=stack.secrets["qdrant_api_key"])
        made.start()
        yield made


@pytest.fixture(autouse=True)
def calm(live: Watched) -> None:
    """Each fault begins when no alert fires but those of the machine that the tests run on."""
    wait_until(lambda: not quiet(live), 60, lambda: f"an end of {quiet(live)}")


# What this machine may have, whatever the tests do: its clock, its load, its disks.
OF_THE_MACHINE = {
    "ClockNotSynchronized", "ClockSkew", "ProcessorSaturated", "MemoryNearLimit", "DiskNearlyFull", "DiskFullSoon",
    "DiskInodesFew", "ScrapesSlow", "OomKill",
}  # fmt: skip


def concrete(expr: str, **labels: str) -> str:
    """An expression of a panel with its variables chosen."""
    for name, value in {**LABELS, **labels, "instance": ".*"}.items():
        expr = expr.replace(f"${name}", value)
    return re.sub(r"\$__rate_interval", "20s", expr)


def quiet(live: Watched) -> set[str]:
    return live.firing() - OF_THE_MACHINE


def ends_in(live: Watched, *wanted: str, seconds: float = 40) -> None:
    """Wait until these fire and no others."""
    wait_until(lambda: quiet(live) == set(wanted), seconds, lambda: f"only {wanted} (there are {quiet(live)})")


def test_every_rule_is_evaluated_without_error(live: Watched) -> None:
    def states() -> set[str]:
        groups = live.ask("rules")["groups"]
        return {rule["health"] for group in groups for rule in group["rules"]}

    wait_until(lambda: states() == {"ok"}, 30, lambda: f"health of all rules ({states()})")
    assert live.query("prometheus_rule_evaluation_failures_total > 0") == []


def test_every_panel_has_data_but_for_those_that_are_listed(live: Watched, stack: Stack) -> None:
    expected = NO_GATEWAY | NO_CONTAINERS | NO_CLUSTER | NO_TIMESCALEDB | {("ragops-qdrant", "Failed requests")}
    every = {(board.uid, panel.title): panel for board in BOARDS for panel in board.panels}
    seen: set[tuple[str, str]] = set()

    def missing() -> list[tuple[str, str]]:
        with stack.client() as client:
            for number in range(20):
                ask(client, f"question {number % 15}")
        for place, panel in every.items():
            if place not in seen and any(live.query(concrete(query.promql)) for query in panel.queries):
                seen.add(place)
        return sorted(every.keys() - seen - expected)

    wait_until(lambda: not missing(), 40, lambda: f"data in {missing()}")
    assert not seen & expected, "a list that is too long would hide a panel that is empty"


def test_redis_is_killed(live: Watched, stack: Stack) -> None:
    stack.engines["redis"].kill()
    try:
        ends_in(live, "RedisDown")
    finally:
        stack.engines["redis"].start()
    ends_in(live)


def test_the_append_only_file_is_switched_off(live: Watched, stack: Stack) -> None:
    with stack.engines["redis"].redis() as client:
        client.config_set("appendonly", "no")
        try:
            ends_in(live, "RedisAofBroken")
        finally:
            client.config_set("appendonly", "yes")
    ends_in(live)


def test_postgres_is_frozen(live: Watched, stack: Stack) -> None:
    stack.engines["timescaledb"].kill()
    try:
        wait_until(lambda: "PostgresDown" in quiet(live), 40, lambda: f"PostgresDown ({quiet(live)})")
        assert quiet(live) <= {"PostgresDown", "PostgresFiguresIncomplete"}
    finally:
        stack.engines["timescaledb"].control.start()
    ends_in(live)


def test_the_api_is_killed(live: Watched, stack: Stack) -> None:
    stack.programs["api"].end(signal.SIGKILL)
    try:
        ends_in(live, "ApiDown")
    finally:
        stack.programs["api"].start()
    ends_in(live)


@pytest.mark.parametrize("token", ["", "a token that no one issued"], ids=["missing", "forged"])
def test_a_service_call_without_a_valid_token(live: Watched, stack: Stack, token: str) -> None:
    headers = {"X-Service-Token": token} if token else {}
    url = f"http://127.0.0.1:{stack.api_port}/internal/breakers"
    assert httpx.get(url, headers=headers, timeout=5, trust_env=False).status_code == 403
    ends_in(live, "UnauthorizedServiceCall")
    ends_in(live, seconds=120)


def test_a_users_token_is_forged(live: Watched, stack: Stack) -> None:
    url = f"http://127.0.0.1:{stack.api_port}/api/v1/collections"
    good = stack.issuer.sign("tok_0123456789ab", iss="ragops/test")
    head, claims, _ = good.split(".")
    answer = httpx.get(url, headers={"Authorization": f"Bearer {head}.{claims}.AAAA"}, timeout=5, trust_env=False)
    assert answer.status_code == 401
    ends_in(live, "ForgedTokens")
    ends_in(live, seconds=60)


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"backup_last_success_timestamp_seconds": 0.0}, ("BackupTooOld",)),
        ({"backup_last_run_success": 0}, ("BackupFailed",)),
        ({"certificate_not_after_timestamp_seconds": 2 * DAY}, ("CertificateEnds", "CertificateEndsSoon")),
        ({"drift_resources": 2}, ("DriftFound",)),
        ({"drill_last_run_success": 0}, ("DrillFailed",)),
    ],
    ids=["backup too old", "backup failed", "certificate", "drift", "drill"],
)
def test_a_figure_of_ragops_turns_bad(live: Watched, changed: dict[str, Any], wanted: tuple[str, ...]) -> None:
    ends = {name: time.time() + value if name.startswith("certificate") else value for name, value in changed.items()}
    live.figures(figures(**ends))
    try:
        ends_in(live, *wanted, seconds=60)
    finally:
        live.figures(figures())
    ends_in(live)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_disk_is_filled(live: Watched) -> None:
    pytest.importorskip("ctypes")
    from tests.small_disk import small_disk

    with small_disk(live.folder, 64) as disk:
        wait_until(lambda: live.query(f'node_filesystem_size_bytes{{mountpoint="{disk}"}}'), 30, "a disk that is seen")
        before = live.firing()
        filler = disk / "filler"
        with filler.open("wb") as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(b"\0" * 1_048_576)
                file.flush()
        where = f'ALERTS{{alertstate="firing", mountpoint="{disk}"}}'

        def of_the_disk() -> set[str]:
            return {one["metric"]["alertname"] for one in live.query(where)}

        wait_until(lambda: {"DiskFull", "DiskNearlyFull"} <= of_the_disk(), 40, lambda: f"DiskFull ({of_the_disk()})")
        assert of_the_disk() <= {"DiskFull", "DiskNearlyFull", "DiskFullSoon"}
        assert quiet(live) - before <= {"DiskFull"}
        filler.unlink()
        wait_until(lambda: "DiskFull" not in of_the_disk(), 40, lambda: f"an end of {of_the_disk()}")


def test_qdrant_is_killed_and_its_breaker_opens(live: Watched, stack: Stack) -> None:
    stack.engines["qdrant"].kill()
    try:
        with stack.client() as client:
            for number in range(8):
                ask(client, f"while it is away {number} {time.time()}")
        wait_until(lambda: {"QdrantNodeDown", "QdrantQuorumLost", "BreakerOpen"} <= quiet(live), 40,
                   lambda: f"its alerts ({quiet(live)})")  # fmt: skip
        named = {"QdrantNodeDown", "QdrantQuorumLost", "BreakerOpen", "ApiErrors"}
        assert {name for name in quiet(live) if not name.startswith("Availability")} <= named
    finally:
        stack.engines["qdrant"].control.start()

    def asked() -> bool:
        with stack.client() as client:
            for number in range(5):
                ask(client, f"it is back {number} {time.time()}")
        return all(name.startswith("Availability") for name in quiet(live))

    # Those about availability end with the windows of hours, minutes here: this test is the last one.
    wait_until(asked, 60, lambda: f"an end of {quiet(live)}")
