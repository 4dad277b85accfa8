"""An embedded platform that is watched: a real Prometheus as a process, and logins that read statistics alone."""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
import redis
import yaml

from tests.command_line import Project
from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PLACES = os.pathsep.join((os.environ.get("RAGOPS_TEST_PROMETHEUS_BIN", ""), os.environ["PATH"])).strip(os.pathsep)
PROGRAM = shutil.which("prometheus", path=_PLACES) or ""
JOBS = {"qdrant", "api", "gateway", "prometheus"}
REFUSED = (
    "GET a", "SET a 1", "KEYS *", "SCAN 0", "CONFIG SET maxmemory 1mb", "ACL LIST", "FLUSHALL", "EVAL x 0", "SHUTDOWN",
)  # fmt: skip
_SCRAPED_SECONDS = 60.0

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        not PROGRAM, reason="not here: prometheus (on PATH, or in the folder RAGOPS_TEST_PROMETHEUS_BIN)"
    ),
]


class Watched(Project):
    """The project that all tests of this module share, in their order."""

    def section(self, **keys: Any) -> None:
        file = self.root / "ragops.yaml"
        values = yaml.safe_load(file.read_text())
        values["observability"] = keys or False
        file.write_text(yaml.safe_dump(values, sort_keys=False))

    def ask(self, path: str, **query: str) -> Any:
        url = f"http://127.0.0.1:{self.settings['observability']['port']}/api/v1/{path}"
        return httpx.get(url, params=query, timeout=10).json()["data"]

    def log_in(self, database: str = "rag") -> psycopg.Connection[Any]:
        port, password = self.settings["timescaledb"]["port"], self.secrets["timescaledb_monitor"]
        return psycopg.connect(
            host="127.0.0.1", port=port, user="rag_monitor", password=password, dbname=database, autocommit=True
        )


@pytest.fixture(scope="module")
def platform(module_project: Path, ragops: Any) -> Iterator[Watched]:
    platform, ports = Watched(module_project, ragops), free_ports(2)
    platform.section(port=ports[0], envoy_port=ports[1], program=PROGRAM, scrape_interval="1s")
    platform.run("up", "--yes")
    platform.run("migrate", "up")
    yield platform
    ragops("down", "--yes", cwd=module_project)


def test_every_page_is_read_and_health_says_so(platform: Watched) -> None:
    deadline = time.monotonic() + _SCRAPED_SECONDS
    while time.monotonic() < deadline:
        found = platform.ask("targets", state="active")["activeTargets"]
        if {one["health"] for one in found} == {"up"}:
            break
        time.sleep(0.5)
    states = {one["labels"]["job"]: (one["health"], one["lastError"]) for one in found}
    assert states == dict.fromkeys(JOBS, ("up", ""))
    probe = platform.run("health", "observability", "--json").json()["probes"][0]
    assert {check["name"]: check["status"] for check in probe["checks"] if check["name"] != "rules"} == {
        "prometheus": "ok", "targets": "ok",
    }  # fmt: skip


def test_each_series_says_whose_it_is(platform: Watched) -> None:
    series = platform.ask("query", query="up")["result"]
    assert {one["metric"]["job"] for one in series} == JOBS
    for one in series:
        assert {"platform", "environment", "service", "instance"} <= set(one["metric"])
        assert one["metric"]["environment"] == "default"
    for name in ("ragops_api_requests_total", "envoy_cluster_upstream_rq_total", "collections_total"):
        assert platform.ask("query", query=name)["result"], name


def test_the_database_login_reads_statistics_and_no_row(platform: Watched) -> None:
    with platform.log_in() as connection:
        assert connection.execute("SELECT count(*) FROM pg_stat_activity WHERE query <> ''").fetchone()
        assert connection.execute("SELECT pg_database_size('rag')").fetchone()
        for statement in ("SELECT * FROM rag.documents", "CREATE TABLE t (a int)", "CREATE TEMP TABLE t (a int)"):
            with pytest.raises(psycopg.Error, match=r"permission denied|read-only"):
                connection.execute(statement)
        memberships = connection.execute(
            "SELECT r.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid"
            " JOIN pg_roles u ON u.oid = m.member WHERE u.rolname = 'rag_monitor'"
        ).fetchall()
    assert memberships == [("pg_monitor",)]


def test_the_cache_login_sees_no_key(platform: Watched) -> None:
    port, password = platform.settings["redis"]["port"], platform.secrets["redis_monitor"]
    client = redis.Redis(port=port, username="ragops-monitor", password=password, protocol=2)
    assert client.info()["maxmemory"] > 0
    assert client.config_get("maxmemory")
    for command in REFUSED:
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command.split())
    client.close()


def test_secrets_are_in_files_of_their_owner_alone(platform: Watched) -> None:
    folder = platform.root / ".ragops" / "run" / "default" / "observability"
    secret = next(folder.rglob("qdrant*_key"))
    assert secret.stat().st_mode & 0o077 == 0
    key = secret.read_text()
    command = json.loads((folder / "spec.json").read_text()) if (folder / "spec.json").exists() else {}
    assert key not in str(command)
    assert key not in next(folder.rglob("prometheus.yml")).read_text()


def test_a_prometheus_of_ones_own_gets_the_same_pages(platform: Watched) -> None:
    done = platform.run("metrics", "targets")
    groups = json.loads(done.out)
    assert {one["labels"]["job"] for one in groups} == {"qdrant", "api", "gateway"}
    assert "qdrant asks for a bearer token" in done.err
    for one in groups:
        assert one["labels"].keys() >= {"__scheme__", "__metrics_path__", "platform", "environment", "service"}


def test_what_up_found_is_written_as_figures(platform: Watched) -> None:
    text = (platform.root / ".ragops" / "metrics" / "default" / "ragops.prom").read_text()
    for figure in ("ragops_health_status{", "ragops_certificate_not_after_timestamp_seconds", "ragops_info"):
        assert figure in text


@pytest.mark.skipif(
    not (PROGRAM and shutil.which("promtool", path=_PLACES)),
    reason="not here: promtool (next to prometheus, or on PATH)",
)
def test_what_prometheus_would_not_take_is_refused_and_it_runs_on(platform: Watched) -> None:
    before, section = platform.pids(), platform.settings["observability"]
    platform.section(**{**section, "scrape_interval": "999999999y"})
    try:
        error = platform.run("up", "--yes", "--json", code=2).error
        assert (error["code"], "promtool reports" in error["message"]) == ("observability_refused", True)
        assert platform.pids() == before
    finally:
        platform.section(**section)


def test_it_stays_as_it_is_and_can_be_switched_off(platform: Watched) -> None:
    assert platform.run("up", "--json").json()["changes"] == []
    platform.run("drift")
    port = platform.settings["observability"]["port"]
    platform.section()
    platform.run("up", "--yes")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/-/ready", timeout=2)
    with pytest.raises(psycopg.OperationalError):
        platform.log_in()
