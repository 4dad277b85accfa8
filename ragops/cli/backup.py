"""Commands that write recovery points: backup run, copy, keep, prune, keygen."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragops.cli import delete, drill, keygen, points
from ragops.cli.help import PROTECT, Application
from ragops.cli.lifecycle import LockWait
from ragops.cli.points import Reference
from ragops.cli.state import State, state

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ragops.operations.backup.create import BackupRequest, BackupResult, Hold
    from ragops.operations.backup.prune import PruneResult
    from ragops.operations.backup.replicate import Spread
    from ragops.operations.session import Session

group = Application(help="Recovery points: one set over all services.")


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group.command()(run)
    points.register(group)
    for command in (copy, keep, prune, keygen.keygen):
        group.command()(command)
    delete.register(group)
    drill.register(group)
    app.add_typer(group, name="backup", rich_help_panel=PROTECT)


def run(
    context: typer.Context,
    quiesce: Annotated[
        bool, typer.Option("--quiesce", help="Keep writers waiting for a moment: all parts are of one instant.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=32, metavar="N", help="Parts worked on at once; backup.jobs if not given.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Mark it, so that prune leaves it.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Then remove those that `backup.keep` does not keep.")] = False,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="What is gone since the last good one was removed on purpose.")
    ] = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Take a recovery point and read it back.

    Never asks: cron runs it as it is. It is done when the engines have read every part of it, each file was read back
    from every repository, and every copy is there. That it restores is proven by `backup verify --deep` and by
    `backup drill`. Of a platform that is down, or has lost what it held, it is marked and never `latest`; exits with 3.

    Example: ragops backup run --quiesce
    """
    current = state(context)
    with _started(current, lock_wait, quiesce=quiesce) as session:
        wanted = _wanted(session, jobs, keep=keep)
        result = _take(current, session, wanted, quiesce=quiesce, accept_loss=accept_loss)
        pruned = _prune(session, dry_run=False) if prune else None
    _show_taken(current, result, pruned)
    result.require_healthy()
    result.require_copies()
    if pruned:
        pruned.require_all()


def run_scheduled(current: State) -> None:
    """What the schedule runs: a recovery point, then those removed that are not kept. Raises RagopsError."""
    with _started(current, _SCHEDULED_WAIT, quiesce=False) as session:
        result = _take(current, session, _wanted(session, None, keep=False), quiesce=False, accept_loss=False)
        pruned = _prune(session, dry_run=False)
    _show_taken(current, result, pruned)
    result.require_healthy()
    result.require_copies()
    pruned.require_all()


_SCHEDULED_WAIT = 900.0  # seconds


@contextlib.contextmanager
def _started(current: State, lock_wait: float, *, quiesce: bool) -> Any:
    """The session of a backup, its locks held; ingest, which writes, is kept out where all is to be of one instant."""
    session = current.session(lock_wait)
    with session.changing(("backup", "ingest") if quiesce else ("backup",)):
        yield session


def _wanted(session: Session, jobs: int | None, *, keep: bool) -> BackupRequest:
    from ragops.operations.backup.create import BackupRequest

    return BackupRequest(jobs=jobs or session.project.settings.backup.jobs, keep=keep)


def _take(
    current: State, session: Session, request: BackupRequest, *, quiesce: bool, accept_loss: bool
) -> BackupResult:
    from ragops.cli.bars import bars
    from ragops.operations.backup import create
    from ragops.operations.backup import replicate as copies
    from ragops.operations.backup.last_good import condition_of
    from ragops.operations.backup.run_record import recorded

    def take() -> BackupResult:
        platform, vault = session.platform(), session.vault()
        copies.refuse_emptied_primary(vault)
        condition = condition_of(session, accept_loss=accept_loss)
        with bars(current.console) as on_progress:
            return create.run(
                platform, vault, request, locker=session.locker(), held=_hold(session, quiesce),
                condition=condition, on_progress=on_progress,
            )  # fmt: skip

    result = recorded(session, take)
    session.rotate_logs()
    return result


def _hold(session: Session, quiesce: bool) -> AbstractContextManager[Hold] | None:
    if not quiesce:
        return None
    from ragops.operations.backup.quiesce import quiesced

    return quiesced(session.endpoints(), session.notice)


def _show_taken(current: State, result: BackupResult, pruned: PruneResult | None) -> None:
    from ragops.cli.views import jsonable
    from ragops.units import duration, size

    console, point = current.console, result.point
    if console.as_json:
        failed = next((copy.error for copy in result.copies if copy.error), None)
        wrong = failed is not None or bool(point.manifest.unhealthy) or bool(pruned and pruned.failures)
        if not wrong:  # else the error is the document
            copies = [copy.repository for copy in result.copies]
            removed = jsonable(_removed(pruned)) if pruned else []
            console.document({**points.values(point), "copies": copies, "pruned": removed})
        return
    console.text(point.id)
    manifest = point.manifest
    more = f", {size(point.plain_size)} as the engines wrote it" if point.plain_size != point.size else ""
    console.message(f"{size(point.size)}{more}, in {duration(manifest.duration)}, read back: {point.location}")
    if manifest.quiesced:
        console.message(f"all of it is of one instant: {manifest.quiesced:%H:%M:%S.%f} UTC")
    if not manifest.is_encrypted:
        console.message("not encrypted, so without secrets and tokens' keys; `ragops backup keygen` makes a key")
    for note in (note for part in manifest.parts for note in part.notes):
        console.message(f"note: {note}")
    for copy in result.copies:
        console.message(f"copied to {copy.repository}" if not copy.error else f"NOT copied to {copy.repository}")
    for line in _removed(pruned) if pruned else []:
        console.message(f"removed {line}")


