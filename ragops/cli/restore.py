"""The command that brings a recovery point back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragops.cli.lifecycle import LockWait, Yes
from ragops.cli.points import From, Identity, Reference
from ragops.cli.state import state

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.adapters.progress import Progress
    from ragops.cli.console import Console
    from ragops.errors import UnhealthyError
    from ragops.operations.restore import RestoreResult
    from ragops.operations.session import Session


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(restore)


def restore(
    context: typer.Context,
    point: Reference = "latest",
    service: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this service; repeatable.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, change nothing.")] = False,
    no_safety: Annotated[bool, typer.Option("--no-safety", help="Take no safety recovery point first.")] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Restore again what an interrupted run had restored.")] = False,
    repository: From = None,
    identity: Identity = None,
    yes: Yes = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Bring a recovery point back.

    Checks all of it before anything is touched, takes a safety recovery point first, and is done when the counts match
    and the API answers through the gateway: exits with 3 where it does not.
    Where a run was interrupted, the same command goes on with what is left. Services whose data are gone are started
    empty first.

    Example: ragops restore latest --yes
    """
    from ragops.cli.bars import bars
    from ragops.cli.progress import steps
    from ragops.operations.proof import note_restored
    from ragops.operations.refresh import refresh_answers
    from ragops.operations.restore import RestoreRequest, refuse_unknown
    from ragops.operations.restore import restore as operation
    from ragops.operations.restore_start import start_empty
    from ragops.recovery.manifest import PLATFORM

    current = state(context)
    console = current.console
    session = current.session(lock_wait)
    refuse_unknown(service or ())
    vault = session.vault(identity)
    chosen, found = vault.find(point, repository)
    if point == "latest":
        for newer in chosen.glance().passed_over():
            console.message(f"{newer.id} is newer and passed over: {newer.manifest.unhealthy[0]}")
    for fault in found.manifest.unhealthy:
        console.message(f"the platform was down when {found.id} was taken: {fault}")
    started: tuple[str, ...] = ()
    failure: UnhealthyError | None = None
    if not dry_run:
        which = ", ".join(service or ()) or "all services"
        console.confirm(f"This replaces the data of {which} by recovery point {found.id}.", yes=yes)
        with steps(console, "restore") as on_step:
            started = start_empty(session, vault, found, service or (), on_step)
    # What was started empty just now is nothing to go back to.
    held = {part.service for part in found.manifest.parts} - {PLATFORM}
    safety = not no_safety and not set(service or held) <= set(started)
    request = RestoreRequest(found.id, tuple(service or ()), safety, dry_run, repository, anew)
    with session.changing():
        with bars(console) as on_progress:
            journal, locker = session.restore_journal(), session.locker()
            result = operation(request, session.platform(), vault, journal, locker=locker, on_progress=on_progress)
        if not dry_run:
            refresh_answers(session)
            restored = [item.service for item in result.services]
            note_restored(session, result.point, restored, sum(item.seconds for item in result.services))
            with steps(console, "restore") as on_step:
                failure = _answer(session, found.id, on_step)
    if failure is None or not console.as_json:
        _say(console, result)
    if failure:
        raise failure


def _answer(session: Session, ident: str, on_progress: Callable[[Progress], None]) -> UnhealthyError | None:
    """The last step: a restore is over when the platform answers; what failed then is told after what was restored."""
    from ragops.errors import UnhealthyError
    from ragops.operations.answering import require_answers

    try:
        require_answers(session, f"{ident} is restored", on_progress)
    except UnhealthyError as error:
        return error
    return None


def _say(console: Console, result: RestoreResult) -> None:
    if console.as_json:
        console.document(_values(result))
    else:
        _show(console, result)


def _show(console: Console, result: RestoreResult) -> None:
    rows = [
        (item.service, kind, str(item.before.get(kind, 0)) if item.before else "down", str(item.counts.get(kind, 0)))
        for item in result.services
        for kind in {**item.counts, **item.before}
    ]
    console.table(("SERVICE", "WHAT", "BEFORE", "IN THE RECOVERY POINT" if result.dry_run else "RESTORED"), rows)
    for note in (*result.notes, *(note for item in result.services for note in item.notes)):
        console.message(note)
    if result.safety:
        console.message(f"to go back: `ragops restore {result.safety}`")


def _values(result: RestoreResult) -> dict[str, Any]:
    from ragops.cli.views import jsonable

    return {
        "point": result.point.id,
        "dry_run": result.dry_run,
        "safety": result.safety or None,
        "services": jsonable(result.services),
        "notes": list(result.notes),
    }
