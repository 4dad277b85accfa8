"""The component under Pulumi's mocks: what it asks of a runtime and which endpoint it gives."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pulumi

from ragops.services.api.component import Api
from ragops.services.contract import Capability, Endpoint
from ragops.services.spec import Layout
from tests.unit.api.test_service import SECRETS, inputs


class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        return args.name, dict(args.inputs)

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        return {}


class Runtime:
    """Takes specs and runs nothing."""

    name = "embedded"
    capabilities = frozenset({Capability.RESTART})

    def __init__(self) -> None:
        self.specs: list[Any] = []

    def layout(self, service: str, image: object = None) -> Layout:
        return Layout(f"/run/{service}/config", f"/data/{service}", "127.0.0.1")

    def runtime_id(self, service: str) -> str:
        return f"/run/{service}"

    def run(self, spec: Any, parent: Any) -> str:
        self.specs.append(spec)
        return spec.service


@pulumi.runtime.test
def declare(runtime: Runtime, made: list[Api]) -> None:
    """Returns when all that the component tells the engine is told."""
    made.append(Api(inputs(port=8123, workers=2), runtime))
    made.append(Api(replace(inputs(port=8123), search={"mode": "sparse"}), runtime))


def test_endpoint_and_spec(pulumi_loop: None) -> None:
    pulumi.runtime.set_mocks(Mocks())
    runtime = Runtime()
    made: list[Api] = []
    declare(runtime, made)
    component, by_words = made
    assert [spec.service for spec in runtime.specs] == ["api", "api"]
    assert by_words.endpoint.options["models"] == ""
    endpoint = component.endpoint
    assert (endpoint.host, endpoint.port, endpoint.runtime_id) == ("127.0.0.1", 8123, "/run/api")
    static = "wordllama-l2-256-v2"
    models = {static: {"model": static, "dimensions": 256, "passage_prefix": ""}}
    assert endpoint.options == {"embedder": static, "models": json.dumps(models), "workers": "2"}
    again = Endpoint.from_dict(endpoint.to_dict(), SECRETS)
    assert again.logins["operator"].password.get_secret_value() == SECRETS["api_service_token"]
    assert again.logins["application"].user == "ingest"
