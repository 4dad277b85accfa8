"""The cluster of Qdrant as a person wants to see it: nodes, shards, transfers, and what the loss of each node costs."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.errors import RagopsError, UsageError
from ragops.services.qdrant.cluster.nodes import connect, is_cluster
from ragops.services.qdrant.cluster.topology import loss_of, read_topology

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ragops.operations.session import Session
    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.cluster.nodes import Nodes
    from ragops.services.qdrant.cluster.topology import ClusterNode, Topology

SERVICE = "qdrant"
_ANSWER_SECONDS = 90.0
_LOOK_SECONDS = 15.0
LEADER, FOLLOWER, AWAY, NO_MEMBER = "leader", "follower", "away", "no member"


@dataclass(frozen=True)
class NodeStatus:
    """A node: `points` are about those of its replicas, `size` their bytes by the server's estimate, None if unknown.

    `would_lose` are the shards that only it serves, `would_leave_single` those that only one more node serves, both as
    COLLECTION/NUMBER; `keeps_majority` is whether the cluster could still change without it.
    """

    name: str
    peer: int
    role: str
    version: str
    fault: str
    replicas: int
    points: int
    size: int | None
    would_lose: tuple[str, ...]
    would_leave_single: tuple[str, ...]
    keeps_majority: bool


@dataclass(frozen=True)
class ShardStatus:
    """A shard; `replicas` are the states of its replicas by node, `wanted` how many there are to be."""

    collection: str
    shard: int
    key: str | int | None
    points: int
    wanted: int
    replicas: Mapping[str, str]


@dataclass(frozen=True)
class TransferStatus:
    """A shard on its way between two nodes."""

    collection: str
    shard: int
    source: str
    target: str
    is_move: bool
    method: str


@dataclass(frozen=True)
class ClusterStatus:
    """The cluster at one moment; `free` are the bytes free where the nodes of this machine keep their data.

    `pending` is the command that continues an interrupted change, empty if there is none.
    """

    nodes: tuple[NodeStatus, ...]
    shards: tuple[ShardStatus, ...]
    transfers: tuple[TransferStatus, ...]
    free: int | None
    pending: str = ""


def status(session: Session) -> ClusterStatus:
    """Look at the whole cluster. Raises UsageError (not_a_cluster), UnhealthyError (qdrant_unreachable)."""
    with open_cluster(session, _LOOK_SECONDS) as (endpoint, nodes):
        topology = read_topology(endpoint, nodes, sizes=True)
    return ClusterStatus(
        nodes=tuple(_node(topology, node) for node in topology.nodes),
        shards=tuple(_shards(topology)),
        transfers=tuple(
            TransferStatus(
                one.collection,
                one.shard,
                topology.name_of(one.source),
                topology.name_of(one.target),
                not one.keeps_source,
                one.method,
            )
            for one in topology.transfers
        ),
        free=_free_bytes(session, endpoint),
        pending=left.command if (left := session.cluster_journal().read()) else "",
    )


@contextmanager
def open_cluster(session: Session, seconds: float = _ANSWER_SECONDS) -> Iterator[tuple[Endpoint, Nodes]]:
    """Connect to the nodes that answer; an answer takes at most `seconds`.

    Raises UsageError (not_a_cluster) for the development server, MissingError (not_provisioned), UnhealthyError
    (qdrant_unreachable).
    """
    endpoint = session.endpoint(SERVICE)
    if not is_cluster(endpoint):
        what = "cannot operate a cluster: the embedded runtime has one development server of Qdrant"
        raise UsageError("not_a_cluster", what, "set `runtime: docker` in ragops.yaml for a cluster")
    with connect(endpoint, seconds) as nodes:
        yield endpoint, nodes


def _node(topology: Topology, node: ClusterNode) -> NodeStatus:
    loss = loss_of(topology, node)
    held = [(one, replica) for one in topology.collections for replica in one.shards.replicas]
    held = [(one, replica) for one, replica in held if replica.peer == node.peer and node.peer]
    points = sum(one.points.get(replica.shard, 0) for one, replica in held)
    return NodeStatus(
        node.name, node.peer, _role(node), node.version, node.fault, len(held), points, node.size,
        loss.lost, loss.single, loss.majority,
    )  # fmt: skip


def _role(node: ClusterNode) -> str:
    if not node.peer:
        return NO_MEMBER
    if node.fault:
        return AWAY
    return LEADER if node.is_leader else FOLLOWER


def _shards(topology: Topology) -> Iterator[ShardStatus]:
    for one in topology.collections:
        for shard, replicas in one.shards.shards().items():
            states = {topology.name_of(replica.peer): replica.state for replica in replicas}
            yield ShardStatus(one.name, shard, replicas[0].key, one.points.get(shard, 0), one.factor, states)


def _free_bytes(session: Session, endpoint: Endpoint) -> int | None:
    try:
        return session.host.control(endpoint).free_bytes()
    except RagopsError:
        return None
