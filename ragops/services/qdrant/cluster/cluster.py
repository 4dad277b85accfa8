"""The cluster as a whole: its members, their versions, and whether all of its shards are there.

To change nodes one at a time: before the first `versions.check_upgrade`, between two of them `wait_all_active`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragops.errors import RagopsError, UnhealthyError
from ragops.services.qdrant.addresses import addresses
from ragops.services.qdrant.backup.manifest import path_of, replication_factor
from ragops.services.qdrant.cluster.nodes import connect
from ragops.services.qdrant.cluster.shards import ShardMap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.cluster.nodes import Nodes

_ANSWER_SECONDS = 10.0
_POLL = 0.5
STEADY_SECONDS = 3.0  # a replica that missed a write while its node was away is found out a moment after its return
_LOG = "see `ragops logs qdrant`"


@dataclass(frozen=True)
class Member:
    """The cluster as one node sees it: `peers` are hosts by number, `failures` errors by the address they were for."""

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
        """From what `GET /cluster` answers; None where the server is no cluster."""
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


def member(client: HttpClient) -> Member | None:
    """Return the cluster as this node reports it, None if the server is no cluster."""
    return Member.of(client.name, client.get("/cluster"))


def lost_peers(members: Mapping[str, Member]) -> dict[int, str]:
    """Peers that a node is still listed under though it is another one by now: its data were lost. Hosts by peer."""
    alive = {one.peer for one in members.values()}
    listed = {peer: host for one in members.values() for peer, host in one.peers.items()}
    return {peer: host for peer, host in listed.items() if peer not in alive and host in members}


# --- is everything there? --------------------------------------------------------------------------------------------


def not_active(endpoint: Endpoint) -> tuple[str, ...]:
    """Return what prevents the loss of one more node without harm, nothing if all is well.

    Every node answers and has the others as peers; every node reports every replica of every shard as active, as many
    as the collection wants. Raises RagopsError if none answers or the key is refused.
    """
    with connect(endpoint, _ANSWER_SECONDS) as nodes:
        faults = [error.message for error in nodes.unreachable.values()]
        faults += _not_joined(endpoint, nodes)
        for client in nodes.clients:
            faults += _not_settled(client)
    return tuple(dict.fromkeys(faults))


def all_active(endpoint: Endpoint) -> bool:
    """Whether `not_active` finds nothing. Raises as it does."""
    return not not_active(endpoint)


def wait_all_active(endpoint: Endpoint, timeout: float) -> None:
    """Return once all is active and stays so for a moment.

    Raises UnhealthyError (qdrant_not_active) after `timeout` seconds.
    """
    deadline, since = time.monotonic() + timeout, 0.0
    while True:
        try:
            faults = not_active(endpoint)
        except RagopsError as error:
            faults = (error.message,)
        now = time.monotonic()
        since = (since or now) if not faults else 0.0
        if since and now >= min(since + STEADY_SECONDS, deadline):
            return
        if now > deadline:
            what = f"after {timeout:.0f} s qdrant is still not whole: {'; '.join(faults[:3])}"
            raise UnhealthyError("qdrant_not_active", what, f"`ragops health qdrant`; {_LOG}")
        time.sleep(_POLL)


def _not_joined(endpoint: Endpoint, nodes: Nodes) -> Iterator[str]:
    wanted = len(addresses(endpoint))
    for client in nodes.clients if wanted > 1 else ():
        found = member(client)
        if found is None:
            yield f"{client.name} is in no cluster"
        elif found.leader is None or found.fault:
            yield f"{client.name} has no leader"
        elif len(found.peers) != wanted:
            yield f"{client.name} knows {len(found.peers)} peers, not {wanted}"


def _not_settled(client: HttpClient) -> Iterator[str]:
    for item in client.get("/collections")["collections"]:
        path = path_of(item["name"])
        try:
            shards = ShardMap.of(client.get(f"{path}/cluster"))
            wanted = replication_factor(client, item["name"])
        except RagopsError as error:
            if error.code == "qdrant_not_found":  # deleted in between
                continue
            raise
        if not shards.settled:
            yield f"{item['name']}: not every replica is active"
        elif shards.fewest_replicas() < wanted:
            yield f"{item['name']}: a shard has {shards.fewest_replicas()} of {wanted} replicas"


def node_versions(endpoint: Endpoint) -> dict[str, str]:
    """Return the version that every node reports, by its name; those that do not answer are left out.

    Raises RagopsError if none answers.
    """
    with connect(endpoint, _ANSWER_SECONDS) as nodes:
        return {client.name: str(client.root()["version"]) for client in nodes.clients}
