"""The Qdrant service as a Pulumi component."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pulumi

from ragops.services.contract import Endpoint, Login, Node
from ragops.services.monitoring import MONITOR, QDRANT_SECRET
from ragops.services.qdrant import node
from ragops.services.qdrant.names import API_KEY_SECRET, ENGINE, SERVER_ENGINE, VERSION
from ragops.services.qdrant.settings import instance
from ragops.services.secret_names import values
from ragops.services.spec import ConfigFile, HttpCheck, ServiceSpec, local_endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.contract import Declaration
    from ragops.services.qdrant.settings import QdrantSettings
    from ragops.services.spec import Layout, Runtime

_LOGINS = {"operator": Login("", API_KEY_SECRET), "application": Login("", API_KEY_SECRET)}


class Qdrant(pulumi.ComponentResource):
    """A cluster of nodes if the runtime starts images, else one node; `endpoint` has the addresses of all."""

    def __init__(self, declaration: Declaration, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ragops:service:Qdrant", "qdrant", None, opts)
        runtime, settings = declaration.runtime, declaration.settings
        layout = runtime.layout("qdrant", node.image(settings))
        if layout.uses_images:
            layouts = [
                runtime.layout(name, node.image(settings)) for name in map(instance, range(1, settings.nodes + 1))
            ]
            self._start_in_order(declaration, layouts)
            self.endpoint = cluster_endpoint(settings, runtime, layouts, is_monitored=declaration.is_monitored)
        else:
            runtime.run(service_spec(settings, declaration.secrets, layout), self)
            self.endpoint = single_endpoint(settings, runtime, layout)
        self.register_outputs({"endpoint": self.endpoint.to_dict()})

    def _start_in_order(self, declaration: Declaration, layouts: list[Layout]) -> None:
        """Declare one after the other: a node joins by consensus of the others, and no two are replaced at once."""
        settings, secrets = declaration.settings, declaration.secrets
        before: list[pulumi.Resource] = []
        for number in range(1, len(layouts) + 1):
            options = pulumi.ResourceOptions(parent=self, depends_on=before)
            one = _Node(instance(number), options)
            spec = node.node_spec(
                settings, secrets, layouts, number,
                asks_nodes=not declaration.is_mixed, is_monitored=declaration.is_monitored,
            )  # fmt: skip
            declaration.runtime.run(spec, one)
            before = [one]


class _Node(pulumi.ComponentResource):
    """One node, so that the next one can depend on all of its resources."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("ragops:service:QdrantNode", name, None, opts)


def cluster_endpoint(
    settings: QdrantSettings, runtime: Runtime, layouts: list[Layout], *, is_monitored: bool = False
) -> Endpoint:
    """Return the addresses of every node; options: `replication_factor`, `shard_number` if they are set."""
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
    return local_endpoint(
        "qdrant",
        runtime,
        layouts[0],
        engine=SERVER_ENGINE,
        version=node.version(settings),
        port=settings.port,
        inner_port=node.REST_PORT,
        instance=instance(1),
        options={
            key: str(value)
            for key, value in (("replication_factor", settings.replication_factor), ("shard_number", settings.shards))
            if value is not None
        },
        logins=_LOGINS | ({MONITOR: Login("", QDRANT_SECRET)} if is_monitored else {}),
        nodes=tuple(nodes),
    )


def single_endpoint(settings: QdrantSettings, runtime: Runtime, layout: Layout) -> Endpoint:
    """Return the address of the one node of the development engine."""
    return local_endpoint(
        "qdrant",
        runtime,
        layout,
        engine=ENGINE,
        version=VERSION,
        port=settings.port,
        inner_port=node.REST_PORT,
        options={"storage": layout.data_dir},
        logins=_LOGINS,
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
