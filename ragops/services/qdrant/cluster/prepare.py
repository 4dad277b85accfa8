"""What `up` does once the nodes run: wait until they are one cluster, then make what ragops needs in it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ragops.errors import RagopsError, UnhealthyError
from ragops.services.qdrant.addresses import addresses, is_cluster
from ragops.services.qdrant.backup.manifest import path_of, replication_factor
from ragops.services.qdrant.cluster.cluster import lost_peers, member
from ragops.services.qdrant.cluster.consensus import retry_consensus
from ragops.services.qdrant.cluster.health_collection import ensure_health_collection
from ragops.services.qdrant.cluster.membership import replicate_missing_shards
from ragops.services.qdrant.cluster.nodes import connect
from ragops.services.qdrant.names import HEALTH_COLLECTION

if TYPE_CHECKING:
    from ragops.adapters.qdrant.http import HttpClient
    from ragops.services.contract import Endpoint

_ANSWER_SECONDS = 90.0  # a change of the cluster may take a minute
_LOOK_SECONDS = 5.0
_JOIN_SECONDS = 60.0
_POLL = 0.2


def prepare(endpoint: Endpoint) -> None:
    """Idempotent. Raises UnhealthyError (qdrant_not_joined) where the nodes do not become one cluster."""
    if is_cluster(endpoint):
        _wait_joined(endpoint)
    with connect(endpoint, _ANSWER_SECONDS) as nodes:
        ensure_health_collection(nodes.first, len(addresses(endpoint)))
        if is_cluster(endpoint):
            _spread_scratch(nodes.first, len(addresses(endpoint)))
    if is_cluster(endpoint):
        replicate_missing_shards(endpoint)


def _spread_scratch(rest: HttpClient, nodes: int) -> None:
    """Give every node a replica, those that were added later too."""
    if replication_factor(rest, HEALTH_COLLECTION) < nodes:
        retry_consensus(rest, "PATCH", path_of(HEALTH_COLLECTION), {"params": {"replication_factor": nodes}})


def _wait_joined(endpoint: Endpoint) -> None:
    deadline = time.monotonic() + _JOIN_SECONDS
    while what := _not_joined(endpoint):
        if time.monotonic() > deadline:
            hint = "`ragops health qdrant` says which; see `ragops logs qdrant`"
            raise UnhealthyError("qdrant_not_joined", f"the nodes of qdrant are not one cluster: {what}", hint)
        time.sleep(_POLL)


def _not_joined(endpoint: Endpoint) -> str:
    """Return why they are not one cluster with a leader, empty if they are."""
    wanted = len(addresses(endpoint))
    try:
        with connect(endpoint, _LOOK_SECONDS) as nodes:
            if nodes.unreachable:
                return next(iter(nodes.unreachable.values())).message
            found = {client.name: known for client in nodes.clients if (known := member(client))}
    except RagopsError as error:
        return error.message
    if lost := lost_peers(found):
        return f"{next(iter(lost.values()))} has begun one of its own"
    for one in found.values():
        if len(one.peers) != wanted:
            return f"{one.name} knows {len(one.peers)} of {wanted} peers"
        if not one.leader:
            return f"{one.name} has no leader"
    return "" if len(found) == wanted else "a node is in no cluster"
