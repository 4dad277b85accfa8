"""The command that proves that recovery points restore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragops.cli.lifecycle import LockWait
from ragops.cli.points import From, Identity, Reference, say_newer
from ragops.cli.state import state
from ragops.units import duration

if TYPE_CHECKING:
    from ragops.cli.console import Console
    from ragops.operations.restore.drill import DrillResult


def drill(
    context: typer.Context,
    point: Reference = "latest",
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the scratch platform running; the next drill removes it.")
    ] = False,
    repository: From = None,
    identity: Identity = None,
    lock_wait: LockWait = 0.0,
) -> None:
    """Prove that a recovery point restores.

    Starts a scratch platform next to the live one, on ports of its own, restores into it, compares counts and samples,
    and removes it. The live platform is not touched. `ragops health` shows the last drill. Exits with 6 if it fails.

    Example: ragops backup drill latest
    """
    from ragops.cli.progress import steps
    from ragops.operations.restore.drill import LOCK, DrillRequest
    from ragops.operations.restore.drill import drill as operation

    current = state(context)
    session = current.session(lock_wait)
    with session.changing(LOCK), steps(current.console, "drill") as on_progress:
        request, repos = DrillRequest(point, repository, keep), session.repositories(identity)
        if point == "latest":
            say_newer(current.console, repos.repository(repository))
        result = operation(session, repos, request, on_progress)
    current.console.document(_values(result))
    _show(current.console, result)


def _show(console: Console, result: DrillResult) -> None:

    found = result.comparison
    rows = [(name, kind, str(number)) for name, counts in found.counts.items() for kind, number in counts.items()]
    console.table(("SERVICE", "WHAT", "RESTORED"), rows)
    parts = f"{duration(result.restore_seconds)} of it restoring"
    console.text(f"{result.point.id} restores: {duration(result.seconds)} in all, {parts}")
    console.text(f"counts match, {found.checked} samples hold; the data were {duration(result.data_age)} old")
    for note in result.notes:
        console.message(f"note: {note}")
    if result.kept:
        console.message(f"the scratch platform runs on until the next drill: --config {result.kept}/ragops.yaml")


def _values(result: DrillResult) -> dict[str, Any]:

    return {
        "point": result.point.id,
        "repository": result.repository,
        "seconds": result.seconds,
        "restore_seconds": result.restore_seconds,
        "data_age_seconds": result.data_age,
        "counts": result.comparison.counts,
        "samples": result.comparison.samples,
        "health": result.health.value,
        "notes": list(result.notes),
        "kept": result.kept or None,
    }
