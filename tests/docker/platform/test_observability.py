"""A whole platform that is watched: every page is read, nothing but what is asked is published, logins see statistics.

The images of exporters are those that are here by their official names, of whatever version: Debian's as stand-ins
(tests/docker/images). Grafana and cAdvisor are left out where their images are not here.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ragops.services.observability import CADVISOR, GRAFANA, IMAGES
from ragops.services.timescaledb import IMAGE as TIMESCALEDB
from tests.docker.conftest import NOT_HERE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ragops.adapters.docker.client import DockerHost

pytestmark = pytest.mark.engine

OPTIONAL = (GRAFANA, CADVISOR)
PUBLISHED = {"prometheus": ["9090/tcp"], "alertmanager": ["9093/tcp"], "grafana": ["3000/tcp"]}
_SCRAPED_SECONDS = 120.0


def find_image(docker: DockerHost, reference: str) -> str:
    """The pinned image, or else one of its name that is here; empty without any."""
    if docker.image_id(reference):
        return reference
    name = reference.rpartition(":")[0]
    tags = [tag for one in docker.api.images(name=name) for tag in one["RepoTags"] or ()]
    return max((tag for tag in tags if tag.startswith(f"{name}:")), default="")


@pytest.fixture(scope="module")
def watched(
    docker: DockerHost, plugin: Path, ragops: Any, make_whole: Callable[..., Any], tmp_path_factory: Any, free_port: Any
) -> Iterator[Any]:
    found = {instance: find_image(docker, reference) for instance, reference in IMAGES.items()}
    database = find_image(docker, TIMESCALEDB)
    if lacking := [IMAGES[name] for name, tag in found.items() if not tag and name not in OPTIONAL]:
        pytest.skip(f"{NOT_HERE}the image {lacking[0]} (docker pull it, or see tests/docker/images)")
    if not database:
        pytest.skip(f"{NOT_HERE}the image {TIMESCALEDB}")
    folder = tmp_path_factory.mktemp("watched")
    made = make_whole(folder / "project", docker, ragops)
    section: dict[str, Any] = {
        name.replace("-", "_"): {"image": tag} if tag else False for name, tag in found.items() if name != "prometheus"
    }
    ports = {key: free_port() for key in ("port", "alertmanager_port", "grafana_port")}
    values = {
        **made.settings,
        "observability": {**section, **ports, "image": found["prometheus"], "scrape_interval": "2s"},
    }
    values["qdrant"] |= {"nodes": 1}
    values["timescaledb"] |= {"image": database, "license": "apache" if "oss" in database else "timescale"}
    (made.root / "ragops.yaml").write_text(json.dumps(values))
    try:
        made.up()
        yield made
    finally:
        made.remove()


def jobs(whole: Any) -> set[str]:
    section = whole.settings["observability"]
    optional = {name for name, key in (("grafana", "grafana"), ("containers", "cadvisor")) if section[key]}
    return {"qdrant", "gateway", "api", "postgres", "redis", "node", "prometheus", "alertmanager"} | optional


def ask(whole: Any, path: str, **query: str) -> Any:
    url = f"http://127.0.0.1:{whole.settings['observability']['port']}/api/v1/{path}"
    return httpx.get(url, params=query, timeout=10).json()["data"]


def test_every_page_is_read(watched: Any) -> None:
    deadline = time.monotonic() + _SCRAPED_SECONDS
    while time.monotonic() < deadline:
        found = ask(watched, "targets", state="active")["activeTargets"]
        if {one["health"] for one in found} == {"up"}:
            break
        time.sleep(1)
    states = {one["labels"]["job"]: (one["health"], one["lastError"]) for one in found}
    assert states == dict.fromkeys(jobs(watched), ("up", ""))


@pytest.mark.parametrize(
    "query",
    [
        'pg_up{job="postgres"} == 1', 'pg_stat_database_numbackends{datname="rag"}', 'redis_up{job="redis"} == 1',
        "redis_memory_max_bytes", "node_filesystem_avail_bytes", "node_memory_MemAvailable_bytes",
        "kong_nginx_requests_total", "collections_total", "ragops_health_status",
        'ragops_container_info{container="redis"}', "ragops_certificate_not_after_timestamp_seconds",
    ],
)  # fmt: skip
def test_its_figures_are_there(watched: Any, query: str) -> None:
    deadline = time.monotonic() + 30
    while not (found := ask(watched, "query", query=query)["result"]) and time.monotonic() < deadline:
        time.sleep(1)
    assert found
    assert all(one["metric"]["environment"] == "default" for one in found)


@pytest.mark.parametrize(
    "figure",
    [
        "container_memory_working_set_bytes", "container_spec_memory_limit_bytes > 0", "container_start_time_seconds",
        "container_cpu_usage_seconds_total",
    ],
)  # fmt: skip
def test_every_container_has_figures_by_its_name(watched: Any, figure: str) -> None:
    if not watched.settings["observability"][CADVISOR]:
        pytest.skip(f"{NOT_HERE}the image {IMAGES[CADVISOR]}")
    query = f"({figure}) * on (container_id) group_left (container) ragops_container_info"
    running = set(watched.states())
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = {one["metric"]["container"] for one in ask(watched, "query", query=query)["result"]}
        if found == running:
            break
        time.sleep(1)
    assert found == running


def test_nothing_is_published_but_what_is_asked(watched: Any) -> None:
    for instance in IMAGES:
        if instance in OPTIONAL and not watched.settings["observability"][instance]:
            continue
        raw = watched.inspect(instance)
        bound = {port: binds for port, binds in raw["NetworkSettings"]["Ports"].items() if binds}
        assert sorted(bound) == PUBLISHED.get(instance, [])
        assert {bind["HostIp"] for binds in bound.values() for bind in binds} <= {"127.0.0.1"}
        host = raw["HostConfig"]
        assert host["CapDrop"] == ["ALL"]
        assert host["ReadonlyRootfs"] is True
        assert host["Memory"] > 0
        assert all(mount["RW"] is False for mount in raw["Mounts"] if mount["Type"] == "bind")
        assert not any("docker.sock" in str(mount) for mount in raw["Mounts"])


def test_no_secret_can_be_inspected(watched: Any) -> None:
    secrets = json.loads((watched.root / ".ragops" / "secrets" / "default.json").read_text())
    for instance in IMAGES:
        if instance in OPTIONAL and not watched.settings["observability"][instance]:
            continue
        shown = json.dumps(watched.inspect(instance))
        assert not [name for name, value in secrets.items() if value in shown], instance


def test_health_status_and_drift_show_it(watched: Any) -> None:
    probe = next(one for one in watched.json("health", code=None)["probes"] if one["service"] == "observability")
    assert {check["name"]: check["status"] for check in probe["checks"]}["targets"] == "ok"
    rows = {row["instance"]: row for row in watched.json("status")["services"] if row["service"] == "observability"}
    assert rows["alertmanager"]["title"] == "Alertmanager"
    assert {row["state"] for row in rows.values()} == {"running"}
    assert watched.drift() == {}
    assert watched.up() == {}


def test_receivers_that_alertmanager_would_not_take_are_refused_before_anything_is_replaced(watched: Any) -> None:
    file, before = watched.root / "ragops.yaml", watched.inspect("alertmanager")["Id"]
    text = file.read_text()
    values = json.loads(text)
    mail = {"type": "email", "to": "a@b.example", "from": "c@b.example", "smarthost": "mail.example"}
    values["observability"]["notify"] = [mail]
    file.write_text(json.dumps(values))
    try:
        error = watched.run("up", "--yes", "--json", code=2).error
        assert error["code"] == "observability_refused"
        assert "missing port" in error["message"]
        assert watched.inspect("alertmanager")["Id"] == before
        checks = watched.json("doctor", code=None)["checks"]
        found = {one["detail"]: one["status"] for one in checks if one["name"] == "observability"}
        assert found["promtool takes the configuration of Prometheus"] == "ok"
        assert "down" in found.values()
    finally:
        file.write_text(text)
    assert watched.up() == {}
