"""The command that deletes one recovery point: backup delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragops.cli import completion
from ragops.cli.lifecycle import LockWait, Yes
from ragops.cli.points import From
from ragops.cli.state import state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.cli.console import Console
    from ragops.operations.backup.delete import Deletion


def delete(
    context: typer.Context,
    point: Annotated[
        str, typer.Argument(metavar="ID", autocompletion=completion.points, help="Its id, the start of it, or latest.")
    ],
    repository: From = None,
    kept: Annotated[bool, typer.Option("--kept", help="Also one that is marked keep.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go, and what would not.")] = False,
    yes: Yes = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Delete one recovery point, also one that cannot be read, from all repositories or one of them.

    Never the last good one of a repository, nor what an interrupted restore needs.

    Example: ragops backup delete latest --dry-run
    """
    from ragops.operations.backup.commands import delete_request
    from ragops.operations.backup.delete import delete as operation
    from ragops.operations.backup.delete import plan_deletion
    from ragops.units import size

    current = state(context)
    console, session = current.console, current.session(lock_wait)
    repos = session.repositories()
    request = delete_request(session, point, repository, kept=kept)
    found = plan_deletion(repos, request)
    if dry_run:
        _show(console, found)
        return
    for item in found:
        item.require()
    rows = "".join(f"\n  {item.repository}: {size(item.size)}, {item.state}" for item in found)
    console.confirm(f"This deletes recovery point {found[0].point} for good:{rows}", yes=yes)
    with session.changing():
        exact = delete_request(session, found[0].point, repository, kept=kept)
        result = operation(repos, exact, session.locker())
    if not result.failures:
        console.document({"id": found[0].point, "removed": [_values(item) for item in result.removed]})
    for item in result.removed:
        console.text(f"removed {item.point} from {item.repository}: {size(item.size)}, {item.state}")
    result.require_all()


def _show(console: Console, found: Sequence[Deletion]) -> None:
    """Show the effect of a deletion."""
    from ragops.units import size

    rows = [{**_values(item), "refused": item.refusal.code if item.refusal else None} for item in found]
    console.document({"id": found[0].point, "dry_run": True, "would_remove": rows})
    table = [
        (
            item.point,
            "stays" if item.refusal else "would go",
            item.refusal.message if item.refusal else item.state,
            size(item.size),
            item.repository,
        )
        for item in found
    ]
    console.table(("ID", "VERDICT", "WHY", "SIZE", "REPOSITORY"), table, optional=("SIZE",))


def _values(item: Deletion) -> dict[str, Any]:
    return {"repository": item.repository, "size": item.size, "state": item.state}
