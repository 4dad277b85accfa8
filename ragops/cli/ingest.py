"""Commands on documents: ingest brings collections up to date, query asks them."""

from __future__ import annotations

import os
import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli import completion
from ragops.cli.help import DATA
from ragops.cli.lifecycle import LockWait
from ragops.cli.printable import one_line
from ragops.cli.state import state
from ragops.units import duration

if TYPE_CHECKING:
    from pydantic import SecretStr

    from ragops.cli.console import Console
    from ragops.ingest.report import CollectionReport
    from ragops.operations.data.query import QueryResult

_SHOWN_FAILURES = 20
# Of a passage; and the score up to which one has nothing to do with the question.
_SHOWN_LINES = 3
_FAR = 0.05
_TOKEN_VARIABLE = "RAGOPS_TOKEN"  # noqa: S105  the name of the variable


def register(app: typer.Typer) -> None:
    """Add both to the application."""
    app.command(rich_help_panel=DATA)(ingest)
    app.command(rich_help_panel=DATA)(query)


def ingest(
    context: typer.Context,
    collections: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COLLECTION]...",
            autocompletion=completion.collections,
            help="Which ones; all that are enabled if none.",
        ),
    ] = None,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Empty a collection whose directory has no file left.")
    ] = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Read collections' directories into documents, chunks and vectors.

    New, changed, moved and deleted files are brought up to date; a second run changes nothing, an interrupted one is
    gone on with. Exits with 1 where files could not be read; the others are done all the same.

    Example: ragops ingest
    """
    from ragops.cli.progress import documents
    from ragops.cli.views import jsonable
    from ragops.operations.data import ingest as operation
    from ragops.operations.data.cache import invalidate_answer_cache

    current = state(context)
    console = current.console
    session = current.session(lock_wait)
    database, vectors = session.endpoint("timescaledb"), session.endpoint("qdrant")
    embedder, root = operation.embedder_for(session), session.project.paths.root
    with session.changing(("ingest",)), documents(console) as show:
        report = operation.ingest(
            database, vectors, embedder, collections or (), show, root=root, allow_empty=allow_empty
        )
        refreshed = invalidate_answer_cache(session)
    if console.as_json:
        console.document({**jsonable(report), "exit_code": int(report.exit_code)})
    else:
        rows = [_row(one) for one in report.collections]
        console.table(
            _COLUMNS, rows, optional=_OPTIONAL, empty="there are no collections yet: `ragops migrate json-to-db FILE`"
        )
    for one in report.collections:
        _say(console, one)
    if not refreshed:
        console.message("cannot clear the API's cache of answers: old ones may be returned for `api.cache_seconds`")
    raise typer.Exit(report.exit_code)


def query(
    context: typer.Context,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What you want to know.")],
    collection: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=completion.collections,
            help="Where to look; may be left out if there is one.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=50, help="Most passages to show.")] = 5,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the token; RAGOPS_TOKEN if not given.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Whole passages, however far from the question.")] = False,
) -> None:
    """Ask the platform, through its gateway.

    Shows the first lines of each passage that has to do with the question; all of them with --full, and with --json.

    Example: ragops query "how do I rotate a secret?" --collection manuals
    """
    from ragops.cli.views import jsonable
    from ragops.operations.data import query as operation

    current = state(context)
    gateway = operation.gateway_for(current.session())
    result = operation.query(gateway.url, _token(token_file), text, collection, limit, gateway.ca_file)
    if current.console.as_json:
        current.console.document(jsonable(result))
    else:
        _show(current.console, result, full=full)


def _token(file: Path | None) -> SecretStr:
    """Return the token from a file or the environment: never an option, since command lines are seen by everybody."""
    from pydantic import SecretStr

    from ragops.errors import UsageError

    hint = f"get one: ragops token issue NAME; give it by {_TOKEN_VARIABLE} or --token-file"
    try:
        token = (file.read_text() if file else os.environ.get(_TOKEN_VARIABLE, "")).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("token_unreadable", f"{file} cannot be read", hint) from error
    if not token or not token.isascii() or not token.isprintable():
        raise UsageError("token_needed", "there is no token to ask with", hint)
    return SecretStr(token)


# --- what is shown ---------------------------------------------------------------------------------------------------

_COLUMNS = ("COLLECTION", "ADDED", "CHANGED", "MOVED", "DELETED", "UNCHANGED", "FAILED", "CHUNKS", "POINTS", "TIME")
_OPTIONAL = ("MOVED", "CHUNKS", "UNCHANGED", "POINTS", "TIME")  # the first is left out first


def _row(one: CollectionReport) -> tuple[str, ...]:
    if one.skipped or one.refused:
        return (one.name, *["-"] * 8, "skipped" if one.skipped else "refused")
    counts = (one.added, one.changed, one.moved, one.deleted, one.unchanged, len(one.failed), one.chunks, one.points)
    return (one.name, *map(str, counts), duration(one.total_seconds))


def _say(console: Console, one: CollectionReport) -> None:
    """Print notes, failures, and where the time went."""
    for note in one.notes:
        console.message(f"{one.name}: {note}")
    if one.refused:
        console.message(f"{one.name}: {one.refused.message}\n  → {one.refused.hint}")
    lines = [f"{failure.path}: {failure.reason}" for failure in one.failed]
    lines += [f"{chunk.path}: chunk {chunk.position} was refused: {chunk.reason}" for chunk in one.refused_chunks]
    for line in lines[:_SHOWN_FAILURES]:
        console.message(one_line(f"{one.name}: {line}"))
    if len(lines) > _SHOWN_FAILURES:
        console.message(f"{one.name}: and {len(lines) - _SHOWN_FAILURES} more; all of them with --json")
    if one.chunks:
        parts = ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in one.seconds.items())
        speed = f"{one.files / one.total_seconds:.0f} files/s, {one.chunks / one.total_seconds:.0f} chunks/s"
        console.message(f"{one.name}: {speed}; {parts}")


def _show(console: Console, result: QueryResult, *, full: bool) -> None:
    near = [passage for passage in result.passages if passage.score > _FAR]
    shown = result.passages if full or not near else near
    if result.answer:
        console.text(f"{result.answer}\n")
    for number, passage in enumerate(shown, 1):
        console.text(one_line(f"[{number}] {passage.path} ({passage.score:.3f})"))
        for line in passage.text.splitlines() if full else _shortened(passage.text):
            console.text(f"    {line}")
    written = f"written by {result.model}, " if result.model else ""
    console.message(f"{written}found with {result.embedder} in {result.collection}")
    if result.note:
        console.message(result.note)


def _shortened(text: str) -> list[str]:
    """Return the first lines of `text` as wide as the terminal; words that are longer are cut."""
    width = max(20, shutil.get_terminal_size().columns - 4)
    return textwrap.wrap(text, width, max_lines=_SHOWN_LINES, placeholder=" …")
