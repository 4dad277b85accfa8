"""The command that makes a platform again from a repository of recovery points."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragops.cli.lifecycle import Yes
from ragops.cli.points import say_newer
from ragops.cli.state import command_line, state
from ragops.errors import ExitCode
from ragops.units import duration

if TYPE_CHECKING:
    from ragops.cli.console import Console
    from ragops.operations.restore.locate import Candidate
    from ragops.operations.restore.recover import RecoverResult


def recover(
    context: typer.Context,
    repository: Annotated[str, typer.Argument(metavar="REPOSITORY", help="Folder or URL of the recovery points.")],
    identity: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The age identity that opens them, if they are encrypted.")
    ] = None,
    into: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the new project, without a ragops.yaml.")
    ] = Path(),
    point: Annotated[str, typer.Option(metavar="ID", help="Its id, the start of it, or latest.")] = "latest",
    verify_key: Annotated[
        str, typer.Option(metavar="KEY", help="Whose signature is taken; those in the identity's file if not given.")
    ] = "",
    options: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML file (0600) with keys for the repository.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Make the platform on a new machine, from recovery points alone.

    Writes ragops.yaml and the secrets out of the recovery point, provisions, restores, and looks at the health. Run
    again it continues if it was interrupted; ragops.yaml may be edited in between. Exits with 3 if the platform is
    not well at the end.

    Example: ragops recover backups --into new --identity rag-identity.txt --yes
    """
    from ragops.cli.progress import steps
    from ragops.operations.restore.locate import RecoverRequest, locate_point
    from ragops.operations.restore.recover import recover as operation

    current = state(context)
    console = current.console
    current.begin_project(into)
    request = RecoverRequest(repository, into, Path.cwd(), current.environment, point, identity, verify_key, options)
    found = locate_point(request)
    if point == "latest":
        say_newer(console, found.repos.primary)
    if not found.vouched:
        _ask(console, found, yes=yes)
    with steps(console, "recover") as on_progress:
        result = operation(found, command_line(), console.message, on_progress)
    console.document(_values(found, result))
    _show(console, result)
    if not result.healthy:
        raise typer.Exit(ExitCode.UNHEALTHY)


def _ask(console: Console, found: Candidate, *, yes: bool) -> None:
    """Ask whether to accept a key that is seen for the first time."""
    manifest = found.point.manifest
    what = (
        f"Recovery point {found.point.id} of {manifest.platform}, taken {manifest.created:%Y-%m-%d %H:%M} UTC, was"
        f" signed by {found.signer}.\nThat key is not verified: neither --verify-key nor an identity file names it."
        " Anyone with write access to the repository could have signed this recovery point."
    )
    if yes:
        console.message(f"{what} Taken as it is, for --yes was given.")
    console.confirm(what, yes=yes)


def _show(console: Console, result: RecoverResult) -> None:
    console.text(f"{result.point.id} is back in {result.folder}: {result.health.status.value}")
    took = {"files": result.files_seconds, "up": result.up_seconds, "restore": result.restore_seconds}
    steps = ", ".join(f"{step} {duration(seconds)}" for step, seconds in took.items())
    console.message(f"{steps}, {duration(result.seconds)} in all")
    for service, check in result.health.unsettled:
        console.message(f"  {service}: {check.detail}{f' → {check.hint}' if check.hint else ''}")
    for note in result.notes:
        console.message(f"note: {note}")


def _values(found: Candidate, result: RecoverResult) -> dict[str, Any]:
    return {
        "point": result.point.id,
        "folder": result.folder,
        "environment": result.environment,
        "signer": found.signer,
        "vouched": found.vouched,
        "seconds": {
            "files": result.files_seconds,
            "up": result.up_seconds,
            "restore": result.restore_seconds,
            "all": result.seconds,
        },
        "health": result.health.status.value,
        "notes": list(result.notes),
    }
