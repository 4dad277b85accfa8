"""A runtime that only this test knows goes through init, plan, up's engine run, status, health and doctor.

Its facts are a mixture that neither runtime has: programs from images, in a network of their own, with files shared and
Envoy as the gateway. Nothing but its registration names it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
import yaml

from ragops.cli.console import Console
from ragops.cli.views import show_status
from ragops.config.load import load
from ragops.errors import UsageError
from ragops.operations.lifecycle import images
from ragops.operations.lifecycle.doctor import examine
from ragops.operations.lifecycle.init import init
from ragops.operations.lifecycle.provision import drift, plan
from ragops.operations.lifecycle.stack import open_stack
from ragops.operations.observe.health import check
from ragops.operations.observe.status import status
from ragops.operations.schedule.boot import refuse_runtime
from ragops.operations.session import Session
from ragops.runtimes import registry
from ragops.runtimes.contract import (
    RUNNING,
    Difference,
    ImageState,
    Instance,
    Judgement,
    LogLine,
    LogTail,
    ResourceDescription,
)
from ragops.runtimes.facts import RuntimeFacts
from ragops.runtimes.registry import RegisteredRuntime
from ragops.services import SERVICES
from ragops.services.contract import Check, Status
from ragops.services.observability import IMAGES
from ragops.services.spec import Distribution, GatewayEngine, Layout, RuntimeTraits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ragops.config.load import Project
    from ragops.services.contract import Endpoint
    from ragops.services.spec import ImageSpec, ServiceSpec

pytestmark = pytest.mark.engine

TRAITS = RuntimeTraits(
    distribution=Distribution.IMAGE, shares_filesystem=True, gateway_engine=GatewayEngine.ENVOY
)  # fmt: skip
FACTS = RuntimeFacts(
    name="paper", instances="sheets", id_title="SHEET", traits=TRAITS,
    ignored_settings={"run_as": "paper has no users"}, manager="the paper tray", boot_hint="`fill the tray`",
)  # fmt: skip


class Sheet(pulumi.ComponentResource):
    """What stands for a container."""

    def __init__(self, name: str, parent: pulumi.Resource) -> None:
        super().__init__("paper:index:Sheet", name, None, pulumi.ResourceOptions(parent=parent))


class PaperRuntime:
    """Declares a sheet for each specification."""

    name = "paper"
    capabilities = frozenset()

    def layout(self, instance: str, image: ImageSpec | None = None) -> Layout:
        folders = {"hot_dir": f"/paper/{instance}/hot", "internal_host": f"{instance}.paper"}
        return Layout(f"/paper/{instance}", f"/paper/{instance}/data", "0.0.0.0", **folders, **vars(TRAITS))

    def runtime_id(self, instance: str) -> str:
        return f"sheet of {instance}"

    def run(self, spec: ServiceSpec, parent: Any) -> Sheet:
        return Sheet(spec.name, parent)

    def configure(self, inputs: Any, parent: Any) -> Sheet:
        return Sheet("gateway-paper", parent)


class PaperHost:
    """The protocol's members that the commands below call."""

    facts = FACTS

    def __init__(self, project: Project) -> None:
        self.project = project

    def runtime(self) -> PaperRuntime:
        return PaperRuntime()

    def engine_variables(self) -> dict[str, str]:
        return {}

    def image_pins(self) -> dict[str, str]:
        return {"paper:1": "white"}

    def will_restart(self) -> tuple[str, ...]:
        return ()

    def describe_resource(self, urn: str) -> ResourceDescription:
        return ResourceDescription(urn.rpartition("::")[2])

    def resources_of(self, instance: str) -> tuple[str, ...]:
        return (instance,)

    def drift(self) -> tuple[Difference, ...]:
        return (Difference("redis", RUNNING, "is crumpled"),)

    def observe(self, endpoint: Endpoint) -> tuple[Instance, ...]:
        return (Instance(endpoint.service, endpoint.service, "folded", "paper:1", ident=endpoint.runtime_id),)

    def control(self, endpoint: Endpoint, instance: str = "") -> object:
        return object()  # nothing here changes a service

    def is_running(self, service: str) -> bool:
        return False

    def has_data(self, service: str) -> bool:
        return False

    def lacks_data(self, service: str) -> bool:
        return False

    data_location = "the tray"

    def read_log(self, service: str, lines: int) -> LogTail:
        return LogTail((LogLine(service, f"{service} is written"),), lambda: iter(()))

    def check_files(self, image: str, command: tuple[str, ...], files: object) -> Judgement:
        return Judgement(True, (f"{image} was read by {command[0]}",))

    def doctor_checks(self) -> tuple[Check, ...]:
        return (Check("paper", Status.OK, "80 g"),)


