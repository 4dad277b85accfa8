"""What the containers of observability are given: exact configurations, secrets in files alone, least rights."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pydantic import ValidationError

from ragops.runtimes.docker.names import DockerNames
from ragops.runtimes.docker.provision.args import container_args
from ragops.services.observability.component import endpoint, specs
from ragops.services.observability.health import instance_title
from ragops.services.observability.settings import ObservabilitySettings
from tests.unit.services.observability.conftest import SECRETS, ImageRuntime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ragops.services.contract import Declaration
    from ragops.services.spec import ServiceSpec

_PLACES = os.pathsep.join((os.environ.get("RAGOPS_TEST_PROMETHEUS_BIN", ""), os.environ["PATH"])).strip(os.pathsep)
ALL = ["postgres-exporter", "redis-exporter", "node-exporter", "cadvisor", "alertmanager", "prometheus", "grafana"]
LABELS = {"platform": "rag", "environment": "default"}


def by_instance(declaration: Declaration) -> dict[str, ServiceSpec]:
    return {spec.name: spec for spec in specs(declaration)}


def config(spec: ServiceSpec, name: str) -> Any:
    return yaml.safe_load(next(file.content for file in spec.files if file.name == name))


def test_every_container_is_there_and_each_can_be_left_out(declare: Callable[..., Declaration]) -> None:
    assert list(by_instance(declare())) == ALL
    others = ("alertmanager", "grafana", "postgres_exporter", "redis_exporter", "node_exporter", "cadvisor")
    off = dict.fromkeys(others, False)
    assert list(by_instance(declare(off))) == ["prometheus"]


def test_the_jobs_are_exactly_these(declare: Callable[..., Declaration]) -> None:
    values = config(by_instance(declare())["prometheus"], "prometheus.yml")
    found = {
        job["job_name"]: [(one["targets"], one["labels"]) for one in job["static_configs"]]
        for job in values["scrape_configs"]
    }

    def page(address: str, service: str, instance: str) -> tuple[list[str], dict[str, str]]:
        return [address], {**LABELS, "service": service, "instance": instance}

    own = "observability"
    assert found == {
        "qdrant": [page(f"qdrant-{number}:6333", "qdrant", f"qdrant-{number}") for number in (1, 2, 3)],
        "api": [page("api:8080", "api", "api")],
        "gateway": [page("gateway:8100", "gateway", "gateway")],
        "postgres": [page("postgres-exporter:9187", "timescaledb", "timescaledb")],
        "redis": [page("redis-exporter:9121", "redis", "redis")],
        "node": [page("node-exporter:9100", own, "node")],
        "containers": [page("cadvisor:8080", own, "containers")],
        "prometheus": [page("127.0.0.1:9090", own, "prometheus")],
        "alertmanager": [page("alertmanager:9093", own, "alertmanager")],
        "grafana": [page("grafana:3000", own, "grafana")],
    }
    jobs = {job["job_name"]: job for job in values["scrape_configs"]}
    assert [name for name, job in jobs.items() if job.get("honor_labels")] == ["node"]
    key = {"type": "Bearer", "credentials_file": "/etc/ragops/secrets/qdrant_read_only_key"}
    assert {name: job["authorization"] for name, job in jobs.items() if "authorization" in job} == {"qdrant": key}
    assert values["global"] == {
        "scrape_interval": "15s", "scrape_timeout": "10s", "evaluation_interval": "15s", "external_labels": LABELS,
    }  # fmt: skip
    assert values["alerting"] == {"alertmanagers": [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]}


def test_no_secret_is_anywhere_but_in_secret_files(declare: Callable[..., Declaration]) -> None:
    section = {
        "notify": [{"type": "slack", "url_file": "slack.url"}],
        "external": {"remote_write": [{"url": "https://far.example/write", "token_file": "far.token"}]},
    }
    files = {"slack.url": "https://hooks.example/hunter2", "far.token": "far-hunter2"}
    sealed = []
    for spec in specs(declare(section, files)):
        shown = [file.content for file in spec.files if not file.secret]
        assert "hunter2" not in json.dumps([spec.command, dict(spec.environment), shown, spec.health.command]), (
            spec.name
        )
        sealed += [file.content.strip() for file in spec.files if file.secret]
    wanted = [*SECRETS.values(), *files.values()]
    wanted[wanted.index("redis-hunter2")] = '{"redis://ragops-monitor@redis:6379": "redis-hunter2"}'
    assert sorted(sealed) == sorted(wanted)


def test_only_what_has_a_page_is_published_and_only_on_loopback(declare: Callable[..., Declaration]) -> None:
    names, published = DockerNames("rag", "default"), {}
    for spec in specs(declare()):
        assert spec.image
        arguments = container_args(spec, spec.image, names, image_id="sha256:1", network="net")
        published[spec.name] = [(port["ip"], port["external"]) for port in arguments["ports"]]
        assert arguments["read_only"] is True
        assert arguments["capabilities"] == {"drops": ["ALL"]}
        assert arguments["memory"] > 0
        mounts = [volume for volume in arguments["volumes"] if "host_path" in volume]
        assert all(mount["read_only"] for mount in mounts)
        assert bool(mounts) == (spec.name in ("node-exporter", "cadvisor"))
        assert not any("docker.sock" in mount["host_path"] for mount in mounts)
    asked = {"prometheus": 9090, "alertmanager": 9093, "grafana": 3000}
    assert published == {name: [("127.0.0.1", asked[name])] if name in asked else [] for name in ALL}


def test_retention_and_addresses_are_in_the_command(declare: Callable[..., Declaration]) -> None:
    spec = by_instance(declare({"retention": "3d", "retention_size": "1GB", "port": 9191}))["prometheus"]
    assert spec.command == (
        "prometheus", "--config.file=/etc/ragops/prometheus.yml", "--storage.tsdb.path=/prometheus/current",
        "--storage.tsdb.retention.time=3d", "--storage.tsdb.retention.size=1GB", "--web.listen-address=0.0.0.0:9090",
        "--web.external-url=http://127.0.0.1:9191/",
    )  # fmt: skip


RECEIVERS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    (
        {"type": "email", "to": "a@b.example", "from": "rag@b.example", "smarthost": "mail:587", "username": "rag",
         "password_file": "secret"},
        "email_configs",
        {"send_resolved": True, "to": "a@b.example", "from": "rag@b.example", "smarthost": "mail:587",
         "require_tls": True, "auth_username": "rag", "auth_password_file": "/etc/ragops/secrets/given-1"},
    ),
    (
        {"type": "webhook", "url_file": "secret", "resolved": False},
        "webhook_configs",
        {"send_resolved": False, "url_file": "/etc/ragops/secrets/given-1"},
    ),
    (
        {"type": "ntfy", "url": "https://ntfy.example/rag", "token_file": "secret"},
        "webhook_configs",
        {"send_resolved": True, "url": "https://ntfy.example/rag?template=alertmanager",
         "http_config": {"authorization": {"credentials_file": "/etc/ragops/secrets/given-1"}}},
    ),
    (
        {"type": "slack", "url_file": "secret", "channel": "#ops"},
        "slack_configs",
        {"send_resolved": True, "api_url_file": "/etc/ragops/secrets/given-1", "channel": "#ops"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("given", "kind", "wanted"), RECEIVERS, ids=lambda value: str(value)[:12])
def test_a_receiver_is_rendered_with_its_secret_by_file(
    declare: Callable[..., Declaration], given: dict[str, Any], kind: str, wanted: dict[str, Any]
) -> None:
    spec = by_instance(declare({"notify": [given]}, {"secret": "hunter2"}))["alertmanager"]
    values = config(spec, "alertmanager.yml")
    name = f"{given['type']}-1"
    assert values["receivers"] == [{"name": "none"}, {"name": name, kind: [wanted]}]
    assert values["route"]["routes"] == [{"receiver": name, "continue": True}]
    assert [file.name for file in spec.files if file.secret] == ["secrets/given-1"]


def test_severities_choose_the_receivers(declare: Callable[..., Declaration]) -> None:
    notify = [
        {"type": "webhook", "url": "http://page.example", "severities": ["critical"]},
        {"type": "webhook", "url": "http://all.example"},
    ]
    values = config(by_instance(declare({"notify": notify}))["alertmanager"], "alertmanager.yml")
    assert values["route"]["routes"] == [
        {"receiver": "webhook-1", "continue": True, "matchers": ['severity=~"critical"']},
        {"receiver": "webhook-2", "continue": True},
    ]
    assert values["route"]["receiver"] == "none"


def test_what_the_team_has_already_takes_the_place_of_our_own(declare: Callable[..., Declaration]) -> None:
    external = {
        "alertmanager": "https://alerts.example/am", "alertmanager_token_file": "am.token",
        "grafana": "https://grafana.example",
        "remote_write": [{"url": "https://far.example/write", "username": "rag", "password_file": "far.password"}],
    }  # fmt: skip
    declaration = declare({"external": external}, {"am.token": "a", "far.password": "b"})
    found = by_instance(declaration)
    assert not {"alertmanager", "grafana"} & set(found)
    values = config(found["prometheus"], "prometheus.yml")
    assert values["alerting"]["alertmanagers"] == [
        {"scheme": "https", "static_configs": [{"targets": ["alerts.example"]}], "path_prefix": "/am",
         "authorization": {"credentials_file": "/etc/ragops/secrets/given-2"}}
    ]  # fmt: skip
    assert values["remote_write"] == [
        {"url": "https://far.example/write",
         "basic_auth": {"username": "rag", "password_file": "/etc/ragops/secrets/given-1"}}
    ]  # fmt: skip
    found_endpoint = endpoint(declaration.settings, ImageRuntime())
    assert found_endpoint.options["grafana"] == "https://grafana.example"
    assert not found_endpoint.logins


def test_status_has_the_program_and_version_of_each_container(declare: Callable[..., Declaration]) -> None:
    found = endpoint(declare().settings, ImageRuntime())
    assert set(found.instances) == set(ALL)
    assert instance_title(found, "alertmanager") == ("Alertmanager", "0.34.0")
    assert instance_title(found, "prometheus") == ("Prometheus", found.version)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"retention": "forever"}, "retention"),
    ({"notify": [{"type": "email", "to": "a@b.example"}]}, "email needs from and smarthost"),
    ({"notify": [{"type": "webhook"}]}, "one of url and url_file"),
    ({"notify": [{"type": "slack", "url": "https://hooks.example"}]}, "slack needs url_file"),
    ({"notify": [{"type": "webhook", "url": "https://user:secret@x.example"}]}, "url"),
    ({"notify": [{"type": "webhook", "url": "http://x"}], "alertmanager": False}, "notify needs Alertmanager"),
    ({"external": {"remote_write": [{"url": "http://x", "username": "a"}]}}, "belong together"),
    ({"grafna": {}}, "grafna"),
]


@pytest.mark.parametrize(("section", "words"), BAD, ids=lambda value: str(value)[:30])
def test_a_bad_section_is_refused_by_name(section: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ObservabilitySettings.model_validate(section)


TOOLS = [
    ("promtool", ("check", "config"), "prometheus", "prometheus.yml"),
    ("amtool", ("check-config",), "alertmanager", "alertmanager.yml"),
]


@pytest.mark.parametrize(("tool", "words", "instance", "name"), TOOLS)
def test_the_programs_own_checks_take_what_is_rendered(
    declare: Callable[..., Declaration], tmp_path: Path, tool: str, words: tuple[str, ...], instance: str, name: str
) -> None:
    if (program := shutil.which(tool, path=_PLACES)) is None:
        pytest.skip(f"not here: {tool} (on PATH, or in the folder RAGOPS_TEST_PROMETHEUS_BIN)")
    said = subprocess.run([program, "--version"], capture_output=True, encoding="utf-8", timeout=60, check=False)
    if tool == "amtool" and re.search(r"version 0\.(1\d|2[0-5])\.", said.stdout + said.stderr):
        pytest.skip("not here: an amtool from 0.26 on, which takes url_file of a webhook")
    notify = [given for given, _, _ in RECEIVERS]
    external = {"remote_write": [{"url": "https://far.example/write", "token_file": "secret"}]}
    spec = by_instance(declare({"notify": notify, "external": external}, {"secret": "hunter2"}))[instance]
    for file in spec.files:
        path = tmp_path / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.content.replace("/etc/ragops", str(tmp_path)))
    done = subprocess.run(
        [program, *words, str(tmp_path / name)], capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
