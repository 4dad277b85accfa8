"""Commands that change where replicas are: cluster rebalance, set-replication, move-shard, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli.cluster_plans import describe_steps, run_planned, show_change
from ragops.cli.lifecycle import LockWait, Yes
from ragops.cli.state import state

if TYPE_CHECKING:
    from ragops.cli.console import Console
    from ragops.operations.cluster.moves import ChangePlan, Request

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
    from ragops.operations.cluster.moves import change, plan_change
    from ragops.services.qdrant.cluster.shard_order import Pace

    result = run_planned(
        context,
        title=f"cluster {request.words[0]}",
        plan=lambda session, _show: plan_change(session, request),
        act=lambda session, confirm, show: change(session, request, confirm, show, Pace(pause, method)),
        show=show_change,
        question=describe_steps,
        dry_run=dry_run,
        yes=yes,
        lock_wait=lock_wait,
    )
    if result is not None:
        show_result(state(context).console, result.plan, result.done)


def show_result(console: Console, plan: ChangePlan, done: int) -> None:
    """Print how it ended."""
    if plan.is_empty:
        show_change(console, plan)
        return
    console.message(f"done: {done} step{'' if done == 1 else 's'}")
