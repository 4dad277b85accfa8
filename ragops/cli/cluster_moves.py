"""Commands that change where replicas are: cluster rebalance, set-replication, move-shard, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli.lifecycle import LockWait, Yes
from ragops.cli.state import state

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.cli.console import Console
    from ragops.operations.cluster.moves import ChangePlan, ChangeResult, Request

Collection = Annotated[str, typer.Argument(metavar="COLLECTION", help="Its name in Qdrant, as in `cluster status`.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan, change nothing.")]
Pause = Annotated[float, typer.Option(metavar="SECONDS", min=0, help="Wait so long between two steps.")]
Method = Annotated[
    str,
    typer.Option(metavar="METHOD", help="snapshot (with its indexes) or stream_records; the server's if not given."),
]


def rebalance(
    context: typer.Context,
    collection: Annotated[
        list[str] | None, typer.Argument(metavar="COLLECTION", help="Only these; all if none is named.")
    ] = None,
    dry_run: DryRun = False,
    pause: Pause = 0.0,
    method: Method = "",
    yes: Yes = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Spread replicas evenly over the nodes, and make those that are missing.

    One step at a time, each when every replica is active: reads and writes continue. No step leaves a shard with fewer
    than two active replicas if it has two. A run that was interrupted is continued by the next one.

    Example: ragops cluster rebalance --dry-run
    """
    from ragops.operations.cluster.moves import rebalance as request

    _run(context, request(*(collection or ())), dry_run, pause, method, yes, lock_wait)


def set_replication(
    context: typer.Context,
    collection: Collection,
    replicas: Annotated[int, typer.Argument(metavar="N", min=1, help="Replicas of each shard, on as many nodes.")],
    dry_run: DryRun = False,
    pause: Pause = 0.0,
    method: Method = "",
    yes: Yes = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Give the shards of a collection N replicas each.

    With 1, the loss of a node loses its shards.

    Example: ragops cluster set-replication manuals 3 --yes
    """
    from ragops.operations.cluster.moves import set_replication as request

    _run(context, request(collection, replicas), dry_run, pause, method, yes, lock_wait)


def move_shard(
    context: typer.Context,
    collection: Collection,
    shard: Annotated[int, typer.Argument(metavar="SHARD", help="Its number, as in `cluster status --shards`.")],
    source: Annotated[str, typer.Option("--from", metavar="NODE", help="The node that has the replica.")],
    target: Annotated[str, typer.Option("--to", metavar="NODE", help="The node that gets it.")],
    dry_run: DryRun = False,
    method: Method = "",
    yes: Yes = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Move one replica of a shard to another node.

    The replica on the first node answers until the new one does. A later `ragops cluster rebalance` may move it back.

    Example: ragops cluster move-shard docs 0 --from qdrant-1 --to qdrant-3
    """
    from ragops.operations.cluster.moves import move_shard as request

    _run(context, request(collection, shard, source, target), dry_run, 0.0, method, yes, lock_wait)


def cancel(context: typer.Context, lock_wait: LockWait = 0.0) -> None:
    """Give up an interrupted change of the cluster; what it has done stays.

    A shard that is on its way arrives all the same.

    Example: ragops cluster cancel
    """
    from ragops.operations.cluster.moves import cancel as operation

    current = state(context)
    command = operation(current.session(lock_wait))
    current.console.document({"cancelled": command})
    current.console.message(f"given up: `{command}`" if command else "no change of the cluster was interrupted")


def _run(
    context: typer.Context, request: Request, dry_run: bool, pause: float, method: str, yes: bool, lock_wait: float
) -> None:
    from ragops.cli.progress import steps
    from ragops.operations.cluster.moves import change, plan_change
    from ragops.services.qdrant.cluster.shard_order import Pace

    current = state(context)
    if dry_run:
        found = plan_change(current.session(), request)
        current.console.document(found)
        show_plan(current.console, found)
        return
    with steps(current.console, f"cluster {request.words[0]}") as on_step:
        confirm = None if yes else ask(current.console)
        result = change(current.session(lock_wait), request, confirm, on_step, Pace(pause, method))
    current.console.document(result)
    show_result(current.console, result)


def ask(console: Console, more: str = "") -> Callable[[ChangePlan], bool]:
    """Return what shows a plan and asks whether to do it; `more` follows in the question."""

    def confirm(found: ChangePlan) -> bool:
        show_plan(console, found)
        copies = sum(step.action != "drop" for step in found.steps)
        drops = len(found.steps) - copies
        console.confirm(f"This moves or copies {copies} replicas and drops {drops}.{more}", yes=False)
        return True

    return confirm


def show_plan(console: Console, found: ChangePlan) -> None:
    """Print the steps, in their order, and what is not possible."""
    if found.resumes:
        console.message("an interrupted run of this command is continued")
    for name, factor in found.factors.items():
        console.text(f"{name}: replication factor {factor}")
    rows = [
        (str(number), step.action, f"{step.collection}/{step.shard}", str(step.points), step.source, step.target or "-")
        for number, step in enumerate(found.steps, 1)
    ]
    empty = "" if found.factors else "nothing to do: all replicas are in place"
    console.table(("STEP", "ACTION", "SHARD", "POINTS", "FROM", "TO"), rows, optional=("POINTS",), empty=empty)
    for text in found.blocked:
        console.message(f"not possible now: {text}")


def show_result(console: Console, result: ChangeResult) -> None:
    """Print how it ended."""
    if result.plan.is_empty:
        show_plan(console, result.plan)
        return
    console.message(f"done: {result.done} step{'' if result.done == 1 else 's'}")
