"""The program of the platform under Pulumi's mocks: what it declares, what it exports, what it keeps secret."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
from pulumi.runtime.settings import get_root_resource

from ragops.config.load import Project
from ragops.config.model import Settings
from ragops.config.paths import ProjectPaths
from ragops.operations.lifecycle.stack import platform_inputs
from ragops.resources import stacks_dir
from ragops.runtimes.embedded.processes.spec import ProcessSpec
from ragops.services import SERVICES
from ragops.services.contract import Endpoint

if TYPE_CHECKING:
    from pathlib import Path

    from pulumi.runtime import MockCallArgs, MockResourceArgs

_OF_SERVICES = [secret for service in SERVICES for secret in service.secrets()]
_ASKED = ("timescaledb_monitor", "redis_monitor", "qdrant_read_only_key", "observability_grafana_admin")
SECRETS = {secret: f"{secret}-hunter2" for secret in (*_OF_SERVICES, "redis_user_worker", *_ASKED)}
PORTS = {"redis": 7001, "timescaledb": 7002, "qdrant": 7003, "api": 7004, "gateway": 7005}
LISTENS = {
    "redis": ("redis.conf", "bind 127.0.0.1\n"),
    "timescaledb": ("postgresql.conf", "listen_addresses = '127.0.0.1'\n"),
    "qdrant": ("edge.json", '"host": "127.0.0.1"'),
    "api": ("api.json", '"host": "127.0.0.1"'),
}
STORES = ("redis", "timescaledb")
PROCESS = "pulumi-python:dynamic/ragops:Process"
# How a secret travels to the engine (Pulumi SDK, pulumi/runtime/rpc.py: _special_sig_key, _special_secret_sig).
SEAL = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}


@dataclass
class Engine(pulumi.runtime.Mocks):
    """The engine's place: notes what is registered."""

    resources: dict[tuple[str, str], MockResourceArgs] = field(default_factory=dict)

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources[args.typ, args.name] = args
        return f"{args.name}-id", args.inputs

    def call(self, args: MockCallArgs) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Declared:
    """What one run of the program registered and exported."""

    root: Path
    resources: dict[tuple[str, str], MockResourceArgs]
    outputs: dict[str, Any]

    def process(self, service: str) -> dict[str, Any]:
        return self.resources[PROCESS, service].inputs

    def spec(self, service: str) -> ProcessSpec:
        inputs = self.process(service)
        return ProcessSpec.from_props({**inputs, "secret_files": inputs["secret_files"]["value"]})


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory, pulumi_loop: None) -> Declared:
    """The program, run once."""
    root = tmp_path_factory.mktemp("project")
    engine = Engine()
    pulumi.runtime.set_mocks(engine, project="test", stack="default", preview=False)
    outputs: dict[str, Any] = {}

    @pulumi.runtime.test
    def run() -> None:
        values = {"name": "test", **{name: {"port": port} for name, port in PORTS.items()}}
        project = Project(Settings.model_validate(values), ProjectPaths(root, "default"), root / "ragops.yaml")
        _program()(platform_inputs(project, SECRETS))
        outputs.update(get_root_resource().outputs)

    run()
    return Declared(root, engine.resources, outputs)


def _program() -> Any:
    spec = importlib.util.spec_from_file_location("platform_under_test", stacks_dir() / "platform" / "__main__.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.program


def test_each_service_is_a_component_with_its_process(declared: Declared) -> None:
    components = {"Redis": "redis", "Timescale": "timescaledb", "Qdrant": "qdrant", "Api": "api", "Gateway": "gateway"}
    assert set(declared.resources) == {
        *((f"ragops:service:{kind}", name) for kind, name in components.items()),
        *((PROCESS, name) for name in components.values()),
        ("pulumi-python:dynamic/ragops:GatewayConfig", "gateway-config"),
    }
    assert set(components.values()) == {service.name for service in SERVICES} - {"ollama", "observability"}  # optional


def test_only_the_endpoints_are_exported_and_hold_no_secret(declared: Declared) -> None:
    assert set(declared.outputs) == {"endpoints"}
    assert "hunter2" not in json.dumps(declared.outputs)


@pytest.mark.parametrize("service", PORTS)
def test_operations_understand_the_endpoints(declared: Declared, service: str) -> None:
    endpoint = Endpoint.from_dict(declared.outputs["endpoints"][service], SECRETS)
    assert (endpoint.service, endpoint.host, endpoint.port) == (service, "127.0.0.1", PORTS[service])
    assert endpoint.runtime_id == declared.spec(service).run_dir


@pytest.mark.parametrize("service", STORES)
def test_applications_have_a_login_of_their_own(declared: Declared, service: str) -> None:
    endpoint = Endpoint.from_dict(declared.outputs["endpoints"][service], SECRETS)
    operator, application = endpoint.logins["operator"], endpoint.logins["application"]
    assert operator.user != application.user
    assert operator.password.get_secret_value() != application.password.get_secret_value()


@pytest.mark.parametrize("service", PORTS)
def test_secret_files_are_sealed_and_no_secret_is_elsewhere(declared: Declared, service: str) -> None:
    inputs = declared.process(service)
    sealed = [inputs[name] for name in ("secret_files", "hot")]
    assert all(SEAL.items() <= item.items() for item in sealed)
    assert any(item["value"] for item in sealed) == bool(service != "gateway")
    assert "hunter2" not in json.dumps({**inputs, "secret_files": None, "hot": None}, default=str)


def test_no_password_is_in_the_acl_in_the_clear(declared: Declared) -> None:
    acl = declared.process("redis")["hot"]["value"]["users.acl"]
    assert "hunter2" not in acl
    assert "user default off" in acl


@pytest.mark.parametrize("service", LISTENS)
def test_services_listen_on_loopback_alone(declared: Declared, service: str) -> None:
    name, listens = LISTENS[service]
    content = next(file.content for file in declared.spec(service).files if file.name == name)
    assert listens in content
    assert "0.0.0.0" not in content
    assert str(PORTS[service]) in content


@pytest.mark.parametrize("service", PORTS)
def test_every_folder_is_the_projects_own(declared: Declared, service: str) -> None:
    spec = declared.spec(service)
    for folder in (spec.run_dir, spec.data_dir):
        assert folder.startswith(f"{declared.root}/.ragops/")


@pytest.mark.parametrize("service", PORTS)
def test_a_secret_is_in_no_command_and_no_variable(declared: Declared, service: str) -> None:
    spec = declared.spec(service)
    words = [*spec.command, *(spec.init.command if spec.init else ()), *spec.environment.values()]
    assert not [word for word in words if "hunter2" in word]
