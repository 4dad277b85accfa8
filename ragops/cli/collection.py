"""Commands on collections: collection list, show, create, set, remove."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragops.cli import collection_views as views
from ragops.cli import completion
from ragops.cli.help import Application
from ragops.cli.lifecycle import LockWait, Yes
from ragops.cli.state import state

if TYPE_CHECKING:
    from ragops.operations.data.collections import CollectionRow, RemovedCollection

group = Application(help="What is searched: folders, how they are cut, which model.")

Name = Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.collections, help="The collection.")]
Model = Annotated[str | None, typer.Option(metavar="MODEL", help="The embedding model.")]
ChunkSize = Annotated[int | None, typer.Option(metavar="CHARACTERS", help="Most characters of a chunk.")]
ChunkOverlap = Annotated[int | None, typer.Option(metavar="CHARACTERS", help="What a chunk repeats of the last one.")]
FileType = Annotated[list[str] | None, typer.Option(metavar="ENDING", help="Files that are read; again for others.")]
Exclude = Annotated[
    list[str] | None, typer.Option(metavar="PATTERN", help="Files left out, as in .gitignore; again for others.")
]
MaxFileSize = Annotated[str | None, typer.Option(metavar="SIZE", help="Larger files are left out: 20MiB.")]
ExpectedPoints = Annotated[int | None, typer.Option(metavar="N", help="Chunks that it is to hold.")]
Shards = Annotated[int | None, typer.Option(metavar="N", help="Shards in a cluster; by default as it needs.")]
Enabled = Annotated[bool | None, typer.Option("--enable/--disable", help="Whether ingest reads it.")]
Recursive = Annotated[bool | None, typer.Option("--recursive/--no-recursive", help="Folders inside, too.")]
_NUMBERS = 768  # of a vector, for a model that has not named them
_MANY = 10_000  # documents, after which a removal asks for the name


@group.command(name="list")
def list_collections(context: typer.Context) -> None:
    """List the collections with their documents.

    Example: ragops collection list
    """
    from ragops.operations.data import collections as operation

    current = state(context)
    rows = operation.list_all(current.session().endpoint("timescaledb"))
    current.console.document({"collections": rows})
    current.console.table(
        ("NAME", "DIRECTORY", "MODEL", "DOCUMENTS", "FAILED", "INDEXED (UTC)", "STATE"),
        [views.line(row) for row in rows],
        optional=("MODEL", "INDEXED (UTC)", "DIRECTORY"),
        empty="there are no collections: `ragops collection create NAME DIRECTORY` makes one",
    )
    for row in rows:
        if row.needs_rebuild:
            current.console.message(views.describe_rebuild(row))


@group.command()
def show(context: typer.Context, name: Name) -> None:
    """Show one collection: its settings, and whether the vector store has its points.

    Example: ragops collection show manuals
    """
    from ragops.cli.views import jsonable
    from ragops.operations.data import collections as operation

    current = state(context)
    session = current.session()
    found = operation.show(session.endpoint("timescaledb"), session.endpoint("qdrant"), name)
    current.console.document({**jsonable(found), "whole": found.is_whole})
    current.console.table(("WHAT", "VALUE"), views.facts(found))
    if found.row.needs_rebuild:
        current.console.message(views.describe_rebuild(found.row))
    if not found.is_whole:
        current.console.message(f"chunks and points differ: `ragops ingest {name}` repairs it")
    for one in found.layouts.values():
        if one.worse:
            current.console.message(f"{one.worse}: `ragops cluster reshard {name}`")


@group.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is asked for by.")],
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="The folder with its files.")],
    model: Model = None,
    chunk_size: ChunkSize = None,
    chunk_overlap: ChunkOverlap = None,
    file_type: FileType = None,
    exclude: Exclude = None,
    max_file_size: MaxFileSize = None,
    expected_points: ExpectedPoints = None,
    shards: Shards = None,
    recursive: Recursive = None,
    enabled: Enabled = None,
    lock_wait: LockWait = 0.0,
) -> None:
    """Make a collection of the files of a folder; `ragops ingest` then reads them.

    A relative DIRECTORY is relative to the folder of ragops.yaml.

    Example: ragops collection create handbook docs --exclude drafts/
    """
    from ragops.adapters.audit import find_user
    from ragops.operations.data import collections as operation
    from ragops.operations.data.models import find_models

    current = state(context)
    session = current.session(lock_wait)
    models = find_models(session)
    if model:
        models.check(model)
    values = _values(
        directory=str(directory), embeddingModel=model or models.default, chunkSize=chunk_size,
        chunkOverlap=chunk_overlap, fileTypes=file_type, exclude=exclude, maxFileSize=max_file_size,
        expectedPoints=expected_points, shards=shards, recursive=recursive, enabled=enabled,
    )  # fmt: skip
    with session.changing(("ingest",)):
        row = operation.create(session.endpoint("timescaledb"), name, values, find_user())
    current.console.document(row)
    current.console.text(f"+ {row.name}")
    numbers = models.specs[row.embedding_model].dimensions if row.embedding_model in models.specs else None
    vectors, root = session.endpoint("qdrant"), session.project.paths.root
    if layout := operation.expected_layout(vectors, row, root, numbers or _NUMBERS):
        current.console.message(
            f"about {layout.expected:,} points are expected: {layout}; --shards sets another number"
        )
    current.console.message(f"next: `ragops ingest {row.name}`")


@group.command(name="set")
def set_values(
    context: typer.Context,
    name: Name,
    directory: Annotated[str | None, typer.Option(metavar="FOLDER", help="The folder with its files.")] = None,
    model: Model = None,
    chunk_size: ChunkSize = None,
    chunk_overlap: ChunkOverlap = None,
    file_type: FileType = None,
    exclude: Exclude = None,
    no_exclude: Annotated[bool, typer.Option("--no-exclude", help="No patterns any more.")] = False,
    max_file_size: MaxFileSize = None,
    no_max_file_size: Annotated[
        bool, typer.Option("--no-max-file-size", help="No size of its own any more: 64MiB, or the file's default.")
    ] = False,
    expected_points: ExpectedPoints = None,
    shards: Shards = None,
    no_shards: Annotated[bool, typer.Option("--no-shards", help="No number of its own any more.")] = False,
    recursive: Recursive = None,
    enabled: Enabled = None,
    lock_wait: LockWait = 0.0,
) -> None:
    """Change a collection; the next ingest follows.

    The patterns and endings that are given take the place of those before.

    Example: ragops collection set manuals --chunk-size 800
    """
    from ragops.adapters.audit import find_user
    from ragops.errors import UsageError
    from ragops.operations.data import collections as operation
    from ragops.operations.data.models import find_models

    current = state(context)
    session = current.session(lock_wait)
    if model:
        find_models(session).check(model)
    values = _values(
        directory=directory, embeddingModel=model, chunkSize=chunk_size, chunkOverlap=chunk_overlap,
        fileTypes=file_type, exclude=exclude, maxFileSize=max_file_size,
        expectedPoints=expected_points, shards=shards, recursive=recursive, enabled=enabled,
    )  # fmt: skip
    values |= _cleared(values, exclude=no_exclude, max_file_size=no_max_file_size, shards=no_shards)
    if not values:
        hint = "add an option: `ragops collection set --help`"
        raise UsageError("nothing_to_set", f"cannot change collection {name}: no value is given", hint)
    with session.changing(("ingest",)):
        row = operation.set_values(session.endpoint("timescaledb"), name, values, find_user())
    current.console.document(row)
    current.console.text(f"~ {row.name}")
    if row.source == "json":
        file = "collections-config.json"
        current.console.message(f"{name} came from a file: change {file} too, or its next import takes this back")
    if shards and row.indexed:
        current.console.message(
            f"its points stay in the shards they have: `ragops cluster reshard {name}` changes that"
        )
    current.console.message(_next(row, model))


@group.command()
def remove(context: typer.Context, name: Name, yes: Yes = False, lock_wait: LockWait = 0.0) -> None:
    """Delete a collection with its points, documents and cached answers; its files stay.

    Recovery points that hold it stay, too, until they are pruned or deleted.

    Example: ragops collection remove handbook --yes
    """
    from ragops.adapters.audit import find_user
    from ragops.cli.views import jsonable
    from ragops.operations.data import collections as operation
    from ragops.operations.data.cache import invalidate_answer_cache

    current = state(context)
    console, session = current.console, current.session(lock_wait)
    database, vectors = session.endpoint("timescaledb"), session.endpoint("qdrant")
    found = operation.show(database, vectors, name)
    console.confirm(views.question(found), yes=yes, expected=name if views.documents(found.row) > _MANY else "")
    with session.changing():
        gone = operation.remove(database, vectors, name, find_user())
        refreshed = invalidate_answer_cache(session)
    console.document({**jsonable(gone), "cache_cleared": refreshed})
    console.text(f"removed {name}: {gone.documents} documents, {sum(gone.points.values())} points")
    _explain(console.message, gone)
    if not refreshed:
        console.message("cannot clear the API's cache of answers: old ones may be returned for `api.cache_seconds`")


def _explain(message: Any, gone: RemovedCollection) -> None:
    if gone.source == "json":
        message(
            f"{gone.name} came from a file: take it out of collections-config.json, or its next import brings it back"
        )
    message("recovery points that hold it stay: `ragops backup list`, `ragops backup delete ID`")


def _values(**given: Any) -> dict[str, Any]:
    """Return what was given, by key of collections-config.json; an option that can be repeated is an empty list."""
    return {key: value for key, value in given.items() if value is not None and value != []}


def _next(row: CollectionRow, model: str | None) -> str:
    """Return the command that follows a change; vectors of another model are refused without --rebuild."""
    return f"next: `ragops ingest {'--rebuild ' if model and row.indexed else ''}{row.name}`"


def _cleared(values: dict[str, Any], *, exclude: bool, max_file_size: bool, shards: bool) -> dict[str, Any]:
    """Return the values of keys that are to be cleared. Raises UsageError (options_conflict) for one that is given.

    No patterns at all are a value: the document's default would hold instead of none.
    """
    from ragops.errors import UsageError

    cleared: dict[str, Any] = {"exclude": []} if exclude else {}
    cleared |= {"maxFileSize": None} if max_file_size else {}
    cleared |= {"shards": None} if shards else {}
    if both := cleared.keys() & values.keys():
        raise UsageError("options_conflict", f"cannot set and clear {min(both)} at once", "take one of the two options")
    return cleared
