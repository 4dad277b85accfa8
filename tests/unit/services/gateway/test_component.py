from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from ragops.services.contract import Capability
from ragops.services.gateway import GatewayService
from ragops.services.gateway.component import GatewayArgs
from ragops.services.gateway.configuration import GatewayConfiguration, GatewayInputs
from ragops.services.gateway.settings import GatewaySettings
from ragops.services.spec import Layout, ServiceSpec

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

    def layout(self, service: str) -> Layout:
        return Layout(f"/run/{service}/config", f"/data/{service}", "127.0.0.1")

    def handle(self, service: str) -> str:
        return f"/run/{service}"

    def run(self, spec: ServiceSpec, parent: Any) -> object:
        self.declared.append((spec, parent))
        return object()

    def configure(self, configuration: GatewayConfiguration, parent: Any) -> object:
        self.declared.append((configuration, parent))
        return self.applied


@pytest.fixture(autouse=True)
def mocks(pulumi_loop: None) -> Iterator[None]:
    pulumi.runtime.set_mocks(_Mocks())
    yield
    pulumi.runtime.settings.reset_options()


def _gateway(runtime: _Runtime, **settings: Any) -> Any:
    inputs = GatewayInputs(GatewaySettings(**settings), "demo", "127.0.0.1", 8080, {"keys": []}, "/tls.crt", "/tls.key")
    return GatewayService().component()(GatewayArgs(inputs, runtime))


def test_the_configuration_is_there_before_the_process_that_watches_it() -> None:
    runtime = _Runtime()
    gateway = _gateway(runtime)
    (configuration, first), (spec, second) = runtime.declared
    assert isinstance(configuration, GatewayConfiguration)
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