class PaperImages:
    """The images of the platform: white ones."""

    def list(self) -> tuple[ImageState, ...]:
        return (ImageState("redis", "paper:1", "here", "white"),)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = RegisteredRuntime(FACTS, PaperHost, lambda _project: PaperImages())  # type: ignore[arg-type, return-value]
    monkeypatch.setitem(registry._RUNTIMES, "paper", runtime)


@pytest.fixture
def project(workspace: Path, free_port: Callable[[], int]) -> Project:
    init(workspace / "project", "demo", "paper")
    config = workspace / "project" / "ragops.yaml"
    values = yaml.safe_load(config.read_text())
    for name in ("redis", "timescaledb", "qdrant", "api", "gateway"):
        values[name] = {**(values.get(name) or {}), "port": free_port()}
    values["api"]["embedder"] = {"kind": "hashing"}
    values["qdrant"]["nodes"] = 1
    values.pop("ollama", None)
    config.write_text(yaml.safe_dump(values))
    return load(config, None)


def test_it_goes_through_plan_status_health_and_doctor(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    session = Session(project, "test", lambda _text: None)
    services = {service.name for service in SERVICES} - {"ollama"}

    planned = plan(session).changes
    single = services - {"qdrant", "observability"}
    assert {change.resource for change in planned} == {*single, "qdrant-1", *IMAGES, "gateway-paper"}
    assert {str(change.action) for change in planned} == {"create"}

    made = open_stack(project, session.make_secrets()).up()
    project.paths.endpoints.parent.mkdir(parents=True, exist_ok=True)
    project.paths.endpoints.write_text(json.dumps(made.outputs["endpoints"]))
    endpoints = session.endpoints()
    assert {endpoint.runtime for endpoint in endpoints.values()} == {"paper"}
    assert endpoints["gateway"].engine == "envoy"
    assert endpoints["redis"].internal_address[0] == "redis.paper"

    assert {line.state for line in status(session).services} == {"folded"}
    show_status(Console(color=False), status(session))
    assert {"SHEET", "folded", "paper:1"} <= {*capsys.readouterr().out.split()}
    probes = {probe.service: probe.checks for probe in check(session, timeout=2).probes}
    assert services | {"runtime", "backup"} <= probes.keys()
    assert [(item.name, item.detail) for item in probes["runtime"]] == [("redis", "is crumpled")]
    assert [(item.resource, item.detail) for item in drift(session).resources] == [("redis", "is crumpled")]
    checks = {item.name: item.detail for item in examine(project).checks}
    assert checks["paper"] == "80 g"
    assert "boot" not in checks, "its manager starts it"
    assert [item.reference for item in images.list_images(project)] == ["paper:1"]

    with pytest.raises(UsageError) as refused:
        refuse_runtime(project)
    assert (refused.value.code, "paper tray" in refused.value.hint) == ("boot_by_paper", True)


def test_settings_know_it_by_its_facts(project: Project) -> None:
    text = project.config.read_text()
    project.config.write_text(f"{text}run_as: postgres\n")
    with pytest.raises(UsageError) as refused:
        load(project.config, None)
    assert "paper has no users" in str(refused.value)
    project.config.write_text(text.replace("runtime: paper", "runtime: stone"))
    with pytest.raises(UsageError) as refused:
        load(project.config, None)
    assert "'embedded' or 'docker' or 'paper'" in str(refused.value)
