"""The command that repairs damaged data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli import completion
from ragops.cli.lifecycle import LockWait, Yes
from ragops.cli.state import state
from ragops.units import duration, size

if TYPE_CHECKING:
    from ragops.cli.console import Console
    from ragops.operations.restore.repair import RepairResult
    from ragops.services.redis.repair import Repaired


def repair(
    context: typer.Context,
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", autocompletion=completion.repairable, help="The service: redis.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be lost, put nothing in place.")] = False,
    yes: Yes = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Repair damaged data, on a copy first.

    The engine's own checker cuts the copy at the first fault, and a scratch server reads it. What is lost is shown in
    seconds and bytes before anything is put in place; the damaged data are kept.

    Example: ragops repair redis
    """
    from ragops.operations.restore.repair import repair as operation

    current = state(context)
    console = current.console

    def confirm(found: Repaired) -> None:
        _describe(console, found)
        console.confirm("This replaces the data of redis by what can be read of them.", yes=yes)

    result = operation(current.session(lock_wait), confirm, dry_run=dry_run, service=service)
    console.document(result)
    _show(console, result, dry_run=dry_run)


def _show(console: Console, result: RepairResult, *, dry_run: bool) -> None:
    if not result.faults:
        words = "its data are whole" if result.source else "it serves"
        console.message(f"nothing to repair: {words}")
    elif dry_run:
        _describe(console, result)
        console.message("nothing was changed")
    else:
        console.message(f"{result.service} serves again: {_loss(result)}")
        console.message(result.kept)


def _describe(console: Console, found: Repaired | RepairResult) -> None:
    for fault in found.faults:
        console.message(f"  {fault}")
    keys = (found.counts or {}).get("keys", 0)
    console.message(f"can be read: {keys} keys, from {found.source}, as of {found.instant:%Y-%m-%d %H:%M:%S} UTC")
    console.message(f"lost: {_loss(found)}")


def _loss(found: Repaired | RepairResult) -> str:
    if not found.size:
        return "nothing that was written is lost"
    return f"what was written in the last {duration(found.seconds)} is lost ({size(found.size)})"