def copy(
    context: typer.Context,
    point: Reference = "latest",
    every: Annotated[
        bool, typer.Option("--all", help="Every recovery point that a repository lacks, but for the ways back.")
    ] = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Have a recovery point whole in every repository.

    Reads it in all of them; where it is missing or damaged, the first included, it is copied from where it is whole.

    Example: ragops backup copy latest
    """
    from ragops.cli.bars import bars
    from ragops.operations.backup import create
    from ragops.operations.backup import replicate as copies
    from ragops.operations.backup.run_record import record_copies

    current = state(context)
    session = current.session(lock_wait)
    with session.changing(("backup",)), bars(current.console) as on_progress:
        vault = session.vault()
        further = {repository.name for repository in vault.copies}
        wanted = copies.incomplete(vault) if every else (point,)
        done, failure = copies.spread_all(vault, wanted, locker=session.locker(), on_progress=on_progress)
        for found in done:
            there = tuple(place for place in found.places if place.repository in further)
            record_copies(session, create.BackupResult(found.point, there))
    if failure:
        raise failure
    for found in done:
        found.require_all()
    if current.console.as_json:
        rows = [{"id": found.point.id, "repositories": _hows(found)} for found in done]
        current.console.document(rows if every else rows[0])
        return
    for found in done:
        for place in found.places:
            current.console.text(f"{found.point.id}: {place.how} in {place.repository}")
    if not done:
        current.console.text("no repository lacks any")
    if not further:
        current.console.message("ragops.yaml names no further repository (`backup.copies`)")


def _hows(found: Spread) -> dict[str, str]:
    return {place.repository: place.how for place in found.places}


def keep(
    context: typer.Context,
    point: Reference = "latest",
    off: Annotated[bool, typer.Option("--off", help="Take the mark away.")] = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Mark a recovery point so that prune leaves it.

    Example: ragops backup keep latest
    """
    from ragops.operations.backup import replicate as copies

    current = state(context)
    session = current.session(lock_wait)
    with session.changing(("backup",)):
        vault = session.vault()
        _, found = vault.find(point)
        copies.keep(vault, found, keep=not off, locker=session.locker())
    if current.console.as_json:
        current.console.document({"id": found.id, "kept": not off})
        return
    current.console.text(f"{found.id} {'is no longer kept' if off else 'is kept until the mark is taken away'}")


def prune(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Remove recovery points that `backup.keep` in ragops.yaml does not keep.

    Never the newest good one, nor one that is marked, nor what an interrupted restore still needs.

    Example: ragops backup prune --dry-run
    """
    current = state(context)
    session = current.session(lock_wait)
    if dry_run:
        result = _prune(session, dry_run=True)
    else:
        with session.changing(("backup",)):
            result = _prune(session, dry_run=False)
    _show_pruned(current, result)
    result.require_all()


def _prune(session: Session, *, dry_run: bool) -> PruneResult:
    from ragops.operations.backup.prune import prune as operation
    from ragops.operations.records.last_backup import read as read_record

    left = session.restore_journal().read()
    protected = {left.point, left.safety} if left else set()
    if (record := read_record(session.project.paths.backup_record)) and record.taken:
        protected.add(record.taken.point)  # whatever its number says beside those of a repository that was replaced
    rule = session.project.settings.backup.keep
    return operation(session.vault(), rule, session.locker(), protected, dry_run=dry_run)


def _show_pruned(current: State, result: PruneResult) -> None:
    console = current.console
    if console.as_json:
        if not result.failures:
            console.document(
                {"dry_run": result.dry_run, "repositories": [_pruned(item) for item in result.repositories]}
            )
        return
    word = "would go" if result.dry_run else "removed"
    rows = [
        (verdict.point.id, "stays" if verdict.keep else word, verdict.reason, pruned.repository)
        for pruned in result.repositories
        for verdict in pruned.verdicts
    ]
    console.table(("ID", "VERDICT", "WHY", "REPOSITORY"), rows, empty="there are no recovery points")
    for pruned in result.repositories:
        for error in pruned.unreadable:
            console.message(f"left alone, since it cannot be read: {error.message}")


def _pruned(item: Any) -> dict[str, Any]:
    verdicts = [{"id": one.point.id, "stays": one.keep, "why": one.reason} for one in item.verdicts]
    return {"repository": item.repository, "points": verdicts}


def _removed(pruned: PruneResult) -> list[str]:
    return [
        f"{verdict.point.id} from {item.repository}"
        for item in pruned.repositories
        for verdict in item.verdicts
        if not verdict.keep
    ]
