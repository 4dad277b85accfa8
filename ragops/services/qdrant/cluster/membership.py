"""Removal of lost peers, so that a node that lost its data can join the cluster again under its name.

A node that starts empty is another peer to the cluster. Its address still belongs to its former peer, which is listed
with replicas, and the cluster refuses the new one for as long (seen on 1.18.3).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ragops.adapters.wait import wait_until
from ragops.errors import IntegrityError, UnhealthyError
from ragops.services.qdrant.cluster.members import members
from ragops.services.qdrant.cluster.nodes import connect
from ragops.services.qdrant.cluster.replicas import shard_maps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.services.contract import Endpoint
    from ragops.services.contract.service import DataFileReader
    from ragops.services.qdrant.cluster.nodes import Nodes
    from ragops.services.qdrant.cluster.shards import ShardMap

_ANSWER_SECONDS = 90.0
_LEADER_SECONDS = 30.0
_POLL = 0.5
_RAFT_STATE = "raft_state.json"


def remove_lost_peers(endpoint: Endpoint, data_file: DataFileReader) -> tuple[str, ...]:
    """Remove nodes whose data are gone from the cluster, so that they can join it again; call it before they start.

    Without that the cluster would refuse them under their old names. Returns notes for the user. Raises IntegrityError
    (last_replica_lost) if such a node held a shard that no other node has; nothing is changed then. If no node answers,
    nothing is done.
    """
    if len(endpoint.nodes) < 2:
        return ()
    try:
        with connect(endpoint, _ANSWER_SECONDS) as nodes:
            return tuple(_remove_lost(nodes, data_file)) if nodes.unreachable else ()
    except UnhealthyError:
        return ()


def _remove_lost(nodes: Nodes, data_file: DataFileReader) -> Iterator[str]:
    listed = {peer: host for known in members(nodes).values() for peer, host in known.peers.items()}
    present = {name: _stored_peer(data_file(name, _RAFT_STATE)) for name in nodes.unreachable}
    lost = {peer: host for peer, host in listed.items() if host in present and present[host] != peer}
    _refuse_last_replicas(nodes.first, lost)
    for peer, host in lost.items():
        # A change that a node passes on to a leader that is gone is never done (seen on 1.18.3).
        wait_until(lambda: _has_leader(nodes), _LEADER_SECONDS, _POLL)
        nodes.first.change("DELETE", f"/cluster/peer/{peer}", force="true")
        yield f"{host} has lost its data: it is removed from the cluster, and joins it as a new node"


def _has_leader(nodes: Nodes) -> bool:
    found = members(nodes).values()
    return {one.leader for one in found} <= {one.peer for one in found}


def _stored_peer(state: str | None) -> int:
    """Return the peer in a node's Raft state, 0 if there is none."""
    try:
        return int(json.loads(state or "")["this_peer_id"])
    except (ValueError, KeyError, TypeError):
        return 0


def _refuse_last_replicas(client: HttpClient, lost: Mapping[int, str]) -> None:
    for name, shards in shard_maps(client):
        kept = {replica.peer for replica in shards.replicas} - set(lost)
        if unserved := [shard for shard in shards.unserved(kept) if _hosts(shards, shard, lost)]:
            hosts = ", ".join(sorted({host for shard in unserved for host in _hosts(shards, shard, lost)}))
            what = f"cannot remove lost peers: shard {unserved[0]} of {name} had its only replica on {hosts}"
            hint = f"put that volume back; or delete {name} in Qdrant, then `ragops up` and `ragops restore`"
            raise IntegrityError("last_replica_lost", what, hint)


def _hosts(shards: ShardMap, shard: int, lost: Mapping[int, str]) -> list[str]:
    """Return the lost hosts that held a replica of the shard."""
    return [lost[replica.peer] for replica in shards.shards().get(shard, ()) if replica.peer in lost]
