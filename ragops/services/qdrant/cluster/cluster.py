"""The cluster as a whole: the versions of its nodes, whether all replicas are active, and refusals of an update.

To change nodes one at a time: before the first `versions.check_upgrade`, between two of them `wait_all_active`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ragops.adapters.qdrant.failures import suppress_missing
from ragops.adapters.wait import wait_until
from ragops.errors import RagopsError, UnhealthyError, UsageError
from ragops.services.qdrant.cluster.members import find_unjoined
from ragops.services.qdrant.cluster.nodes import addresses, connect
from ragops.services.qdrant.cluster.shards import ShardMap
from ragops.services.qdrant.settings import instance
from ragops.services.qdrant.versions import asks_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.settings import QdrantSettings

_ANSWER_SECONDS = 10.0
_POLL = 0.5
STEADY_SECONDS = 3.0  # a replica that missed a write while its node was away is found a moment after its return


def not_active(endpoint: Endpoint) -> tuple[str, ...]:
    """Return what makes the loss of one more node harmful, nothing if all is well.

    Every node has to answer and to have the others as peers, and to report all replicas of every shard as active, as
    many as the collection wants. Raises RagopsError if none answers or the key is refused.
    """
    wanted = len(addresses(endpoint))
    with connect(endpoint, _ANSWER_SECONDS) as nodes:
        faults = [*find_unjoined(nodes, wanted)] if wanted > 1 else []
        for client in nodes.clients:
            faults += _find_unsettled(client, wanted)
    return tuple(dict.fromkeys(faults))


def wait_all_active(endpoint: Endpoint, timeout: float) -> None:
    """Return once all is active and has stayed so for STEADY_SECONDS.

    Raises UnhealthyError (qdrant_not_active) after `timeout` seconds.
    """
    deadline, since = time.monotonic() + timeout, 0.0
    faults: tuple[str, ...] = ()

    def is_steady() -> bool:
        nonlocal faults, since
        try:
            faults = not_active(endpoint)
        except RagopsError as error:
            faults = (error.message,)
        now = time.monotonic()
        since = (since or now) if not faults else 0.0
        return bool(since) and now >= min(since + STEADY_SECONDS, deadline)

    if not wait_until(is_steady, timeout, _POLL):
        what = f"cannot continue: qdrant is still not whole after {timeout:.0f} s: {'; '.join(faults[:3])}"
        raise UnhealthyError("qdrant_not_active", what, "`ragops health qdrant`; see `ragops logs qdrant`")


def _find_unsettled(client: HttpClient, most: int) -> Iterator[str]:
    for name in client.collection_names():
        with suppress_missing():  # deleted in between
            shards, wanted = ShardMap.read(client, name), min(client.replication_factor(name), most)
            if not shards.settled:
                yield f"{name}: not every replica is active"
            elif shards.fewest_replicas() < wanted:
                yield f"{name}: a shard has {shards.fewest_replicas()} of {wanted} replicas"


def node_versions(endpoint: Endpoint) -> dict[str, str]:
    """Return the version that every node reports, by its name; those that do not answer are left out.

    Raises RagopsError if none answers.
    """
    with connect(endpoint, _ANSWER_SECONDS) as nodes:
        return {client.name: str(client.root()["version"]) for client in nodes.clients}


def refuse_fewer_nodes(endpoint: Endpoint, settings: QdrantSettings) -> None:
    """Raise UsageError (nodes_removed) if an update would remove nodes that the cluster still counts.

    Data that only they have would be lost, and the others would still count them for a majority.
    """
    before = len(endpoint.nodes)
    if settings.nodes < before:
        gone = ", ".join(instance(number) for number in range(settings.nodes + 1, before + 1))
        what = f"cannot set qdrant.nodes from {before} to {settings.nodes}: the shards on {gone} would be out of reach"
        way = f"`ragops cluster remove-node --nodes {settings.nodes}`"
        raise UsageError("nodes_removed", what, f"leave it at {before}; {way} moves them away first, then sets it")


def mixed_nodes(endpoint: Endpoint, wanted: str) -> frozenset[str] | None:
    """Return the nodes that send one another the key already, if others do not yet and the version `wanted` does.

    None if all nodes that answer are alike in this, or stay as they are: they may ask for the key then.
    """
    if not asks_nodes(wanted):
        return None
    try:
        versions = node_versions(endpoint)
    except RagopsError:
        return None
    able = frozenset(node for node, version in versions.items() if asks_nodes(version))
    return able if len(able) < len(versions) else None
