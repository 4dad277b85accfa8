"""The Qdrant service as a Pulumi component."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi

from ragops.services.contract import Endpoint, Login, Node
from ragops.services.qdrant import node
from ragops.services.qdrant.names import API_KEY_SECRET, ENGINE, SERVER_ENGINE, VERSION
from ragops.services.qdrant.settings import instance
from ragops.services.secret_names import values
from ragops.services.spec import ConfigFile, HttpCheck, ServiceSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.contract import Declaration
    from ragops.services.qdrant.settings import QdrantSettings
    from ragops.services.spec import Layout, Runtime

_LOGINS = {"operator": Login("", API_KEY_SECRET), "application": Login("", API_KEY_SECRET)}


@dataclass(frozen=True)
class QdrantArgs:
    """Arguments of the component; `secrets` by name. With `asks_nodes` nodes ask one another for the key."""

    settings: QdrantSettings
    secrets: Mapping[str, str]
    runtime: Runtime
    asks_nodes: bool = True


class Qdrant(pulumi.ComponentResource):
    """A cluster of nodes if the runtime starts images, else one node; `endpoint` has the addresses of all."""

    def __init__(self, args: QdrantArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ragops:service:Qdrant", "qdrant", None, opts)
        runtime, settings = args.runtime, args.settings
        layout = runtime.layout("qdrant", node.image(settings))
        if layout.uses_images:
            layouts = [runtime.layout(name, node.image(settings)) for name in _instances(settings)]
            self._start_in_order(args, layouts)
            self.endpoint = cluster_endpoint(settings, runtime, layouts)
        else:
            runtime.run(service_spec(settings, args.secrets, layout), self)
            self.endpoint = single_endpoint(settings, runtime, layout)
        self.register_outputs({"endpoint": self.endpoint.to_dict()})

    def _start_in_order(self, args: QdrantArgs, layouts: list[Layout]) -> None:
        """Declare one after the other: a node joins by consensus of the others, and no two are replaced at once."""
        before: list[pulumi.Resource] = []
        for number in range(1, len(layouts) + 1):
            options = pulumi.ResourceOptions(parent=self, depends_on=before)
            one = _Node(instance(number), options)
            spec = node.node_spec(args.settings, args.secrets, layouts, number, asks_nodes=args.asks_nodes)
            args.runtime.run(spec, one)
            before = [one]


def declare(declaration: Declaration, options: pulumi.ResourceOptions | None = None) -> Qdrant:
    """Declare the component on the platform's stack."""
    args = QdrantArgs(
        declaration.settings, declaration.secrets, declaration.runtime, asks_nodes=not declaration.is_mixed
    )
    return Qdrant(args, options)


class _Node(pulumi.ComponentResource):
    """One node, so that the next one can depend on all of its resources."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("ragops:service:QdrantNode", name, None, opts)


def _instances(settings: QdrantSettings) -> list[str]:
    return [instance(number) for number in range(1, settings.nodes + 1)]


def cluster_endpoint(settings: QdrantSettings, runtime: Runtime, layouts: list[Layout]) -> Endpoint:
    """Return the addresses of every node; options: `replication_factor` and `shard_number` of new collections."""
    nodes = [
        Node(
            name=instance(number),
            url=f"http://127.0.0.1:{settings.rest_port(number)}",
            grpc_url=f"http://127.0.0.1:{settings.grpc_port(number)}",
            internal_url=f"http://{layout.internal_host}:{node.REST_PORT}",
            internal_grpc_url=f"http://{layout.internal_host}:{node.GRPC_PORT}",
        )
        for number, layout in enumerate(layouts, start=1)
    ]
    return Endpoint(
        service="qdrant",
        engine=SERVER_ENGINE,
        version=node.version(settings),
        runtime=runtime.name,
        host="127.0.0.1",
        port=settings.port,
        runtime_id=runtime.runtime_id(instance(1)),
        options={"replication_factor": str(settings.copies), "shard_number": str(settings.shards)},
        logins=_LOGINS,
        capabilities=runtime.capabilities,
        inner_host=layouts[0].internal_host,
        inner_port=node.REST_PORT,
        nodes=tuple(nodes),
    )


def single_endpoint(settings: QdrantSettings, runtime: Runtime, layout: Layout) -> Endpoint:
    """Return the address of the one node of the development engine."""
    return Endpoint(
        service="qdrant",
        engine=ENGINE,
        version=VERSION,
        runtime=runtime.name,
        host="127.0.0.1",
        port=settings.port,
        runtime_id=runtime.runtime_id("qdrant"),
        options={"storage": layout.data_dir},
        logins=_LOGINS,
        capabilities=runtime.capabilities,
    )


def service_spec(settings: QdrantSettings, secrets: Mapping[str, str], layout: Layout) -> ServiceSpec:
    """Return the specification of the development engine."""
    key_file = f"{layout.changing_dir}/api_key"
    keys = "".join(f"{value}\n" for value in values(secrets, API_KEY_SECRET))
    own, hot = layout.split(ConfigFile("api_key", keys, secret=True))
    config: dict[str, Any] = {"host": layout.listen, "port": settings.port, "storage": layout.data_dir}
    return ServiceSpec(
        service="qdrant",
        version=VERSION,
        command=("python", "-m", "ragops.devserver.qdrant", f"{layout.config_dir}/edge.json"),
        files=(
            ConfigFile("edge.json", json.dumps({**config, "api_key_file": key_file}, indent=2) + "\n"),
            *own,
        ),
        hot=hot,
        ports={"qdrant": settings.port},
        # Not /readyz: one collection that cannot be opened must not keep the others, and a restore, from running.
        health=HttpCheck(settings.port, "/healthz"),
        stop_grace=30.0,
        start_timeout=120.0,
    )
