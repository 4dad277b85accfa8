"""The command that releases the lock of a run that is gone: unlock."""

from __future__ import annotations

import typer  # noqa: TC002  Typer reads the annotations

from ragops.cli.help import TOOLS
from ragops.cli.lifecycle import LockWait, Yes
from ragops.cli.state import state


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel=TOOLS)(unlock)


def unlock(context: typer.Context, yes: Yes = False, lock_wait: LockWait = 0.0) -> None:
    """Release the lock of the Pulumi state, after showing who holds it.

    For a holder that is gone for good, such as a machine that was lost in the middle of `up`. A process of this machine
    that still runs keeps its lock.

    Example: ragops unlock --yes
    """
    from ragops.cli.views import jsonable
    from ragops.operations.lifecycle.unlock import unlock as operation

    current = state(context)
    console = current.console

    def ask(holder: str) -> None:
        console.message(f"the Pulumi state is locked by {holder}")
        console.confirm("This takes the lock away. Where its holder still works, both would write the state.", yes=yes)

    result = operation(current.session(lock_wait), ask)
    if console.as_json:
        console.document(jsonable(result))
        return
    for holder in result.released:
        console.message(f"released: {holder}")
    if not result.released:
        console.message("the Pulumi state is not locked")
