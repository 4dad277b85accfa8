"""The command that deletes one recovery point: backup delete."""

from __future__ import annotations

from typing import Annotated

import typer

from ragops.cli.lifecycle import LockWait, Yes
from ragops.cli.points import From
from ragops.cli.state import state


def register(group: typer.Typer) -> None:
    """Add the command to the group of recovery points."""
    group.command()(delete)


def delete(
    context: typer.Context,
    point: Annotated[str, typer.Argument(metavar="ID", help="Its id, or the start of it.")],
    repository: From = None,
    kept: Annotated[bool, typer.Option("--kept", help="Also one that is marked keep.")] = False,
    yes: Yes = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Delete one recovery point, also one that cannot be read, from all repositories or one of them.

    Never the last good one of a repository, nor what an interrupted restore needs.

    Example: ragops backup delete 20260102T030405Z-0a1b2c --yes
    """
    from ragops.cli.views import jsonable, size
    from ragops.operations.delete import DeleteRequest, doomed
    from ragops.operations.delete import delete as operation

    current = state(context)
    console, session = current.console, current.session(lock_wait)
    vault, left = session.vault(), session.restore_journal().read()
    needed = frozenset({left.point, left.safety} if left else ())
    request = DeleteRequest(point, repository, kept, needed)
    found = doomed(vault, request)
    rows = "".join(f"\n  {item.repository}: {size(item.size)}, {item.state}" for item in found)
    console.confirm(f"This deletes recovery point {found[0].point} for good:{rows}", yes=yes)
    with session.changing():
        exact = DeleteRequest(found[0].point, repository, kept, needed)
        result = operation(vault, exact, session.locker())
    if console.as_json:
        if not result.failures:
            console.document({"id": found[0].point, "removed": jsonable(result.removed)})
    else:
        for item in result.removed:
            console.text(f"removed {item.point} from {item.repository}: {size(item.size)}, {item.state}")
    result.require_all()
