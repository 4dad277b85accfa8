"""The members of a cluster as its nodes report them, and removal of those that have lost their data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragops.adapters.wait import wait_until
from ragops.errors import IntegrityError, UnhealthyError
from ragops.services.qdrant.cluster.nodes import connect
from ragops.services.qdrant.cluster.shards import shard_maps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.services.contract import Endpoint
    from ragops.services.contract.service import DataFileReader
    from ragops.services.qdrant.cluster.nodes import Nodes
    from ragops.services.qdrant.cluster.shards import ShardMap


@dataclass(frozen=True)
class Member:
    """The cluster as one node reports it: `peers` are hosts by number, `failures` errors by the peer's address."""

    name: str
    peer: int
    peers: Mapping[int, str]
    leader: int | None
    term: int
    commit: int
    pending: int
    fault: str
    failures: Mapping[str, str]

    @classmethod
    def of(cls, name: str, status: Mapping[str, Any]) -> Member | None:
        """Return the member from the answer to `GET /cluster`, None if the server is no cluster."""
        if status.get("status") != "enabled":
            return None
        raft, thread = status["raft_info"], status["consensus_thread_status"]
        working = thread["consensus_thread_status"] == "working"
        return cls(
            name=name,
            peer=int(status["peer_id"]),
            peers={int(peer): _host(known["uri"]) for peer, known in status["peers"].items()},
            leader=raft.get("leader"),
            term=raft["term"],
            commit=raft["commit"],
            pending=raft["pending_operations"],
            fault="" if working else str(thread.get("err") or thread["consensus_thread_status"]),
            failures={uri: str(seen.get("latest_error")) for uri, seen in status["message_send_failures"].items()},
        )


def _host(uri: str) -> str:
    """Return the host of a peer's address, which is the name of its node."""
    return uri.partition("://")[2].partition(":")[0].rstrip("/")


def members(nodes: Nodes) -> dict[str, Member]:
    """Return the cluster as every node reports it, by its name; nodes that are no cluster are left out."""
    found = (Member.of(client.name, client.get("/cluster")) for client in nodes.clients)
    return {member.name: member for member in found if member}


def lost_peers(found: Mapping[str, Member]) -> dict[int, str]:
    """Return the hosts, by peer, that are listed under a former peer: they lost their data and are another peer now."""
    alive = {one.peer for one in found.values()}
    listed = {peer: host for one in found.values() for peer, host in one.peers.items()}
    return {peer: host for peer, host in listed.items() if peer not in alive and host in found}


def find_unjoined(nodes: Nodes, wanted: int) -> Iterator[str]:
    """Return what keeps the nodes from being one cluster of `wanted` members with a leader, nothing if they are."""
    yield from (error.message for error in nodes.unreachable.values())
    found = members(nodes)
    yield from (f"{client.name} is in no cluster" for client in nodes.clients if client.name not in found)
    yield from (f"{host} has formed a cluster of its own" for host in lost_peers(found).values())
    for one in found.values():
        if len(one.peers) != wanted:
            yield f"{one.name} has {len(one.peers)} of {wanted} peers"
        elif not one.leader or one.fault:
            yield f"{one.name} has no leader"


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
