from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from ragops.runtimes.docker.facts import TRAITS
from ragops.services.contract import Capability
from ragops.services.gateway.component import Gateway
from ragops.services.gateway.configuration import GatewayInputs
from ragops.services.gateway.settings import GatewaySettings
from ragops.services.spec import ExecCheck, ImageSpec, Layout, ServiceSpec

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        return args.name, dict(args.inputs)

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[Any, Any]:
        return {}


class _Runtime:
    """Keeps what a component declares."""

    name = "embedded"
    capabilities = frozenset({Capability.READ_FILES})

    def __init__(self) -> None:
        self.declared: list[tuple[Any, Any]] = []
        self.applied = object()

    def layout(self, service: str, image: ImageSpec | None = None) -> Layout:
        return Layout(f"/run/{service}/config", f"/data/{service}", "127.0.0.1")

    def runtime_id(self, service: str) -> str:
        return f"/run/{service}"

    def run(self, spec: ServiceSpec, parent: Any) -> object:
        self.declared.append((spec, parent))
        return object()

    def configure(self, inputs: GatewayInputs, parent: Any) -> object:
        self.declared.append((inputs, parent))
        return self.applied


class _ImageRuntime(_Runtime):
    name = "docker"

    def layout(self, service: str, image: ImageSpec | None = None) -> Layout:
        assert image is not None
        return Layout(image.config_dir, "", "0.0.0.0", internal_host=service, **asdict(TRAITS))


@pytest.fixture(autouse=True)
def mocks(pulumi_loop: None) -> Iterator[None]:
    pulumi.runtime.set_mocks(_Mocks())
    yield
    pulumi.runtime.settings.reset_options()


def _gateway(runtime: _Runtime, **settings: Any) -> Any:
    inputs = GatewayInputs(GatewaySettings(**settings), "demo", "127.0.0.1", 8080, {"keys": []}, "/tls.crt", "/tls.key")
    return Gateway(inputs, runtime)


def test_the_configuration_is_there_before_the_process_that_watches_it() -> None:
    runtime = _Runtime()
    gateway = _gateway(runtime)
    (inputs, first), (spec, second) = runtime.declared
    assert isinstance(inputs, GatewayInputs)
    assert first is gateway
    assert second is runtime.applied
    assert spec.command[:3] == ("envoy", "--config-path", "/run/gateway/config/bootstrap.json")
    assert {"--disable-hot-restart", "--reject-unknown-dynamic-fields"} < set(spec.command)
    assert spec.ports == {"http": 8000, "https": 8443}


def test_the_endpoint_says_how_to_reach_it() -> None:
    endpoint = _gateway(_Runtime()).endpoint
    assert (endpoint.service, endpoint.port) == ("gateway", 8000)
    assert endpoint.options == {
        "admin": "/data/gateway/admin.sock",
        "tls_port": "8443",
        "certificate": "/tls.crt",
    }
    assert endpoint.logins == {}
    assert "tls_port" not in _gateway(_Runtime(), tls=False).endpoint.options


def test_in_an_image_the_gateway_is_kong() -> None:
    runtime = _ImageRuntime()
    endpoint = _gateway(runtime, port=9000, tls_port=9443).endpoint
    (_, _), (spec, parent) = runtime.declared
    assert parent is runtime.applied
    assert (endpoint.engine, endpoint.version, endpoint.port) == ("kong", "3.9.1", 9000)
    assert endpoint.internal_address == ("gateway", 8000)
    assert "admin" not in endpoint.options
    assert spec.image.reference == "kong:3.9.1"
    assert (spec.ports, spec.publish) == ({"http": 8000, "https": 8443}, {"http": 9000, "https": 9443})
    assert isinstance(spec.health, ExecCheck)
    assert spec.environment["KONG_DECLARATIVE_CONFIG"] == f"{spec.image.hot_dir}/kong.json"


def test_the_admin_api_listens_inside_alone() -> None:
    runtime = _ImageRuntime()
    _gateway(runtime)
    environment = runtime.declared[1][0].environment
    assert environment["KONG_ADMIN_LISTEN"].startswith("127.0.0.1:")
    assert {environment[f"KONG_{name}"] for name in ("ADMIN_GUI_LISTEN", "STATUS_LISTEN", "HEADERS")} == {"off"}
    assert not [value for value in environment.values() if "tls.key" in value or "PRIVATE" in value]


def test_without_tls_nothing_listens_for_it() -> None:
    runtime = _ImageRuntime()
    _gateway(runtime, tls=False)
    spec = runtime.declared[1][0]
    assert set(spec.ports) == set(spec.publish) == {"http"}
    assert "ssl" not in spec.environment["KONG_PROXY_LISTEN"]
