"""Changes a cluster node by node: the next one only when every replica is active again, so that nothing is away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress
from ragops.errors import RagopsError
from ragops.services.qdrant.cluster.cluster import node_versions, wait_all_active
from ragops.services.qdrant.versions import asks_nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ragops.operations.lifecycle.plan_diff import Change
    from ragops.services.contract import Endpoint

ACTIVE_SECONDS = 600.0
_PARTS = ("", "-config", "-ready")  # of a node, as the docker runtime names its resources


def disturbed(endpoint: Endpoint | None, changes: Sequence[Change]) -> tuple[str, ...]:
    """The nodes of the cluster that the changes restart, replace or bring back, in their order."""
    nodes = endpoint.options.get("nodes", "").split(",") if endpoint else []
    touched = {change.resource for change in changes}
    return tuple(node for node in nodes if node and touched & set(resources(node)))


def resources(node: str) -> tuple[str, ...]:
    """The names of the resources that one node is made of, without its data."""
    return tuple(f"{node}{part}" for part in _PARTS)


def is_mixed(endpoint: Endpoint | None, wanted: str) -> frozenset[str] | None:
    """The nodes that send one another the key already, where others that do not run and the version `wanted` does.

    None where all nodes that answer are alike in this, or go on as they are: they may ask for the key then.
    """
    if endpoint is None or not asks_nodes(wanted):
        return None
    try:
        versions = node_versions(endpoint)
    except RagopsError:
        return None
    able = frozenset(node for node, version in versions.items() if asks_nodes(version))
    return able if len(able) < len(versions) else None


def roll(
    endpoint: Endpoint,
    nodes: Sequence[str],
    apply: Callable[[tuple[str, ...]], object],
    show: Callable[[Progress], None],
    refusing: Collection[str] = (),
) -> None:
    """Change `nodes` one at a time through `apply`, which takes the resources to bring up to date.

    Those that do not answer come first and at once: without them not every replica would ever be active. So do
    those that are `refusing` the others, which wait for them in vain. Where no node answers there is nothing to keep
    available, and nothing is done here. Raises UnhealthyError (qdrant_not_active)
    where a replica does not become active; the nodes that follow then stay as they are.
    """
    answering = _answering(endpoint)
    if not answering:
        return
    answering -= frozenset(refusing)
    for node in nodes:
        if node not in answering:
            show(Progress("qdrant", f"{node} does not answer, or not the others: it is brought back first"))
            apply(resources(node))
    for node in nodes:
        if node not in answering:
            continue
        show(Progress("qdrant", f"waiting until every replica is active, then {node}"))
        wait_all_active(endpoint, ACTIVE_SECONDS)
        apply(resources(node))
    wait_all_active(endpoint, ACTIVE_SECONDS)
    show(Progress("qdrant", f"changed node by node: {', '.join(nodes)}", final=True))


def _answering(endpoint: Endpoint) -> frozenset[str]:
    """The nodes that answer, by name."""
    try:
        return frozenset(node_versions(endpoint))
    except RagopsError:
        return frozenset()
