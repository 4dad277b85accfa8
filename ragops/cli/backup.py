"""Commands that write and remove recovery points: backup run, copy, keep, prune, keygen, delete."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragops.cli import completion, points
from ragops.cli.help import Application
from ragops.cli.lifecycle import LockWait, Yes
from ragops.cli.points import From, Reference, say_newer
from ragops.cli.state import State, state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.cli.console import Console
    from ragops.operations.backup.create import BackupResult
    from ragops.operations.backup.delete import Deletion
    from ragops.operations.backup.prune import PruneResult
    from ragops.operations.backup.replicate import Replication

group = Application(help="Recovery points: one set over all services.")


def run(
    context: typer.Context,
    quiesce: Annotated[
        bool, typer.Option("--quiesce", help="Block writes while snapshots start: all parts share one point in time.")
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
    from ragops.cli.progress import bars
    from ragops.operations.backup.commands import back_up
    from ragops.operations.backup.create import BackupRequest

    current = state(context)
    session = current.session(lock_wait)
    request = BackupRequest(jobs=jobs or session.project.settings.backup.jobs, keep=keep)
    with bars(current.console) as on_progress:
        report = back_up(
            session, request, quiesce=quiesce, accept_loss=accept_loss, prune=prune, on_progress=on_progress
        )
    show_taken(current, report.result, report.pruned)
    report.require_good()


def show_taken(current: State, result: BackupResult, pruned: PruneResult | None) -> None:
    """Print a recovery point that was taken, its copies, and what was pruned."""
    from ragops.units import duration, size

    console, point = current.console, result.point
    failed = next((copy.error for copy in result.copies if copy.error), None)
    wrong = failed is not None or bool(point.manifest.unhealthy) or bool(pruned and pruned.failures)
    if not wrong:  # else the error is the document
        copies = [copy.repository for copy in result.copies]
        removed = _removed(pruned) if pruned else []
        console.document({**points.values(point), "copies": copies, "pruned": removed})
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
        bool, typer.Option("--all", help="Copy every point that a repository lacks, safety points excluded.")
    ] = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Have a recovery point whole in every repository.

    Reads it in all of them, and copies it from a repository that has it whole to the others.

    Example: ragops backup copy latest
    """
    from ragops.cli.progress import bars
    from ragops.operations.backup.commands import copy_points

    current = state(context)
    session = current.session(lock_wait)
    with bars(current.console) as on_progress:
        report = copy_points(session, None if every else (point,), on_progress=on_progress)
    if point == "latest" and not every:
        say_newer(current.console, session.repositories().primary)
    report.require_all()
    done = report.points
    rows = [{"id": found.point.id, "repositories": _hows(found)} for found in done]
    current.console.document(rows if every else rows[0])
    for found in done:
        for place in found.places:
            current.console.text(f"{found.point.id}: {place.how} in {place.repository}")
    if not done:
        current.console.text("no repository lacks any")
    if not session.project.settings.backup.copies:
        current.console.message("ragops.yaml names no further repository (`backup.copies`)")


def _hows(found: Replication) -> dict[str, str]:
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
    from ragops.operations.backup.commands import pin_point

    current = state(context)
    session = current.session(lock_wait)
    ident = pin_point(session, point, keep=not off)
    if point == "latest":
        say_newer(current.console, session.repositories().primary)
    current.console.document({"id": ident, "kept": not off})
    current.console.text(f"{ident} {'is no longer kept' if off else 'is kept until the mark is taken away'}")


def prune(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Remove recovery points that `backup.keep` in ragops.yaml does not keep.

    Never the newest good one, nor one that is marked, nor what an interrupted restore still needs.

    Example: ragops backup prune --dry-run
    """
    from ragops.operations.backup.commands import LOCKS, prune_points

    current = state(context)
    session = current.session(lock_wait)
    with contextlib.nullcontext() if dry_run else session.changing(LOCKS):
        result = prune_points(session, dry_run=dry_run)
    _show_pruned(current, result)
    result.require_all()


def _show_pruned(current: State, result: PruneResult) -> None:
    console = current.console
    if not result.failures:
        console.document({"dry_run": result.dry_run, "repositories": [_pruned(item) for item in result.repositories]})
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


def keygen(context: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")]) -> None:
    """Make the key that opens encrypted recovery points.

    Keep the file away from this machine: writing recovery points needs only the recipient in ragops.yaml, and without
    the file no one can read them.

    Example: ragops backup keygen rag-identity.txt
    """
    from ragops.operations.backup.keygen import keygen as operation

    current = state(context)
    verify_key = current.session().repositories().signing_key().public if current.names_project() else ""
    made = operation(file, verify_key)
    current.console.document(made)
    current.console.text(made.recipient)
    current.console.message(f"wrote {made.file} (0600): keep it safe and elsewhere, nothing else opens them")
    current.console.message(f"then in ragops.yaml, under backup: `recipients: [{made.recipient}]`")


def delete(
    context: typer.Context,
    point: Annotated[
        str, typer.Argument(metavar="ID", autocompletion=completion.points, help="Its id, the start of it, or latest.")
    ],
    repository: From = None,
    kept: Annotated[bool, typer.Option("--kept", help="Also one that is marked keep.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go, and what would not.")] = False,
    yes: Yes = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Delete one recovery point, also one that cannot be read, from all repositories or one of them.

    Never the last good one of a repository, nor what an interrupted restore needs.

    Example: ragops backup delete latest --dry-run
    """
    from ragops.operations.backup.commands import delete_point, delete_request
    from ragops.operations.backup.delete import plan_deletion
    from ragops.units import size

    current = state(context)
    console, session = current.console, current.session(lock_wait)
    found = plan_deletion(session.repositories(), delete_request(session, point, repository, kept=kept))
    if dry_run:
        _show_deletion(console, found)
        return
    for item in found:
        item.require()
    rows = "".join(f"\n  {item.repository}: {size(item.size)}, {item.state}" for item in found)
    console.confirm(f"This deletes recovery point {found[0].point} for good:{rows}", yes=yes)
    result = delete_point(session, found[0].point, repository, kept=kept)
    if not result.failures:
        console.document({"id": found[0].point, "removed": [_deletion_values(item) for item in result.removed]})
    for item in result.removed:
        console.text(f"removed {item.point} from {item.repository}: {size(item.size)}, {item.state}")
    result.require_all()


def _show_deletion(console: Console, found: Sequence[Deletion]) -> None:
    """Show the effect of a deletion."""
    from ragops.units import size

    rows = [{**_deletion_values(item), "refused": item.refusal.code if item.refusal else None} for item in found]
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


def _deletion_values(item: Deletion) -> dict[str, Any]:
    return {"repository": item.repository, "size": item.size, "state": item.state}
