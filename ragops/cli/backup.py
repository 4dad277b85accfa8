"""Commands on recovery points: backup run, list, show, verify, and restore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragops.cli import schedule
from ragops.cli.lifecycle import LockWait, Yes
from ragops.cli.state import state

if TYPE_CHECKING:
    from ragops.operations.restore import RestoreResult
    from ragops.recovery.repository import RecoveryPoint

group = typer.Typer(help="Recovery points: one set over all services.", no_args_is_help=True, rich_markup_mode=None)
Reference = Annotated[str, typer.Argument(metavar="[ID]", help="Its id, the start of it, or latest.")]


def register(app: typer.Typer) -> None:
    """Add the group and `restore` to the application."""
    schedule.register(group)
    app.add_typer(group, name="backup")
    app.command()(restore)


@group.command()
def run(context: typer.Context, lock_wait: LockWait = 0.0) -> None:
    """Take a recovery point and read it back.

    Never asks: cron runs it as it is. It is done when the engines have read every part of it.

    Example: ragops backup run
    """
    from ragops.cli.views import duration, size
    from ragops.operations import backup

    current = state(context)
    session = current.session(lock_wait)
    with session.changing(("backup",)):
        point = backup.run(session.platform(), session.repository(), on_step=current.console.message)
        session.rotate_logs()
    if current.console.as_json:
        current.console.document(_values(point))
        return
    current.console.text(point.id)
    current.console.message(f"{size(point.size)} in {duration(point.manifest.duration)}, read back: {point.folder}")


@group.command(name="list")
def list_points(context: typer.Context) -> None:
    """List the recovery points, newest first.

    Example: ragops backup list
    """
    from ragops.cli.views import size
    from ragops.operations import backup

    current = state(context)
    listing = backup.list_points(current.session().repository())
    if current.console.as_json:
        unreadable = [{"code": error.code, "message": error.message} for error in listing.unreadable]
        current.console.document({"points": [_values(point) for point in listing.points], "unreadable": unreadable})
    else:
        rows = [
            (point.id, f"{point.manifest.created:%Y-%m-%d %H:%M}", point.manifest.kind.value, size(point.size))
            for point in listing.points
        ]
        current.console.table(("ID", "CREATED (UTC)", "KIND", "SIZE"), rows)
    for error in listing.unreadable:
        current.console.message(f"unreadable: {error.message}")


@group.command()
def show(context: typer.Context, point: Reference = "latest") -> None:
    """Show what a recovery point holds.

    Example: ragops backup show latest
    """
    from ragops.cli.views import size

    current = state(context)
    found = current.session().repository().get(point)
    if current.console.as_json:
        current.console.document(_values(found))
        return
    manifest = found.manifest
    current.console.text(f"{found.id} ({manifest.kind.value}) of {manifest.platform}, {manifest.runtime}")
    current.console.text(
        f"created {manifest.created:%Y-%m-%d %H:%M:%S} UTC by ragops {manifest.ragops}: {found.folder}"
    )
    rows = [
        (part.path, size(part.size), f"{part.instant:%H:%M:%S}", _counted(part.counts), _counted(part.versions))
        for part in manifest.parts
    ]
    current.console.table(("PART", "SIZE", "INSTANT", "HOLDS", "VERSIONS"), rows)


@group.command()
def verify(
    context: typer.Context,
    point: Reference = "latest",
    deep: Annotated[bool, typer.Option("--deep", help="Let the engines read every part.")] = False,
) -> None:
    """Check sizes and checksums of a recovery point.

    Exits with 6 where something is damaged.

    Example: ragops backup verify latest --deep
    """
    from ragops.operations import backup

    current = state(context)
    session = current.session()
    on_step = current.console.message
    platform = session.platform() if deep else None  # checksums need no engine
    result = backup.verify(platform, session.repository(), point, on_step=on_step)
    if current.console.as_json:
        values = {"verified": True, "deep": deep, "extra_files": list(result.extra_files)}
        current.console.document({**_values(result.point), **values})
        return
    current.console.text(f"{result.point.id}: whole{', and the engines read it' if deep else ''}")
    for name in result.extra_files:
        current.console.message(f"not part of it, never read: {name}")


def restore(
    context: typer.Context,
    point: Reference = "latest",
    service: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this service; repeatable.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, change nothing.")] = False,
    no_safety: Annotated[bool, typer.Option("--no-safety", help="Take no safety recovery point first.")] = False,
    yes: Yes = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Bring a recovery point back.

    Checks all of it before anything is touched, takes a safety recovery point first, and is done when the counts match.

    Example: ragops restore latest --yes
    """
    from ragops.operations.refresh import refresh_answers
    from ragops.operations.restore import RestoreRequest, refuse_unknown
    from ragops.operations.restore import restore as operation

    current = state(context)
    console = current.console
    session = current.session(lock_wait)
    refuse_unknown(service or ())
    found = session.repository().get(point)
    if not dry_run:
        which = ", ".join(service or ()) or "all services"
        console.confirm(f"This replaces the data of {which} by recovery point {found.id}.", yes=yes)
    request = RestoreRequest(found.id, tuple(service or ()), not no_safety, dry_run)
    with session.changing():
        result = operation(request, session.platform(), session.repository(), on_step=console.message)
        if not dry_run:
            refresh_answers(session)
    if console.as_json:
        console.document(_restored(result))
        return
    rows = [
        (item.service, kind, str(item.before.get(kind, 0)) if item.before else "down", str(item.counts.get(kind, 0)))
        for item in result.services
        for kind in {**item.counts, **item.before}
    ]
    console.table(("SERVICE", "WHAT", "BEFORE", "IN THE RECOVERY POINT" if dry_run else "RESTORED"), rows)
    for note in (*result.notes, *(note for item in result.services for note in item.notes)):
        console.message(note)
    if result.safety:
        console.message(f"to go back: `ragops restore {result.safety.id}`")


def _counted(values: dict[str, Any] | Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _values(point: RecoveryPoint) -> dict[str, Any]:
    values: dict[str, Any] = point.manifest.model_dump(mode="json")
    return {**values, "size": point.size, "folder": str(point.folder)}


def _restored(result: RestoreResult) -> dict[str, Any]:
    from ragops.cli.views import jsonable

    return {
        "point": result.point.id,
        "dry_run": result.dry_run,
        "safety": result.safety.id if result.safety else None,
        "services": jsonable(result.services),
        "notes": list(result.notes),
    }
