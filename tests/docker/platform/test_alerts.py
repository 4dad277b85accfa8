"""What really breaks on a platform on Docker ends in exactly the alerts that its runbook names, and they end.

A Prometheus of this machine takes all series from that of the platform, and has the rules with shortened times
(tests/live_prometheus.py), so that an alert of ten minutes fires in ten seconds.
"""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ragops.services.observability import CADVISOR, IMAGES
from ragops.services.observability.dashboards import BOARDS
from ragops.services.timescaledb import IMAGE as TIMESCALEDB
from tests.docker.conftest import NOT_HERE
from tests.docker.platform.test_observability import OPTIONAL, find_image
from tests.integration.test_live_alerts import OF_THE_MACHINE, concrete
from tests.live_prometheus import Watched, program, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ragops.adapters.docker.client import DockerHost

pytestmark = pytest.mark.engine

# Why these fire on a new platform of a test: nothing was backed up or installed, and no one is notified of anything.
# Jobs of TimescaleDB 2.19.3 end with "cannot drop portal" on newer minor versions of PostgreSQL 17 than its image has.
OF_A_NEW_PLATFORM = {
    "BackupNeverTaken", "ScheduleNotInstalled", "DrillNeverDone", "AlertmanagerUnreachable", "HealthDown",
    "PostgresFiguresIncomplete", "TimescaleJobFailed",
}  # fmt: skip
# Shown while it happens: failures, drills and runs by the clock that this platform had not; and what Envoy has.
ONLY_IF_IT_HAPPENS = {
    ("ragops-qdrant", "Failed requests"), ("ragops-recovery", "Last drill"), ("ragops-recovery", "RTO measured"),
    ("ragops-recovery", "RPO measured"), ("ragops-recovery", "Drills"), ("ragops-recovery", "Runs by the clock"),
    ("ragops-recovery", "Last proof of a restore"), ("ragops-recovery", "Drift"),
    ("ragops-database", "Jobs of TimescaleDB"), ("ragops-machine", "Failed rules and notifications"),
}  # fmt: skip
NO_CADVISOR = {("ragops-overview", title) for title in ("Processor time by container", "Memory by container")} | {
    ("ragops-machine", title) for title in ("Processor time by container", "Memory by container", "Restarts")
}


