"""ingest: brings collections up to date with their directories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli import completion
from ragops.cli.lifecycle import LockWait
from ragops.cli.printable import one_line
from ragops.cli.state import state
from ragops.units import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.cli.console import Console
    from ragops.ingest.report import CollectionReport, IngestReport
    from ragops.operations.session import Session

_SHOWN_FAILURES = 20


def ingest(
    context: typer.Context,
    collections: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COLLECTION",
            autocompletion=completion.collections,
            help="Which ones; all that are enabled if none.",
        ),
    ] = None,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Empty a collection whose directory has no file left.")
    ] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build them next to the old ones, then switch.")] = False,
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Only delete what rebuilds have left of the collections before.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Then follow changes in the directories until interrupted.")
    ] = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Read collections' directories into documents, chunks and vectors.

    New, changed, moved and deleted files are brought up to date; a second run changes nothing, an interrupted one is
    gone on with. Exits with 1 if files could not be read; the others are done all the same. With --watch it exits with
    0 if it is interrupted while it waits for changes.

    Example: ragops ingest
    """
    from ragops.cli.progress import documents
    from ragops.operations.data import ingest as operation

    current = state(context)
    console = current.console
    _refuse_together(rebuild=rebuild, drop_old=drop_old, watch=watch)
    if drop_old:
        _drop_old(console, current.session(lock_wait), collections or ())
        return
    if watch:
        from ragops.cli.watch import follow

        follow(console, lambda: current.session(lock_wait), collections or (), allow_empty=allow_empty)
        return
    with documents(console) as show:
        report, refreshed = operation.ingest_under_lock(
            current.session(lock_wait), collections or (), show, allow_empty=allow_empty, rebuild=rebuild
        )
    show_report(console, report, refreshed)
    raise typer.Exit(report.exit_code)


def _refuse_together(*, rebuild: bool, drop_old: bool, watch: bool) -> None:
    """Raise UsageError (options_conflict) for options that are commands of their own."""
    from ragops.errors import UsageError

    given = [name for name, is_given in (("--rebuild", rebuild), ("--drop-old", drop_old)) if is_given]
    given += ["--watch"] if watch else []
    if len(given) > 1:
        hint = f"run `ragops ingest {given[0]}` first, then `ragops ingest {given[1]}`"
        raise UsageError("options_conflict", f"cannot take {given[0]} and {given[1]} in one run", hint)


def _drop_old(console: Console, session: Session, collections: Sequence[str]) -> None:
    from ragops.operations.data import ingest as operation

    with session.changing():
        dropped = operation.drop_old(session.endpoint("timescaledb"), session.endpoint("qdrant"), collections)
    console.document({"dropped": {name: [one._asdict() for one in gone] for name, gone in dropped.items()}})
    for name, gone in dropped.items():
        for one in gone:
            documents = f" of {one.documents} documents" if one.documents else ""  # a reshard takes them all along
            console.text(f"{name}: deleted the old points {one.points}{documents}")
    if not dropped:
        console.message("there is nothing that a rebuild has left")


# --- what is shown ---------------------------------------------------------------------------------------------------


def show_report(console: Console, report: IngestReport, refreshed: bool) -> None:
    """Show the result of an ingest; `refreshed`: the API's cache of answers was cleared."""
    show_document(console, report)
    rows = [_row(one) for one in report.collections]
    console.table(
        _COLUMNS,
        rows,
        optional=_OPTIONAL,
        empty="there are no collections: `ragops collection create NAME DIRECTORY` makes one",
    )
    for one in report.collections:
        _say(console, one)
    if not refreshed:
        console.message(CACHE_KEPT)


def show_document(console: Console, report: IngestReport) -> None:
    """Print the result as one JSON document, if JSON is asked for."""
    from ragops.cli.views import jsonable

    console.document({**jsonable(report), "exit_code": int(report.exit_code)})


CACHE_KEPT = "cannot clear the API's cache of answers: old ones may be returned for `api.cache_seconds`"
_COLUMNS = ("COLLECTION", "ADDED", "CHANGED", "MOVED", "DELETED", "UNCHANGED", "FAILED", "CHUNKS", "POINTS", "TIME")
_OPTIONAL = ("MOVED", "CHUNKS", "UNCHANGED", "POINTS", "TIME")  # the first is left out first


def _row(one: CollectionReport) -> tuple[str, ...]:
    if one.skipped or one.refused:
        return (one.name, *["-"] * 8, "skipped" if one.skipped else "refused")
    counts = (one.added, one.changed, one.moved, one.deleted, one.unchanged, len(one.failed), one.chunks, one.points)
    return (one.name, *map(str, counts), duration(one.total_seconds))


def _say(console: Console, one: CollectionReport) -> None:
    """Print notes, faults, and where the time went."""
    for note in one.notes:
        console.message(one_line(f"{one.name}: {note}"))
    say_faults(console, one, list_faults(one))
    if one.left_out_counts:
        _say_left_out(console, one)
    elif not (one.files or one.deleted or one.skipped or one.refused):
        console.message(f"{one.name}: there is no file to read: see its directory: `ragops collection show {one.name}`")
    if one.chunks:
        parts = ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in one.seconds.items())
        speed = f"{one.files / one.total_seconds:.0f} files/s, {one.chunks / one.total_seconds:.0f} chunks/s"
        console.message(f"{one.name}: {speed}; {parts}")


def list_faults(one: CollectionReport) -> list[str]:
    """Return a line for each file and each chunk that could not be stored."""
    lines = [f"{failure.path}: {failure.reason}" for failure in one.failed]
    return lines + [f"{chunk.path}: chunk {chunk.position} was refused: {chunk.reason}" for chunk in one.refused_chunks]


def say_faults(console: Console, one: CollectionReport, lines: Sequence[str]) -> None:
    """Print why a collection was refused, and the first `lines` on what could not be stored."""
    if one.refused:
        console.message(f"{one.name}: {one.refused.message}\n  → {one.refused.hint}")
    for line in lines[:_SHOWN_FAILURES]:
        console.message(one_line(f"{one.name}: {line}"))
    if len(lines) > _SHOWN_FAILURES:
        console.message(f"{one.name}: and {len(lines) - _SHOWN_FAILURES} more; all of them with --json")
    if lines and one.failed:
        command = f"`ragops collection set {one.name} --exclude PATTERN`"
        console.message(f"  → mend these files, or leave them out: {command}")


def _say_left_out(console: Console, one: CollectionReport) -> None:
    """Count what the rules leave out, by reason; list it with --verbose."""
    total = sum(one.left_out_counts.values())
    counts = ", ".join(f"{count} {reason}" for reason, count in one.left_out_counts.items())
    more = "" if console.verbose else "; --verbose lists them"
    console.message(one_line(f"{one.name}: {total} left out ({counts}){more}"))
    if console.verbose:
        for entry in one.left_out:
            console.message(one_line(f"{one.name}: left out: {entry.path} ({entry.reason})"))
        if total > len(one.left_out):
            console.message(f"{one.name}: and {total - len(one.left_out)} more")
