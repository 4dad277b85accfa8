"""The command that gives a collection other shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragops.cli import completion
from ragops.cli.lifecycle import LockWait
from ragops.cli.state import state

if TYPE_CHECKING:
    from ragops.cli.console import Console
    from ragops.operations.cluster.reshard import ReshardPlan, ReshardResult


def reshard(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="COLLECTION", autocompletion=completion.collections, help="The collection.")
    ],
    shards: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=1000, help="Its number of shards; by default the best.")
    ] = None,
    copies: Annotated[
        int | None, typer.Option(metavar="M", min=1, help="Replicas of each shard; by default the best.")
    ] = None,
    rate: Annotated[
        float, typer.Option(metavar="POINTS", min=0, help="Most points copied in a second; 0: no limit.")
    ] = 2000.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, change nothing.")] = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Rebuild a collection with other shards next to the old one, and switch to it.

    Points are copied with their vectors: nothing is embedded again. Questions are answered by the old points until the
    new ones are whole, indexed and compared; an ingest waits. An interrupted run is continued by the same command. The
    old points stay until `ragops ingest --drop-old COLLECTION`.

    Example: ragops cluster reshard docs --shards 3 --dry-run
    """
    from ragops.adapters.progress import report_progress
    from ragops.cli.progress import steps
    from ragops.operations.cluster import reshard as operation

    current = state(context)
    console, session = current.console, current.session(lock_wait)
    request = operation.ReshardRequest(name, shards, copies, rate)
    if dry_run:
        plan = operation.plan(session, request)
        console.document(_plan_values(plan))
        _show_plan(console, plan)
        return
    with steps(console, "reshard") as on_progress, report_progress(on_progress):
        found = operation.reshard(session, request)
    if isinstance(found, operation.ReshardPlan):
        console.document(_plan_values(found))
        _show_plan(console, found)
        return
    console.document(_result_values(found))
    _show_result(console, found)


def _plan_values(plan: ReshardPlan) -> dict[str, Any]:
    from ragops.cli.views import jsonable

    return {**jsonable(plan), "changes": plan.changes}


def _result_values(result: ReshardResult) -> dict[str, Any]:
    from ragops.cli.views import jsonable

    return {**jsonable(result), "plan": _plan_values(result.plan)}


def _show_plan(console: Console, plan: ReshardPlan) -> None:
    if not plan.changes:
        console.text(f"{plan.collection} has {plan.before}: nothing to do")
        return
    console.text(f"{plan.collection}: {plan.before} → {plan.after}")
    console.text(f"{plan.points:,} points of {plan.source} would be copied into {plan.target}")
    if plan.resumed:
        console.text(f"an interrupted run has copied {plan.resumed:,} of them")


def _show_result(console: Console, result: ReshardResult) -> None:
    from ragops.units import duration

    plan = result.plan
    console.text(
        f"{plan.collection}: {plan.before} → {plan.after}, {result.points:,} points in {duration(result.seconds)}"
    )
    console.message(f"the old points stay in {plan.source}: `ragops ingest --drop-old {plan.collection}` deletes them")
    if plan.after.is_set:
        command = f"ragops collection set {plan.collection} --shards {plan.after.shards}"
        console.message(f"to have as many shards after an `ingest --rebuild`: `{command}`")
    if not result.cache_cleared:
        console.message("cannot reach the API: it takes the new points within ten seconds")
