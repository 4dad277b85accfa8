"""Proof that all replicas of a shard hold the same points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress
from ragops.errors import RagopsError, UsageError
from ragops.operations.cluster.status import open_cluster
from ragops.services.qdrant.cluster.replica_compare import ReplicaReader, compare_replicas
from ragops.services.qdrant.cluster.topology import read_topology

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ragops.adapters.progress import OnProgress
    from ragops.adapters.qdrant.node_client import NodeClient
    from ragops.operations.session import Session
    from ragops.services.qdrant.cluster.nodes import Nodes
    from ragops.services.qdrant.cluster.topology import CollectionState, Topology

_SHOWN_IDS = 5
_ANSWER_SECONDS = 120.0


@dataclass(frozen=True)
class ShardVerification:
    """One shard: `points` of each replica by node, how many differ for good, some of their ids, and the digest.

    `skipped` is why it was not compared in full, or empty. With `is_capped` at least `differing` points differ. If
    some differ, `agree` are the nodes of the majority whose replicas are the same.
    """

    collection: str
    shard: int
    points: Mapping[str, int]
    differing: int = 0
    examples: tuple[int | str, ...] = ()
    digest: str = ""
    skipped: str = ""
    is_capped: bool = False
    agree: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClusterVerification:
    """All shards that were looked at; `with_vectors`: vectors were compared too."""

    shards: tuple[ShardVerification, ...]
    with_vectors: bool

    @property
    def differing(self) -> tuple[ShardVerification, ...]:
        """The shards whose replicas differ."""
        return tuple(one for one in self.shards if one.differing)

    @property
    def skipped(self) -> tuple[ShardVerification, ...]:
        """The shards that were not compared in full."""
        return tuple(one for one in self.shards if one.skipped)


def verify(session: Session, collections: Sequence[str], show: OnProgress, *, deep: bool) -> ClusterVerification:
    """Compare the replicas of every shard, of `collections` if any are named; `deep` with their vectors.

    Raises UsageError (not_a_cluster, unknown_collection), UnhealthyError (qdrant_unreachable).
    """
    with open_cluster(session, _ANSWER_SECONDS) as (endpoint, nodes):
        topology = read_topology(endpoint, nodes)
        known = {one.name for one in topology.collections}
        for name in collections:
            if name not in known:
                what = f"cannot find collection {name!r} in Qdrant"
                raise UsageError("unknown_collection", what, "`ragops cluster status` lists them; an alias is none")
        wanted = [one for one in topology.collections if not collections or one.name in collections]
        found = tuple(one for state in wanted for one in _verify(state, topology, nodes, show, deep=deep))
    return ClusterVerification(found, deep)


def _verify(
    state: CollectionState, topology: Topology, nodes: Nodes, show: OnProgress, *, deep: bool
) -> Iterator[ShardVerification]:
    clients = {client.name: client for client in nodes.clients}
    for shard, replicas in state.shards.shards().items():
        names = {topology.name_of(replica.peer): replica for replica in replicas}
        able = {name: clients[name] for name, replica in names.items() if replica.active and name in clients}
        states = {
            name: f"is {replica.state}" if name in clients else "does not answer" for name, replica in names.items()
        }
        left_out = [f"{name} {state}" for name, state in states.items() if name not in able]
        skipped = f"not compared: {', '.join(left_out)}" if left_out else ""
        if len(able) < 2:
            yield ShardVerification(state.name, shard, {}, skipped=skipped or "it has one replica")
            continue
        yield _compare(state.name, shard, able, skipped, show, deep=deep)


def _compare(
    collection: str, shard: int, able: Mapping[str, NodeClient], skipped: str, show: OnProgress, *, deep: bool
) -> ShardVerification:
    text = f"{collection}/{shard} on {', '.join(able)}"
    readers = {name: ReplicaReader(client, collection, shard, deep) for name, client in able.items()}
    try:
        found = compare_replicas(readers, lambda number: show(Progress("qdrant", f"{text}: {number} points")))
    except RagopsError as error:
        if error.code not in ("qdrant_unreachable", "qdrant_not_found", "qdrant_error"):
            raise
        return ShardVerification(collection, shard, {}, skipped=f"cannot read it: {error.message}")
    show(Progress("qdrant", f"{text}: {'the same' if found.is_equal else 'different'}", final=True))
    return ShardVerification(
        collection, shard, found.points, len(found.differ), found.differ[:_SHOWN_IDS], found.digest, skipped,
        found.is_capped, tuple(sorted(found.agree)),
    )  # fmt: skip
