"""The command that brings a recovery point back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragops.cli import completion
from ragops.cli.lifecycle import LockWait, Yes
from ragops.cli.points import From, Identity, say_newer
from ragops.cli.state import state
from ragops.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.cli.console import Console
    from ragops.cli.state import State
    from ragops.operations.restore.kept_data import KeptItem
    from ragops.operations.restore.restore import RestoreResult
    from ragops.recovery.point import RecoveryPoint
    from ragops.recovery.repository import Repository


_CLEAN = "clean"
Target = Annotated[
    str,
    typer.Argument(
        metavar="ID|clean",
        autocompletion=completion.points_or_clean,
        help="Its id, the start of it, or latest; clean removes what restores kept.",
    ),
]


def restore(
    context: typer.Context,
    point: Target = "latest",
    service: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", autocompletion=completion.data_services, help="Only this service; repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, change nothing.")] = False,
    no_safety: Annotated[bool, typer.Option("--no-safety", help="Take no safety recovery point first.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Restore again what an interrupted run had restored.")
    ] = False,
    _restart: Annotated[bool, typer.Option("--anew", hidden=True, help="The name of --restart until 0.1.")] = False,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="TIME", help="With clean: only what is older, such as 7d."),
    ] = None,
    repository: From = None,
    identity: Identity = None,
    yes: Yes = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Bring a recovery point back, or remove what restores have kept aside.

    Checks all of it before anything is touched, takes a safety recovery point first, and is done when the counts match
    and the API answers through the gateway: exits with 3 if it does not, or if an index or constraint could not be
    made again. If a run was interrupted, the same command continues with what is left. Services whose data are gone are
    started empty first.

    What a restore replaces is kept: databases, folders of data. `ragops restore clean` lists it with sizes, asks, and
    removes it for good; with --dry-run it only lists.

    Example: ragops restore latest --yes
    """
    from ragops.cli.progress import bars, steps
    from ragops.operations.restore.live_platform import restore_live
    from ragops.operations.restore.restore import RestoreRequest
    from ragops.services import refuse_unknown

    current = state(context)
    refuse_unknown(service or ())
    if point == _CLEAN:
        _clean(current, tuple(service or ()), older_than, lock_wait, dry_run=dry_run, yes=yes)
        return
    if older_than is not None:
        raise UsageError("usage", "--older-than goes with `ragops restore clean`", "see `ragops restore --help`")
    console = current.console
    session = current.session(lock_wait)
    repos = session.repositories(identity)
    chosen, found = repos.find(point, repository)
    _say_which(console, chosen, found, latest=point == "latest")
    if not dry_run:
        which = ", ".join(service or ()) or "all services"
        console.confirm(f"This replaces the data of {which} by recovery point {found.id}.", yes=yes)
    request = RestoreRequest(
        found.id, tuple(service or ()), not no_safety, dry_run, repository, restart=restart or _restart
    )
    report = restore_live(session, repos, found, request, lambda: steps(console, "restore"), lambda: bars(console))
    result, failure = report.result, report.failure
    if failure is None:  # else the error is the document
        console.document(_values(result))
    _show(console, result)
    if failure:
        raise failure
    if result.missing:
        raise typer.Exit(ExitCode.UNHEALTHY)


def _say_which(console: Console, chosen: Repository, found: RecoveryPoint, *, latest: bool) -> None:
    """Messages on the recovery point that was found, and on newer ones that are passed over."""
    if latest:
        say_newer(console, chosen)
    for fault in found.manifest.unhealthy:
        console.message(f"the platform was down when {found.id} was taken: {fault}")


def _clean(
    current: State, services: Sequence[str], older_than: str | None, lock_wait: float, *, dry_run: bool, yes: bool
) -> None:
    from ragops.operations.restore.kept_data import clean, list_kept, read_age
    from ragops.units import size

    console, session = current.console, current.session(lock_wait)
    limit = read_age(older_than) if older_than is not None else None
    platform = session.platform()
    found = list_kept(platform, services)
    wanted = found.older(limit)
    for item in found.found:
        if item.kept.needed:
            console.message(f"{item.kept.name} stays: {item.kept.needed}; `ragops restore` completes it")
    if dry_run or not wanted:
        _show_kept(console, wanted, removed=False)
        found.require_all()
        return
    rows = "".join(f"\n  {item.service}: {item.kept.name}, {size(item.kept.size)}" for item in wanted)
    total = size(sum(item.kept.size for item in wanted))
    console.confirm(f"This removes what restores have kept, {total}, for good:{rows}", yes=yes)
    with session.changing():
        gone = clean(platform, session.restore_journal(), wanted)
    if not (console.as_json and (gone.failures or found.failures)):  # then the error is the document
        _show_kept(console, gone.found, removed=True)
    gone.require_all()
    found.require_all()


def _show_kept(console: Console, items: Sequence[KeptItem], *, removed: bool) -> None:
    from ragops.units import size

    rows = [
        {
            "service": item.service,
            "kind": item.kept.kind,
            "name": item.kept.name,
            "since": item.kept.since.isoformat() if item.kept.since else None,
            "size": item.kept.size,
        }
        for item in items
    ]
    console.document({"removed" if removed else "kept": rows, "size": sum(item.kept.size for item in items)})
    if not items:
        console.text("nothing is kept" if not removed else "nothing was removed")
        return
    word = "REMOVED" if removed else "KEPT"
    table = [
        (
            item.service,
            item.kept.name,
            f"{item.kept.since:%Y-%m-%d %H:%M}" if item.kept.since else "-",
            size(item.kept.size),
        )
        for item in items
    ]
    console.table(("SERVICE", word, "SINCE (UTC)", "SIZE"), table, optional=("SINCE (UTC)",))


def _show(console: Console, result: RestoreResult) -> None:
    rows = [
        (item.service, kind, str(item.before.get(kind, 0)) if item.before else "down", str(item.counts.get(kind, 0)))
        for item in result.services
        for kind in {**item.counts, **item.before}
    ]
    console.table(("SERVICE", "WHAT", "BEFORE", "IN THE RECOVERY POINT" if result.dry_run else "RESTORED"), rows)
    for note in (*result.notes, *(note for item in result.services for note in item.notes)):
        console.message(note)
    if result.missing:
        console.message("all rows are back; what is named above as missing is to be made by hand")
    if not result.dry_run and any(item.notes for item in result.services):
        console.message("`ragops restore clean` lists what restores have kept, and removes it")
    if result.safety:
        console.message(f"to go back: `ragops restore {result.safety}`")


def _values(result: RestoreResult) -> dict[str, Any]:
    return {
        "point": result.point.id,
        "dry_run": result.dry_run,
        "safety": result.safety or None,
        "services": result.services,
        "missing": list(result.missing),
        "notes": list(result.notes),
    }
