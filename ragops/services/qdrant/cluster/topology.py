"""The whole cluster at one moment: its nodes, the replicas of every shard, and the transfers between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ragops.adapters.qdrant.failures import suppress_missing
from ragops.errors import RagopsError, UnhealthyError
from ragops.services.qdrant.cluster.members import members
from ragops.services.qdrant.cluster.nodes import addresses
from ragops.services.qdrant.cluster.shards import ShardMap

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from ragops.adapters.qdrant.node_client import NodeClient
    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.cluster.members import Member
    from ragops.services.qdrant.cluster.nodes import Nodes
    from ragops.services.qdrant.cluster.shards import Replica


@dataclass(frozen=True)
class ClusterNode:
    """A node of the cluster, or a peer that is none of them; `peer` is 0 if the node is in no cluster.

    `fault` is why it does not answer, or empty; `size` are the bytes of vectors and payloads on it by its own estimate.
    `host` is the node that a peer is or was.
    """

    name: str
    peer: int
    version: str = ""
    is_leader: bool = False
    fault: str = ""
    size: int | None = None
    host: str = ""

    @property
    def answers(self) -> bool:
        """Return whether it is a member that answers."""
        return bool(self.peer) and not self.fault


@dataclass(frozen=True)
class Transfer:
    """A shard on its way from one peer to another; without `keeps_source` the source is dropped at its end."""

    collection: str
    shard: int
    source: int
    target: int
    keeps_source: bool
    method: str = ""


@dataclass(frozen=True)
class CollectionState:
    """A collection; `factor` are the replicas that each shard is to have, `points` about how many a shard holds."""

    name: str
    shards: ShardMap
    factor: int
    points: Mapping[int, int] = field(default_factory=dict)
    transfers: tuple[Transfer, ...] = ()


@dataclass(frozen=True)
class Topology:
    """The nodes in their order, with peers that are none of them at the end, and all collections by name."""

    nodes: tuple[ClusterNode, ...]
    collections: tuple[CollectionState, ...]

    def name_of(self, peer: int) -> str:
        """Return the name of the node that is this peer."""
        return next((node.name for node in self.nodes if node.peer == peer), f"peer {peer}")

    def node(self, name: str) -> ClusterNode | None:
        """Return the node of that name."""
        return next((node for node in self.nodes if node.name == name), None)

    @property
    def alive(self) -> frozenset[int]:
        """Return the peers that answer."""
        return frozenset(node.peer for node in self.nodes if node.answers)

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        """Return all transfers that are under way."""
        return tuple(transfer for one in self.collections for transfer in one.transfers)


@dataclass(frozen=True)
class Loss:
    """What the loss of one node would do: `lost` are shards without another active replica, `single` those with one.

    Shards are written COLLECTION/NUMBER. `majority` is whether the others could still agree on changes.
    """

    lost: tuple[str, ...]
    single: tuple[str, ...]
    majority: bool


def loss_of(topology: Topology, node: ClusterNode) -> Loss:
    """Return what would be lost with the node, as things are now."""
    lost: list[str] = []
    single: list[str] = []
    for one in topology.collections:
        for shard, replicas in one.shards.shards().items():
            if not any(replica.peer == node.peer for replica in replicas):
                continue
            left = sum(replica.peer != node.peer for replica in serving(replicas, topology.alive))
            if left < 2:
                (single if left else lost).append(f"{one.name}/{shard}")
    peers = [other for other in topology.nodes if other.peer]
    left = sum(other.answers and other.peer != node.peer for other in peers)
    return Loss(tuple(lost), tuple(single), left > len(peers) // 2)


def serving(replicas: Sequence[Replica], alive: Collection[int]) -> list[Replica]:
    """Return the replicas that answer: active ones on peers that do."""
    return [replica for replica in replicas if replica.active and replica.peer in alive]


def read_topology(endpoint: Endpoint, nodes: Nodes, *, sizes: bool = False) -> Topology:
    """Return the cluster as the nodes that answer report it; `sizes` also asks each one for its size.

    Raises UnhealthyError (qdrant_not_joined) if the first one is in no cluster, else as `HttpClient`.
    """
    found = members(nodes)
    if nodes.first.name not in found:
        what = f"cannot read the cluster: {nodes.first.name} is in none"
        raise UnhealthyError("qdrant_not_joined", what, "`ragops up`; see `ragops logs qdrant`")
    read = tuple(_read_nodes(endpoint, nodes, found, sizes=sizes))
    local = {found[client.name].peer: client for client in nodes.clients if client.name in found}
    return Topology(read, tuple(_read_collections(nodes.first, local)))


def _read_nodes(endpoint: Endpoint, nodes: Nodes, found: Mapping[str, Member], *, sizes: bool) -> Iterator[ClusterNode]:
    view = found[nodes.first.name]
    clients = {client.name: client for client in nodes.clients}
    by_host = {host: peer for peer, host in view.peers.items()}
    seen: set[int] = set()
    for address in addresses(endpoint):
        name = address.name
        if name in found:
            one = found[name]
            seen.add(one.peer)
            size = _read_size(clients[name]) if sizes else None
            version = str(clients[name].root()["version"])
            fault = one.fault if one.peer in view.peers else "it is in another cluster"
            yield ClusterNode(name, one.peer, version, one.peer == view.leader, fault, size)
        else:
            peer = by_host.get(name, 0)
            seen.add(peer)
            error = nodes.unreachable.get(name)
            yield ClusterNode(name, peer, fault=error.message if error else "it is in no cluster")
    known = {address.name for address in addresses(endpoint)}
    for peer in sorted(set(view.peers) - seen):
        host = view.peers[peer]
        # A node that is not noted has joined in a run that was interrupted.
        fault = (
            f"{host} was this peer before it lost its data"
            if host in known
            else f"{host} is none of the nodes that ragops has noted"
        )
        yield ClusterNode(f"peer {peer}", peer, fault=fault, host=host)


def _read_size(client: NodeClient) -> int | None:
    """Return the estimate of the node itself, None without one."""
    try:
        return sum(_local_sizes(client.send("GET", "/telemetry", None, details_level="3")))
    except (RagopsError, KeyError, TypeError, AttributeError):
        return None


def _local_sizes(telemetry: Any) -> Iterator[int]:
    for collection in telemetry["collections"]["collections"]:
        for shard in collection.get("shards") or []:
            local = shard.get("local") or {}
            yield int(local.get("vectors_size_bytes") or 0) + int(local.get("payloads_size_bytes") or 0)


def _read_collections(client: NodeClient, local: Mapping[int, NodeClient]) -> Iterator[CollectionState]:
    for name in client.collection_names():
        with suppress_missing():  # deleted in between
            answer = client.shards(name)
            shards = ShardMap.of(answer)
            points = dict(_local_points(answer))
            for peer, other in local.items():
                if peer != shards.peer and any(replica.peer == peer for replica in shards.replicas):
                    for shard, count in _local_points(other.shards(name)):
                        points[shard] = max(points.get(shard, 0), count)
            yield CollectionState(name, shards, _factor(client, name, shards), points, tuple(_transfers(name, answer)))


def _factor(client: NodeClient, name: str, shards: ShardMap) -> int:
    """Return the replication factor; a server cannot return it if a shard is out of reach, which others report."""
    try:
        return client.replication_factor(name)
    except RagopsError as error:
        if error.code == "qdrant_not_found":
            raise
        return max((len(replicas) for replicas in shards.shards().values()), default=1)


def _local_points(answer: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    for shard in answer["local_shards"]:
        yield int(shard["shard_id"]), int(shard.get("points_count") or 0)


def _transfers(name: str, answer: Mapping[str, Any]) -> Iterator[Transfer]:
    for one in answer["shard_transfers"]:
        method = str(one.get("method") or "")
        yield Transfer(name, int(one["shard_id"]), int(one["from"]), int(one["to"]), bool(one.get("sync")), method)
