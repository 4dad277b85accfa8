"""Commands that prove that replicas are equal, and make them so: cluster verify, repair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli.cluster_moves import DryRun, Method, Pause
from ragops.cli.cluster_plans import describe_steps, run_planned, show_change
from ragops.cli.lifecycle import LockWait, Yes
from ragops.cli.state import state
from ragops.errors import ExitCode

if TYPE_CHECKING:
    from ragops.cli.console import Console
    from ragops.operations.cluster.repair import RepairPlan
    from ragops.operations.cluster.verify import ClusterVerification, ShardVerification


def verify(
    context: typer.Context,
    collection: Annotated[
        list[str] | None, typer.Argument(metavar="COLLECTION", help="Only these; all if none is named.")
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Compare the vectors as well.")] = False,
) -> None:
    """Prove that all replicas of a shard hold the same points.

    Reads every replica from its own node and compares counts, ids and payloads; --deep compares vectors as well.
    Points that are being written are read again. Exits with 6 if replicas differ, with 3 if some could not be read.

    Example: ragops cluster verify --deep
    """
    from ragops.cli.progress import steps
    from ragops.operations.cluster.verify import verify as operation

    current = state(context)
    console = current.console
    with steps(console, "cluster verify") as on_step:
        found = operation(current.session(), collection or (), on_step, deep=deep)
    console.document(found)
    console.table(
        ("COLLECTION", "SHARD", "POINTS", "DIGEST", "RESULT", "ON"),
        [_row(one) for one in found.shards],
        optional=("DIGEST", "ON"),
        empty="there are no collections",
    )
    _show_differing(console, found)
    if found.differing:
        console.message("`ragops cluster repair --dry-run` shows what would make them the same")
        raise typer.Exit(ExitCode.INTEGRITY)
    if any(one.skipped and one.skipped != "it has one replica" for one in found.shards):
        raise typer.Exit(ExitCode.UNHEALTHY)


def repair(
    context: typer.Context,
    collection: Annotated[
        list[str] | None, typer.Argument(metavar="COLLECTION", help="Only these; all if none is named.")
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Compare the vectors as well.")] = False,
    dry_run: DryRun = False,
    pause: Pause = 0.0,
    method: Method = "",
    yes: Yes = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Make replicas again that differ from the others of their shard.

    Compares them as `ragops cluster verify` does. Where more than half hold the same points, each of the others is
    dropped and copied from one of those: one at a time, never with fewer than two active replicas. Exits with 6 if
    replicas differ and no majority shows which is right.

    Example: ragops cluster repair --dry-run
    """
    from ragops.operations.cluster.repair import plan as plan_operation
    from ragops.operations.cluster.repair import repair as operation
    from ragops.services.qdrant.cluster.shard_order import Pace

    names = collection or ()
    result = run_planned(
        context,
        title="cluster repair",
        plan=lambda session, show: plan_operation(session, names, show, deep=deep),
        act=lambda session, confirm, show: operation(session, names, confirm, show, Pace(pause, method), deep=deep),
        show=_show_repair,
        question=lambda found: describe_steps(found.change),
        dry_run=dry_run,
        yes=yes,
        lock_wait=lock_wait,
    )
    if result is None:
        return
    console = state(context).console
    if result.plan.change.is_empty:
        _show_repair(console, result.plan)
    else:
        console.message(f"done: {result.done} step{'' if result.done == 1 else 's'}")
    if result.plan.change.blocked:
        raise typer.Exit(ExitCode.INTEGRITY)


def _show_repair(console: Console, found: RepairPlan) -> None:
    _show_differing(console, found.found)
    show_change(console, found.change, "nothing to do: all replicas hold the same points")


def _show_differing(console: Console, found: ClusterVerification) -> None:
    for one in found.differing:
        ids = ", ".join(str(ident) for ident in one.examples)
        agree = f"; the same on {', '.join(one.agree)}" if one.agree else ""
        console.message(f"{one.collection}/{one.shard}: points such as {ids} are not the same on all its nodes{agree}")


def _row(one: ShardVerification) -> tuple[str, ...]:
    counts = sorted(set(one.points.values()))
    points = "-" if not counts else " / ".join(map(str, counts))
    result = one.skipped or "ok"
    if one.differing:
        result = f"{'at least ' if one.is_capped else ''}{one.differing} differ"
    on = ", ".join(one.points)
    return (one.collection, str(one.shard), points, one.digest[:12] or "-", result, on)
