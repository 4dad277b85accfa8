"""Update of a cluster node by node: the next node waits until the cluster is whole, so that it stays available."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress
from ragops.errors import RagopsError
from ragops.services import by_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ragops.adapters.progress import OnProgress
    from ragops.operations.lifecycle.plan_diff import Change
    from ragops.services.contract import Endpoint

    ResourcesOf = Callable[[str], tuple[str, ...]]

ACTIVE_SECONDS = 600.0


def affected_nodes(endpoint: Endpoint | None, resources_of: ResourcesOf, changes: Sequence[Change]) -> tuple[str, ...]:
    """Return the nodes of the cluster that the changes restart, replace or bring back, in their order.

    `resources_of` returns the names of the resources of a node, without its data.
    """
    touched = {change.resource for change in changes}
    names = [node.name for node in endpoint.nodes] if endpoint else []
    return tuple(name for name in names if touched & set(resources_of(name)))


def roll(
    endpoint: Endpoint,
    nodes: Sequence[str],
    resources_of: ResourcesOf,
    apply: Callable[[tuple[str, ...]], object],
    show: OnProgress,
    refusing: Collection[str] = (),
) -> None:
    """Change `nodes` one at a time through `apply`, which takes the resources to bring up to date.

    Nodes that do not answer come first and at once: without them the cluster would never be whole. So do those that
    are `refusing` the others. If no node answers, there is nothing to keep available, and nothing is done here. Raises
    UnhealthyError (qdrant_not_active) if the cluster does not become whole; the nodes that follow stay as they are.
    """
    service, answering = by_name(endpoint.service), _answering(endpoint)
    if not answering:
        return
    answering -= frozenset(refusing)
    for node in nodes:
        if node not in answering:
            show(Progress(service.name, f"{node} does not answer, or not the others: it is brought back first"))
            apply(resources_of(node))
    for node in nodes:
        if node not in answering:
            continue
        show(Progress(service.name, f"waiting until every replica is active, then {node}"))
        service.after_update(endpoint, ACTIVE_SECONDS)
        apply(resources_of(node))
    service.after_update(endpoint, ACTIVE_SECONDS)
    show(Progress(service.name, f"changed node by node: {', '.join(nodes)}", final=True))


def _answering(endpoint: Endpoint) -> frozenset[str]:
    """Return the names of the nodes that answer."""
    try:
        return frozenset(by_name(endpoint.service).node_versions(endpoint))
    except RagopsError:
        return frozenset()