@pytest.fixture(scope="module")
def platform(
    docker: DockerHost, plugin: Path, ragops: Any, make_whole: Callable[..., Any], tmp_path_factory: Any, free_port: Any
) -> Iterator[Any]:
    """A watched platform with three nodes, documents and a recovery point."""
    program("prometheus")
    found = {instance: find_image(docker, reference) for instance, reference in IMAGES.items()}
    database = find_image(docker, TIMESCALEDB)
    if lacking := [IMAGES[name] for name, tag in found.items() if not tag and name not in OPTIONAL]:
        pytest.skip(f"{NOT_HERE}the image {lacking[0]} (docker pull it, or see tests/docker/images)")
    if not database:
        pytest.skip(f"{NOT_HERE}the image {TIMESCALEDB}")
    made = make_whole(tmp_path_factory.mktemp("alerts") / "project", docker, ragops)
    section: dict[str, Any] = {
        name.replace("-", "_"): {"image": tag} if tag else False for name, tag in found.items() if name != "prometheus"
    }
    ports = {key: free_port() for key in ("port", "alertmanager_port", "grafana_port")}
    values = {
        **made.settings,
        "observability": {**section, **ports, "image": found["prometheus"], "scrape_interval": "2s"},
    }
    values["timescaledb"] |= {"image": database, "license": "apache" if "oss" in database else "timescale"}
    values["api"] |= {"cache_seconds": 60}
    (made.root / "ragops.yaml").write_text(json.dumps(values))
    try:
        made.up()
        made.fill()
        made.run("backup", "run")
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def live(platform: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(tmp_path_factory.mktemp("live")) as made:
        made.federate(f"127.0.0.1:{platform.settings['observability']['port']}")
        made.start()
        yield made


@pytest.fixture(scope="module")
def key(platform: Any) -> str:
    return str(platform.token())


def quiet(live: Watched) -> set[str]:
    return live.firing() - OF_THE_MACHINE - OF_A_NEW_PLATFORM


def ends_in(live: Watched, wait_for: Any, *wanted: str, seconds: float = 240) -> None:
    """Wait until these fire and no others."""
    wait_for(lambda: quiet(live) == set(wanted), seconds, lambda: f"only {wanted}: there are {quiet(live)}")


def shown(live: Watched, alert: str) -> set[str]:
    """The containers that an alert names."""
    return {one["labels"]["container"] for one in live.ask("alerts")["alerts"] if one["labels"]["alertname"] == alert}


def needs_cadvisor(platform: Any) -> None:
    if not platform.settings["observability"]["cadvisor"]:
        pytest.skip(f"{NOT_HERE}the image {IMAGES[CADVISOR]}")


def ask(platform: Any, key: str, number: int) -> int:
    body = {"query": f"a question {number}", "collection": "texts", "limit": 3}
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(
        f"{platform.outputs()['GATEWAY_URL']}/api/v1/search", json=body, headers=headers, timeout=60
    ).status_code


def test_every_panel_has_data_but_for_those_that_are_listed(
    platform: Any, live: Watched, key: str, wait_for: Any
) -> None:
    expected = ONLY_IF_IT_HAPPENS | (set() if platform.settings["observability"]["cadvisor"] else NO_CADVISOR)
    seen: set[tuple[str, str]] = set()
    name = platform.settings["name"]

    def missing() -> set[tuple[str, str]]:
        assert {ask(platform, key, number % 4) for number in range(6)} == {200}
        for board in BOARDS:
            for panel in board.panels:
                place = (board.uid, panel.title)
                if place not in seen and any(
                    live.query(concrete(query.promql, platform=name, environment="default")) for query in panel.queries
                ):
                    seen.add(place)
        return {(board.uid, panel.title) for board in BOARDS for panel in board.panels} - seen - expected

    wait_for(lambda: not missing(), 240, lambda: f"no data in {sorted(missing())}")


def test_a_container_is_started_again_and_again(platform: Any, live: Watched, wait_for: Any) -> None:
    """Of its own accord, as far as Docker can tell: what `docker kill` ends is not started again."""
    needs_cadvisor(platform)
    ends_in(live, wait_for)
    killed: set[int] = set()

    def fires() -> bool:
        state = platform.inspect("redis-exporter")["State"]
        if state["Running"] and state["Pid"] not in killed:
            killed.add(state["Pid"])
            os.kill(state["Pid"], signal.SIGKILL)
        time.sleep(2.5)  # each start is scraped
        return "ContainerRestarts" in quiet(live)

    wait_for(fires, 60, lambda: f"ContainerRestarts after {len(killed)} kills: {quiet(live)}")
    assert shown(live, "ContainerRestarts") == {"redis-exporter"}
    ends_in(live, wait_for)


def test_a_container_comes_near_its_limit(platform: Any, live: Watched, wait_for: Any) -> None:
    needs_cadvisor(platform)
    ends_in(live, wait_for)
    limit = platform.inspect("api")["HostConfig"]["Memory"]
    used = f'container_memory_working_set_bytes{{container_id="{platform.container("api").id}"}}'
    more = int(limit * 0.94 - float(live.query(used)[0]["value"][1]))
    code = f"import sys; held = bytearray(b'x') * {more}; sys.stdin.read()"
    run = platform.docker.api.exec_create(platform.name("api"), ["python", "-c", code], stdin=True)
    held = platform.docker.api.exec_start(run["Id"], socket=True)
    try:
        wait_for(lambda: quiet(live) == {"ContainerMemoryNearLimit"}, 120, lambda: f"near its limit: {quiet(live)}")
        assert shown(live, "ContainerMemoryNearLimit") == {"api"}
    finally:
        os.kill(platform.docker.api.exec_inspect(run["Id"])["Pid"], signal.SIGKILL)
        held.close()
    ends_in(live, wait_for)


def test_a_node_of_the_cluster_is_killed(platform: Any, live: Watched, wait_for: Any) -> None:
    ends_in(live, wait_for)
    platform.docker.api.update_container(platform.name("qdrant-2"), restart_policy={"Name": "no"})
    platform.docker.api.kill(platform.name("qdrant-2"), signal.SIGKILL)
    wait_for(lambda: "QdrantNodeDown" in quiet(live), 120, lambda: f"QdrantNodeDown: {quiet(live)}")
    assert quiet(live) <= {"QdrantNodeDown", "QdrantDeadReplica", "QdrantElections"}
    platform.up()
    ends_in(live, wait_for)


def test_the_append_only_file_is_damaged(platform: Any, live: Watched, wait_for: Any) -> None:
    """Redis does not start on it; the repair of the runbook brings it back."""
    redis = platform.name("redis")
    platform.docker.api.update_container(redis, restart_policy={"Name": "no"})
    damage = (
        'for f in $(find /data -name "*.incr.aof"); do'
        ' printf "no command" > $f.n && cat $f >> $f.n && mv $f.n $f || exit 1; done; sync'
    )
    run = platform.docker.api.exec_create(redis, ["sh", "-c", damage])
    platform.docker.api.exec_start(run["Id"])
    assert platform.docker.api.exec_inspect(run["Id"])["ExitCode"] == 0
    platform.docker.api.kill(redis, signal.SIGKILL)
    wait_for(lambda: "RedisDown" in quiet(live), 120, lambda: f"RedisDown: {quiet(live)}")
    assert quiet(live) <= {"RedisDown", "CacheUnavailable", "BreakerOpen"}
    platform.run("repair", "redis", "--yes")
    platform.run("up", "--yes", code=None)  # 3 if a busy machine answers its last look late: the alerts decide
    ends_in(live, wait_for)
