"""Preparation of the nodes by `up`: wait until they are one cluster, then create the health collection and replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.qdrant.addresses import path_of
from ragops.adapters.qdrant.failures import suppress_missing
from ragops.adapters.wait import wait_until
from ragops.errors import RagopsError, UnhealthyError
from ragops.services.qdrant.cluster.members import find_unjoined
from ragops.services.qdrant.cluster.nodes import addresses, connect, is_cluster
from ragops.services.qdrant.cluster.replicas import replicate_missing_shards
from ragops.services.qdrant.names import HEALTH_COLLECTION, is_internal
from ragops.services.qdrant.shard_layout import following_nodes

if TYPE_CHECKING:
    from ragops.adapters.qdrant.http import HttpClient
    from ragops.adapters.qdrant.node_client import NodeClient
    from ragops.services.contract import Endpoint

HEALTH_PATH = path_of(HEALTH_COLLECTION)
_ANSWER_SECONDS = 90.0  # a change of the cluster may take a minute
_LOOK_SECONDS = 5.0
_JOIN_SECONDS = 60.0
_POLL = 0.2


def ensure_health_collection(client: HttpClient, nodes: int) -> None:
    """Create the collection if it is missing: one shard, with a replica on each of `nodes`."""
    placement = {"shard_number": 1, "replication_factor": nodes, "write_consistency_factor": 1}
    try:
        client.change("PUT", HEALTH_PATH, {"vectors": {"size": 1, "distance": "Dot"}, **placement})
    except RagopsError as error:
        if error.code != "qdrant_exists":
            raise


def prepare(endpoint: Endpoint) -> None:
    """Prepare new or changed nodes; idempotent. Raises UnhealthyError (qdrant_not_joined) if they do not join."""
    if is_cluster(endpoint):
        _wait_joined(endpoint)
    wanted = len(addresses(endpoint))
    with connect(endpoint, _ANSWER_SECONDS) as nodes:
        ensure_health_collection(nodes.first, wanted)
        # Every node gets a replica, those that were added later too.
        if is_cluster(endpoint) and nodes.first.replication_factor(HEALTH_COLLECTION) < wanted:
            change = {"params": {"replication_factor": wanted}}
            nodes.first.change("PATCH", path_of(HEALTH_COLLECTION), change)
        if is_cluster(endpoint):
            _follow_nodes(nodes.first, wanted)
    if is_cluster(endpoint):
        replicate_missing_shards(endpoint)


def _follow_nodes(client: HttpClient, nodes: int) -> None:
    """Have collections with a copy on every node want one on each of `nodes`; others stay as they are."""
    for name in (one for one in client.collection_names() if not is_internal(one)):
        with suppress_missing():  # deleted in between
            if change := following_nodes(client.collection(name), nodes):
                client.change("PATCH", path_of(name), change)


def followed_factors(client: NodeClient, nodes: int) -> dict[str, int]:
    """Return the replication factors that `prepare` gives to collections when there are so many nodes, by name."""
    names = client.collection_names()
    factors = {HEALTH_COLLECTION: nodes} if HEALTH_COLLECTION in names else {}
    for name in (one for one in names if not is_internal(one)):
        with suppress_missing():
            if following_nodes(client.collection(name), nodes):
                factors[name] = nodes
    return factors


def _wait_joined(endpoint: Endpoint) -> None:
    fault = ""

    def is_joined() -> bool:
        nonlocal fault
        try:
            with connect(endpoint, _LOOK_SECONDS) as nodes:
                fault = next(find_unjoined(nodes, len(addresses(endpoint))), "")
        except RagopsError as error:
            fault = error.message
        return not fault

    if not wait_until(is_joined, _JOIN_SECONDS, _POLL):
        hint = "`ragops health qdrant`; see `ragops logs qdrant`"
        raise UnhealthyError("qdrant_not_joined", f"cannot join the nodes of qdrant to one cluster: {fault}", hint)
