"""The members of a cluster, as each of its nodes reports them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ragops.services.qdrant.cluster.nodes import Nodes


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
