"""Nodes that lost their data: room for a new one under the old name, and replicas for it.

A node that starts empty is another peer to the cluster. Its address still belongs to the one that it was, which holds
replicas on paper, and the cluster refuses the new one for as long (seen on 1.18.3). The cluster does not make the
lost replicas again either.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.errors import IntegrityError, RagopsError, UnhealthyError
from ragops.services.qdrant.addresses import is_cluster
from ragops.services.qdrant.backup.manifest import path_of, replication_factor
from ragops.services.qdrant.cluster.cluster import Member, lost_peers, member
from ragops.services.qdrant.cluster.consensus import retry_consensus
from ragops.services.qdrant.cluster.nodes import connect
from ragops.services.qdrant.cluster.shards import ShardMap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.cluster.nodes import Nodes

_ANSWER_SECONDS = 90.0
_FILL_SECONDS = 60.0
_LEADER_SECONDS = 30.0
_POLL = 0.5
RAFT_STATE = "raft_state.json"


def remove_lost_peers(endpoint: Endpoint, state_of: Callable[[str], str | None]) -> tuple[str, ...]:
    """Remove nodes whose data are gone from the cluster, so that they can join it again; call it before they start.

    `state_of` gives the file RAFT_STATE among the data of a node, by its name: None if there are no data.
    Returns notes for the user. Raises IntegrityError (last_replica_lost) if such a node held what no other has;
    nothing is changed then. If no node answers, nothing is done.
    """
    if not is_cluster(endpoint):
        return ()
    try:
        with connect(endpoint, _ANSWER_SECONDS) as nodes:
            return tuple(_forget(nodes, state_of)) if nodes.unreachable else ()
    except UnhealthyError:
        return ()


def _forget(nodes: Nodes, state_of: Callable[[str], str | None]) -> Iterator[str]:
    found = [known for client in nodes.clients if (known := member(client))]
    listed = {peer: host for known in found for peer, host in known.peers.items()}
    kept = {name: _peer(state_of(name)) for name in nodes.unreachable}
    gone = {peer: host for peer, host in listed.items() if host in kept and kept[host] != peer}
    _refuse_last_replicas(nodes.first, gone)
    for peer, host in gone.items():
        _remove_peer(nodes, peer)
        yield f"{host} has lost its data: the cluster forgot it, and takes it up again as a new node"


def _remove_peer(nodes: Nodes, peer: int) -> None:
    """Once a leader is there to do it: what a node asks of one that is gone is never done (seen on 1.18.3)."""
    deadline = time.monotonic() + _LEADER_SECONDS
    while not _is_led(nodes) and time.monotonic() < deadline:
        time.sleep(_POLL)
    retry_consensus(nodes.first, "DELETE", f"/cluster/peer/{peer}", force="true")


def _is_led(nodes: Nodes) -> bool:
    found = [known for client in nodes.clients if (known := member(client))]
    return {one.leader for one in found} <= {one.peer for one in found}


def _peer(state: str | None) -> int:
    """Return the peer that a node was, by its own Raft state, 0 if it has none."""
    try:
        return int(json.loads(state or "")["this_peer_id"])
    except (ValueError, KeyError, TypeError):
        return 0


def _refuse_last_replicas(client: HttpClient, gone: Mapping[int, str]) -> None:
    for name, shards in _collections(client):
        kept = {replica.peer for replica in shards.replicas} - set(gone)
        if lost := [shard for shard in shards.unserved(kept) if _held(shards, shard, gone)]:
            hosts = sorted({gone[replica.peer] for replica in shards.replicas if replica.peer in gone})
            what = f"{name}: shard {lost[0]} had its only replica on {', '.join(hosts)}, whose data are gone"
            hint = f"put that volume back; or delete {name} in Qdrant, then `ragops up` and `ragops restore`"
            raise IntegrityError("last_replica_lost", what, hint)


def _held(shards: ShardMap, shard: int, gone: Mapping[int, str]) -> bool:
    return any(replica.peer in gone for replica in shards.shards().get(shard, ()))


def _collections(client: HttpClient) -> Iterator[tuple[str, ShardMap]]:
    for item in client.get("/collections")["collections"]:
        try:
            yield item["name"], ShardMap.of(client.get(f"{path_of(item['name'])}/cluster"))
        except RagopsError as error:
            if error.code != "qdrant_not_found":  # deleted in between
                raise


# --- replicas that are missing ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Copy:
    """A replica to make: of a shard, from a peer that has it to one that has not."""

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
    """Have shards copied that have fewer replicas than their collection wants.

    The cluster still copies when this returns; what has to wait for another copy of the same shard is begun within a
    minute, or by the next call. Raises RagopsError if no node answers.
    """
    deadline = time.monotonic() + _FILL_SECONDS
    with connect(endpoint, _ANSWER_SECONDS) as nodes:
        while _begin_copies(nodes) and time.monotonic() < deadline:
            time.sleep(_POLL)


def _begin_copies(nodes: Nodes) -> bool:
    """Begin every copy that can be; whether there may be more when those are done."""
    peers = _peers(nodes)
    if len(peers) < 2:
        return False
    maps = dict(_collections(nodes.first))
    load = Counter(replica.peer for shards in maps.values() for replica in shards.replicas)
    waiting = False
    for name, shards in maps.items():
        if shards.unserved(peers):
            continue  # a server does not even say how many replicas it is to have; health reports it
        wanted = min(replication_factor(nodes.first, name), len(peers))
        for copy in missing_copies(shards, wanted, peers, load):
            begin_copy(nodes.first, name, copy)
        waiting = waiting or shards.fewest_replicas() < wanted
    return waiting


def begin_copy(client: HttpClient, name: str, copy: Copy) -> None:
    """Have the replica made. Raises as `HttpClient`."""
    order = {"shard_id": copy.shard, "from_peer_id": copy.source, "to_peer_id": copy.target}
    try:
        retry_consensus(client, "POST", f"{path_of(name)}/cluster", {"replicate_shard": order})
    except RagopsError as error:
        if "already involved in transfer" not in error.message:  # the cluster repairs another replica of it
            raise


def _peers(nodes: Nodes) -> list[int]:
    """Return the peers of the nodes that answer and are one cluster with the first."""
    found = {client.name: known for client in nodes.clients if (known := member(client))}
    if not found or lost_peers(found):
        return []
    first: Member = found[nodes.first.name]
    return sorted(known.peer for known in found.values() if known.peer in first.peers)
