"""Replicas that are missing: a cluster does not make those again that a node has lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.wait import wait_until
from ragops.errors import RagopsError
from ragops.services.qdrant.cluster.members import lost_peers, members
from ragops.services.qdrant.cluster.nodes import connect
from ragops.services.qdrant.cluster.shards import ShardMap, shard_maps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.adapters.qdrant.node_client import NodeClient
    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.cluster.nodes import Nodes

_ANSWER_SECONDS = 90.0
_REPLICATE_SECONDS = 60.0
_POLL = 0.5


@dataclass(frozen=True)
class Copy:
    """A replica to make: of a shard, from a peer that has it to a peer that has not."""

    shard: int
    source: int
    target: int


def missing_copies(shards: ShardMap, wanted: int, peers: Sequence[int], load: Counter[int]) -> list[Copy]:
    """Return the next copies for every shard to have `wanted` replicas on `peers`, least `load` first.

    A shard is copied once at a time, and one without a source not at all. `load` counts replicas by peer, and is
    updated.
    """
    copies: list[Copy] = []
    for shard, replicas in shards.shards().items():
        holders = {replica.peer for replica in replicas}
        sources = sorted(replica.peer for replica in replicas if replica.active and replica.peer in peers)
        free = [peer for peer in peers if peer not in holders]
        if sources and free and len(holders) < wanted and shard not in shards.moving:
            target = min(free, key=lambda peer: (load[peer], peer))
            load[target] += 1
            copies.append(Copy(shard, sources[0], target))
    return copies


def replicate_missing_shards(endpoint: Endpoint) -> None:
    """Start to copy shards that have fewer replicas than their collection wants.

    The cluster still copies when this returns. A copy that has to wait for another one of the same shard is started
    within a minute, else by the next call. Raises RagopsError if no node answers.
    """
    with connect(endpoint, _ANSWER_SECONDS) as nodes:
        wait_until(lambda: not _start_copies(nodes), _REPLICATE_SECONDS, _POLL)


def _start_copies(nodes: Nodes) -> bool:
    """Start every copy that is possible now; return whether more may be possible later."""
    peers = _joined_peers(nodes)
    if len(peers) < 2:
        return False
    maps = dict(shard_maps(nodes.first))
    load = Counter(replica.peer for shards in maps.values() for replica in shards.replicas)
    is_waiting = False
    for name, shards in maps.items():
        if shards.unserved(peers):
            continue  # the server cannot return its replication factor; health reports the shard
        wanted = min(nodes.first.replication_factor(name), len(peers))
        for copy in missing_copies(shards, wanted, peers, load):
            start_copy(nodes.first, name, copy)
        is_waiting = is_waiting or shards.fewest_replicas() < wanted
    return is_waiting


def start_copy(client: NodeClient, name: str, copy: Copy) -> None:
    """Start to make the replica. Raises as `HttpClient`."""
    try:
        client.replicate_shard(name, copy.shard, copy.source, copy.target)
    except RagopsError as error:
        if "already involved in transfer" not in error.message:  # the cluster repairs another replica of it
            raise


def _joined_peers(nodes: Nodes) -> list[int]:
    """Return the peers of the nodes that answer and are one cluster with the first."""
    found = members(nodes)
    if nodes.first.name not in found or lost_peers(found):
        return []
    return sorted(one.peer for one in found.values() if one.peer in found[nodes.first.name].peers)
