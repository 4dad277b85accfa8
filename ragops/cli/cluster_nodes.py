"""Commands on the nodes of the cluster: cluster add-node, remove-node, replace-node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ragops.cli.cluster_moves import DryRun, Method, Pause
from ragops.cli.cluster_plans import ask_up, run_planned, show_change
from ragops.cli.lifecycle import LockWait, Yes
from ragops.cli.state import state

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.cli.console import Console
    from ragops.operations.cluster.nodes import NodesPlan, NodesResult
    from ragops.operations.cluster.replace_node import ReplacePlan
    from ragops.operations.session import Session
    from ragops.services.qdrant.cluster.shard_order import Pace

Nodes = Annotated[
    int | None, typer.Option("--nodes", metavar="N", min=1, help="How many there are to be: 1, 3, 5 and so on.")
]

_API = "So is the API, which answers nothing for some seconds."


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
    from ragops.operations.cluster.nodes import add_nodes, plan_more

    more = f"The other nodes are restarted, one after the other. {_API}"
    _change_nodes(context, "+", plan_more, add_nodes, nodes, more, dry_run, Pacing(pause, method), yes, lock_wait)


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
    Their volumes stay. Collections that have more replicas than nodes are left get one on each. One node alone, with
    the only copy of everything, is left only with `--nodes 1`.

    Example: ragops cluster remove-node --dry-run
    """
    from ragops.operations.cluster.nodes import plan_fewer, remove_nodes

    more = f"Data are moved first, volumes stay. Other nodes are restarted. {_API}"
    _change_nodes(context, "-", plan_fewer, remove_nodes, nodes, more, dry_run, Pacing(pause, method), yes, lock_wait)


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
    from ragops.operations.cluster.replace_node import plan_replacement
    from ragops.operations.cluster.replace_node import replace_node as operation

    pace = Pacing(pause, method)
    result = run_planned(
        context,
        title="cluster replace-node",
        plan=lambda session, _show: plan_replacement(session, node),
        act=lambda session, confirm, show: operation(session, node, confirm, show, pace.made()),
        show=_show_replacement,
        question=lambda _found: f"This starts {node} without data; those that it has are moved aside.",
        dry_run=dry_run,
        yes=yes,
        lock_wait=lock_wait,
    )
    if result is None:
        return
    console = state(context).console
    if result.kept:
        console.message(f"kept {result.kept}")
    console.message(f"{node} was replaced; replicas were moved in {_steps(result.done)}")


class Pacing(NamedTuple):
    """The options of a pace, from which it is made when a command runs."""

    pause: float
    method: str

    def made(self) -> Pace:
        """Return the pace."""
        from ragops.services.qdrant.cluster.shard_order import Pace

        return Pace(self.pause, self.method)


def _change_nodes(
    context: typer.Context,
    mark: str,
    plan: Callable[[Session, int | None], NodesPlan],
    change: Callable[..., NodesResult],
    nodes: int | None,
    more: str,
    dry_run: bool,
    pace: Pacing,
    yes: bool,
    lock_wait: float,
) -> None:
    """Run a command that changes how many nodes there are; `mark` stands before those that come or go."""
    console = state(context).console
    confirm_up = None if yes else ask_up(console)
    result = run_planned(
        context,
        title=f"cluster {'add' if mark == '+' else 'remove'}-node",
        plan=lambda session, _show: plan(session, nodes),
        act=lambda session, confirm, show: change(session, nodes, confirm, confirm_up, show, pace.made()),
        show=lambda console, found: _show_nodes(console, found, mark),
        question=lambda found: _describe(found, more),
        dry_run=dry_run,
        yes=yes,
        lock_wait=lock_wait,
    )
    if result is None:
        return
    for place in result.kept:
        console.message(f"kept {place}")
    console.message(f"{_counted(result.plan.after)}; replicas were moved in {_steps(result.done)}")


def _describe(found: NodesPlan, more: str) -> str:
    alone = " What is left is the only copy of everything." if found.after == 1 else ""
    return f"This changes the cluster from {found.before} to {found.after} nodes.{alone} {more}"


def _steps(done: int) -> str:
    return f"{done} step{'' if done == 1 else 's'}"


def _counted(nodes: int) -> str:
    return "there is one node" if nodes == 1 else f"there are {nodes} nodes"


def _show_nodes(console: Console, found: NodesPlan, mark: str) -> None:
    console.text(f"nodes: {found.before} → {found.after}")
    for name in found.nodes:
        console.text(f"{mark} {name}")
    show_change(console, found.change)


def _show_replacement(console: Console, found: ReplacePlan) -> None:
    console.text(f"± {found.node}: {'emptied, then started' if found.answers else 'started'} without data")
    if found.change.steps:
        show_change(console, found.change)
