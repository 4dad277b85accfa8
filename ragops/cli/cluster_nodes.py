"""Commands on the nodes of the cluster: cluster add-node, remove-node, replace-node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragops.cli.cluster_moves import DryRun, Method, Pause, show_plan
from ragops.cli.lifecycle import LockWait, Yes
from ragops.cli.state import state

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.cli.console import Console
    from ragops.operations.cluster.nodes import NodesPlan
    from ragops.operations.cluster.replace_node import ReplacePlan

Nodes = Annotated[
    int | None, typer.Option("--nodes", metavar="N", min=1, help="How many there are to be: 1, 3, 5 and so on.")
]


def add_node(
    context: typer.Context,
    nodes: Nodes = None,
    dry_run: DryRun = False,
    pause: Pause = 0.0,
    method: Method = "",
    yes: Yes = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Add two nodes, or as many as --nodes asks for, and spread replicas over all.

    Sets `qdrant.nodes` in ragops.yaml, does what `ragops up` does, then what `ragops cluster rebalance` does. Two at a
    time: an even number survives the loss of no more nodes than one fewer.

    Example: ragops cluster add-node --dry-run
    """
    from ragops.cli.progress import steps
    from ragops.operations.cluster.nodes import add_nodes, plan_more
    from ragops.services.qdrant.cluster.shard_order import Pace

    current = state(context)
    console = current.console
    if dry_run:
        more = plan_more(current.session(), nodes)
        console.document(more)
        _show_nodes(console, more, "+")
        return
    confirm = None if yes else _ask(console, "+", "The other nodes are restarted, one after the other.")
    confirm_up = None if yes else _ask_up(console)
    with steps(console, "cluster add-node") as on_step:
        session = current.session(lock_wait)
        result = add_nodes(session, nodes, confirm, confirm_up, on_step, Pace(pause, method))
    console.document(result)
    console.message(f"there are {result.plan.after} nodes; replicas were moved in {result.done} steps")


def remove_node(
    context: typer.Context,
    nodes: Nodes = None,
    dry_run: DryRun = False,
    pause: Pause = 0.0,
    method: Method = "",
    yes: Yes = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Remove the last two nodes, or down to --nodes, after their shards have moved.

    Moves every replica away, removes the nodes from the cluster, sets `qdrant.nodes` in ragops.yaml and stops them.
    Their volumes stay. Collections that have more replicas than nodes are left get one on each.

    Example: ragops cluster remove-node --dry-run
    """
    from ragops.cli.progress import steps
    from ragops.operations.cluster.nodes import plan_fewer, remove_nodes
    from ragops.services.qdrant.cluster.shard_order import Pace

    current = state(context)
    console = current.console
    if dry_run:
        fewer = plan_fewer(current.session(), nodes)
        console.document(fewer)
        _show_nodes(console, fewer, "-")
        return
    confirm = None if yes else _ask(console, "-", "Data are moved first, volumes stay. Other nodes are restarted.")
    confirm_up = None if yes else _ask_up(console)
    with steps(console, "cluster remove-node") as on_step:
        session = current.session(lock_wait)
        result = remove_nodes(session, nodes, confirm, confirm_up, on_step, Pace(pause, method))
    console.document(result)
    for place in result.kept:
        console.message(f"kept {place}")
    console.message(f"there are {result.plan.after} nodes; replicas were moved in {result.done} steps")


def replace_node(
    context: typer.Context,
    node: Annotated[str, typer.Argument(metavar="NODE", help="The node, as in `cluster status`.")],
    dry_run: DryRun = False,
    pause: Pause = 0.0,
    method: Method = "",
    yes: Yes = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Start a node from scratch, without data, and fill it from the others.

    For one that is lost, damaged or to be emptied. One that answers is emptied first: no shard is left with fewer than
    two active replicas if it has two. Its data are moved aside, not deleted. Refused if only this node has a shard.

    Example: ragops cluster replace-node qdrant-2 --dry-run
    """
    from ragops.cli.progress import steps
    from ragops.operations.cluster.replace_node import plan_replacement
    from ragops.operations.cluster.replace_node import replace_node as operation
    from ragops.services.qdrant.cluster.shard_order import Pace

    current = state(context)
    console = current.console
    if dry_run:
        replacement = plan_replacement(current.session(), node)
        console.document(replacement)
        _show_replacement(console, replacement)
        return

    def ask(found: ReplacePlan) -> bool:
        _show_replacement(console, found)
        console.confirm(f"This starts {node} without data; those that it has are moved aside.", yes=False)
        return True

    with steps(console, "cluster replace-node") as on_step:
        session = current.session(lock_wait)
        result = operation(session, node, None if yes else ask, on_step, Pace(pause, method))
    console.document(result)
    if result.kept:
        console.message(f"kept {result.kept}")
    console.message(f"{node} was replaced; replicas were moved in {result.done} steps")


def _show_nodes(console: Console, found: NodesPlan, mark: str) -> None:
    console.text(f"nodes: {found.before} → {found.after}")
    for name in found.nodes:
        console.text(f"{mark} {name}")
    show_plan(console, found.change)


def _show_replacement(console: Console, found: ReplacePlan) -> None:
    console.text(f"± {found.node}: {'emptied, then started' if found.answers else 'started'} without data")
    if found.change.steps:
        show_plan(console, found.change)


def _ask(console: Console, mark: str, more: str) -> Callable[[NodesPlan], bool]:
    def confirm(found: NodesPlan) -> bool:
        _show_nodes(console, found, mark)
        console.confirm(f"This changes the cluster from {found.before} to {found.after} nodes. {more}", yes=False)
        return True

    return confirm


def _ask_up(console: Console) -> Callable[[Any], bool]:
    def confirm(found: Any) -> bool:
        from ragops.cli.views import show_changes

        show_changes(console, found.changes)
        names = ", ".join(change.resource for change in found.disturbing)
        console.confirm(f"This replaces or removes {names}.", yes=False)
        return True

    return confirm
