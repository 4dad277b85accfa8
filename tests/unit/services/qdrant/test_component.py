"""The component under Pulumi's mocks: nodes where the runtime starts images, one process where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from ragops.runtimes.docker.provision import args as docker_args
from ragops.services.contract import Declaration
from ragops.services.qdrant.component import Qdrant
from ragops.services.qdrant.names import API_KEY_SECRET, ENGINE, SERVER_ENGINE
from ragops.services.qdrant.settings import QdrantSettings
from ragops.services.spec import ImageSpec, Layout, ServiceSpec

if TYPE_CHECKING:
    from pulumi.runtime import MockCallArgs, MockResourceArgs


class Engine(pulumi.runtime.Mocks):
    def __init__(self) -> None:
        self.registered: list[tuple[str, str]] = []

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.registered.append((args.typ, args.name))
        return f"{args.name}-id", args.inputs

    def call(self, args: MockCallArgs) -> dict[str, Any]:
        return {}


class Runtime:
    """Takes specifications and runs nothing."""

    name = "test"
    capabilities = frozenset()

    def __init__(self, *, images: bool) -> None:
        self.images = images
        self.specs: list[ServiceSpec] = []

    def layout(self, instance: str, image: ImageSpec | None = None) -> Layout:
        if self.images:
            assert image is not None
            return docker_args.layout(instance, image)
        return Layout("/run/config", "/data", "127.0.0.1")

    def runtime_id(self, instance: str) -> str:
        return f"handle of {instance}"

    def run(self, spec: ServiceSpec, parent: Any) -> None:
        self.specs.append(spec)


def declared(runtime: Runtime, settings: QdrantSettings) -> tuple[Qdrant, Engine]:
    engine, made = Engine(), []
    pulumi.runtime.set_mocks(engine)

    @pulumi.runtime.test
    def declare() -> None:
        made.append(Qdrant(Declaration(settings, "rag", {API_KEY_SECRET: "key"}, runtime)))

    declare()
    return made[0], engine


@pytest.mark.parametrize("nodes", [1, 3, 5])
def test_every_node_is_an_instance_of_its_own(pulumi_loop: None, nodes: int) -> None:
    runtime = Runtime(images=True)
    component, engine = declared(runtime, QdrantSettings(nodes=nodes))
    names = [f"qdrant-{number}" for number in range(1, nodes + 1)]
    assert [spec.name for spec in runtime.specs] == names
    assert set(engine.registered) == {
        ("ragops:service:Qdrant", "qdrant"),
        *(("ragops:service:QdrantNode", name) for name in names),
    }
    endpoint = component.endpoint
    assert (endpoint.engine, endpoint.runtime_id) == (SERVER_ENGINE, "handle of qdrant-1")
    assert [node.name for node in endpoint.nodes] == names


def test_without_images_it_is_one_process(pulumi_loop: None) -> None:
    runtime = Runtime(images=False)
    component, engine = declared(runtime, QdrantSettings(nodes=3))
    assert [spec.name for spec in runtime.specs] == ["qdrant"]
    assert engine.registered == [("ragops:service:Qdrant", "qdrant")]
    assert component.endpoint.engine == ENGINE
    assert (dict(component.endpoint.options), component.endpoint.nodes) == ({"storage": "/data"}, ())
