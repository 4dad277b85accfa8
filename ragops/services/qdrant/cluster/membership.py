"""Removal of peers from the cluster, and what stands in its way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ragops.adapters.wait import wait_until
from ragops.errors import IntegrityError, RagopsError, UnhealthyError
from ragops.services.qdrant.cluster.members import members
from ragops.services.qdrant.cluster.nodes import connect

if TYPE_CHECKING:
    from collections.abc import Collection

    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.cluster.topology import Topology

_ANSWER_SECONDS = 90.0
_LEADER_SECONDS = 30.0
_GONE_SECONDS = 60.0
_POLL = 0.5
_NOT_THERE = "not found"


def remove_peer(endpoint: Endpoint, peer: int, name: str, *, force: bool) -> None:
    """Remove a peer from the cluster, wait until the others list it no more and have a leader; a lost one is no error.

    Without `force` the server refuses a peer that has replicas. Raises UnhealthyError (peer_not_removed), and as
    `HttpClient`.
    """
    with connect(_without(endpoint, name), _ANSWER_SECONDS) as nodes:

        def is_listed() -> bool:
            return any(peer in one.peers for one in members(nodes).values())

        def has_leader() -> bool:
            # What a node passes on to a leader that is gone is never done (seen on 1.18.3). The peer itself may lead.
            found = members(nodes).values()
            return all(one.leader == peer or one.leader in {other.peer for other in found} for one in found)

        def has_other_leader() -> bool:
            return has_leader() and all(one.leader != peer for one in members(nodes).values())

        if not is_listed():
            return
        wait_until(has_leader, _LEADER_SECONDS, _POLL)
        try:
            nodes.first.change("DELETE", f"/cluster/peer/{peer}", force="true" if force else "false")
        except RagopsError as error:
            if not (wait_until(lambda: not is_listed(), _POLL * 4, _POLL) or _NOT_THERE in error.message):
                raise
        if not wait_until(lambda: not is_listed(), _GONE_SECONDS, _POLL):
            what = f"cannot remove {name} from the cluster: it is still listed after {_GONE_SECONDS:.0f} s"
            raise UnhealthyError("peer_not_removed", what, "`ragops health qdrant`; then run the command again")
        # If it led, the others elect a leader; without one no node can join (seen on 1.18.3: it exits after 10 s).
        wait_until(has_other_leader, _LEADER_SECONDS, _POLL)


def _without(endpoint: Endpoint, name: str) -> Endpoint:
    """Return the endpoint without one node: what is asked of the node that goes may not be done."""
    return replace(endpoint, nodes=tuple(node for node in endpoint.nodes if node.name != name))


def refuse_only_replicas(topology: Topology, names: Collection[str]) -> None:
    """Raise IntegrityError (last_replica_lost) if a shard has an active replica on no node but those of `names`."""
    gone = {node.peer for node in topology.nodes if node.name in names}
    alive = topology.alive - gone
    for one in topology.collections:
        if lost := one.shards.unserved(alive):
            holders = sorted({topology.name_of(r.peer) for r in one.shards.replicas if r.shard == lost[0]})
            what = f"cannot go without {', '.join(sorted(names))}: shard {lost[0]} of {one.name} has no active replica"
            what += f" elsewhere, only on {', '.join(holders)}" if holders else " at all"
            hint = f"bring back what has it (`ragops up`); or delete {one.name} in Qdrant, then `ragops restore latest`"
            raise IntegrityError("last_replica_lost", what, hint)
