"""Update of a cluster node by node: the next node waits until the cluster is whole, so that it stays available."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress
from ragops.errors import RagopsError
from ragops.operations.lifecycle.plan_diff import changes
from ragops.operations.lifecycle.stack import open_stack
from ragops.services import by_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ragops.adapters.progress import OnProgress
    from ragops.adapters.pulumi.engine import PulumiStack
    from ragops.adapters.pulumi.events import OnStep, Step
    from ragops.operations.lifecycle.plan_diff import Change
    from ragops.operations.session import Session
    from ragops.services.contract import Endpoint

    ResourcesOf = Callable[[str], tuple[str, ...]]

ACTIVE_SECONDS = 600.0


def roll_cluster(
    session: Session,
    stack: PulumiStack,
    cluster: Endpoint,
    planned: Sequence[Change],
    on_step: OnStep,
    *,
    single: bool = False,
) -> tuple[Step, ...]:
    """Bring the nodes that `planned` affects up to date, one after the other; returns what was done.

    The one way of `up` and of `cluster upgrade`. A single node is left to the caller's own update of everything, unless
    `single`. Nodes of a version that require the key from the others first run without requiring it (`mixed_nodes`).
    """
    opened = _roll_mixed(session, cluster, on_step)
    affected = _previewed(session, stack) if opened else planned
    nodes = affected_nodes(cluster, session.host.resources_of, affected)
    if len(nodes) <= 1 and not opened and not (single and nodes):
        return ()
    return opened + _roll_nodes(session, stack, cluster, nodes, on_step)


def _roll_mixed(session: Session, cluster: Endpoint, on_step: OnStep) -> tuple[Step, ...]:
    """Bring the nodes of a cluster to a version that would refuse those before it, as one that does not refuse yet."""
    service = by_name(cluster.service)
    wanted = service.version(session.project.settings.section(service.name), session.host.facts.traits)
    refusing = service.mixed_nodes(cluster, wanted)
    if refusing is None:
        return ()
    on_step(Progress(service.name, "the nodes ask one another for the key only when the last one is new"))
    stack = open_stack(session.project, session.make_secrets(), mixed=(service.name,))
    nodes = affected_nodes(cluster, session.host.resources_of, _previewed(session, stack))
    return _roll_nodes(session, stack, cluster, nodes, on_step, refusing)


def _roll_nodes(
    session: Session,
    stack: PulumiStack,
    cluster: Endpoint,
    nodes: Sequence[str],
    on_step: OnStep,
    refusing: Collection[str] = (),
) -> tuple[Step, ...]:
    steps: list[Step] = []

    def apply(names: tuple[str, ...]) -> None:
        steps.extend(stack.up(on_step, resources=names).steps)

    roll(cluster, nodes, session.host.resources_of, apply, on_step, refusing)
    return tuple(steps)


def _previewed(session: Session, stack: PulumiStack) -> tuple[Change, ...]:
    return changes(stack.preview(), describe=session.host.describe_resource)


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
