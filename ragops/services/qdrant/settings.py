"""Settings of the Qdrant service: the vectors of the chunks."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ragops.services.image_references import Reference, Size  # noqa: TC001  pydantic reads the annotations

_STEP = 10  # from the ports of one node to those of the next
_LAST_PORT = 65535


class QdrantSettings(BaseModel):
    """Section `qdrant:` of ragops.yaml; all but `port` is for runtimes that start images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int = Field(
        6333, ge=1024, le=_LAST_PORT, description="REST port of the first node; gRPC is on the next, node 2 ten higher"
    )
    nodes: int = Field(3, ge=1, le=99, description="servers of the cluster: 1, or an odd number from 3 on")
    replication_factor: int | None = Field(
        None, ge=1, description="copies of every shard, each on another node; left out: chosen for each collection"
    )
    shards_per_node: int | None = Field(
        None,
        ge=1,
        le=100,
        description="shards of a new collection, for every node; left out: chosen for each collection",
    )
    image: Reference = Field("", description="another image than the pinned one")
    memory: Size = Field("2gb", description="most memory of one node; kb, mb or gb, empty: no limit")

    @model_validator(mode="after")
    def _adds_up(self) -> QdrantSettings:
        if self.nodes % 2 == 0:
            less, more = self.nodes - 1, self.nodes + 1
            raise ValueError(
                f"{self.nodes} nodes survive the loss of no more nodes than {less}, and a cut through the middle leaves"
                f" neither half a majority: use {less} or {more}"
            )
        if self.replication_factor is not None and self.replication_factor > self.nodes:
            raise ValueError(
                f"replication_factor {self.replication_factor} needs as many nodes, there are {self.nodes}"
            )
        if self.grpc_port(self.nodes) > _LAST_PORT:
            raise ValueError(f"the ports of {self.nodes} nodes from {self.port} on end beyond {_LAST_PORT}")
        return self

    @property
    def shards(self) -> int | None:
        """Shards of every new collection on all nodes together, None if each has its own number."""
        return None if self.shards_per_node is None else self.shards_per_node * self.nodes

    def rest_port(self, number: int) -> int:
        """Return the published REST port of node `number`, counted from 1."""
        return self.port + _STEP * (number - 1)

    def grpc_port(self, number: int) -> int:
        """Return the published gRPC port of node `number`, counted from 1."""
        return self.rest_port(number) + 1


def instance(number: int) -> str:
    """Return the name of node `number`, counted from 1."""
    return f"qdrant-{number}"


def published_ports(settings: QdrantSettings) -> dict[str, int]:
    """Return every port of this machine that a cluster is published on, by a description of it."""
    ports = {"port": settings.rest_port(1), "port, gRPC of the first node": settings.grpc_port(1)}
    for number in range(2, settings.nodes + 1):
        ports[f"port, REST of node {number}"] = settings.rest_port(number)
        ports[f"port, gRPC of node {number}"] = settings.grpc_port(number)
    return ports
