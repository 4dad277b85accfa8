"""The command that proves that replicas are equal: cluster verify."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli.state import state
from ragops.errors import ExitCode

if TYPE_CHECKING:
    from ragops.operations.cluster.verify import ShardVerification


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
    for one in found.differing:
        ids = ", ".join(str(ident) for ident in one.examples)
        console.message(f"{one.collection}/{one.shard}: points such as {ids} are not the same on all its nodes")
    if found.differing:
        console.message("drop the replica that is wrong (drop_replica in Qdrant), then `ragops up` copies another one")
        raise typer.Exit(ExitCode.INTEGRITY)
    if any(one.skipped and one.skipped != "it has one replica" for one in found.shards):
        raise typer.Exit(ExitCode.UNHEALTHY)


def _row(one: ShardVerification) -> tuple[str, ...]:
    counts = sorted(set(one.points.values()))
    points = "-" if not counts else " / ".join(map(str, counts))
    result = one.skipped or "ok"
    if one.differing:
        result = f"{'at least ' if one.is_capped else ''}{one.differing} differ"
    on = ", ".join(one.points)
    return (one.collection, str(one.shard), points, one.digest[:12] or "-", result, on)
