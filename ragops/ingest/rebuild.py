"""A collection built again next to the one that is asked, for another model or other chunks, and the switch to it.

The new vectors go into the collection `NAME@N` of the vector store, their documents below a row of the same name that
no question reaches. When counts match, one transaction exchanges the documents of both rows: from then on ingest and
API take the new ones, which the job's `way` names. The old ones stay below a row `NAME@M` until they are dropped.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ragops.errors import IntegrityError, RagopsError

if TYPE_CHECKING:
    from ragops.ingest.document_store import DocumentStore
    from ragops.ingest.report import CollectionReport
    from ragops.ingest.rows import Collection
    from ragops.ingest.run import CollectionRun
    from ragops.ingest.vectors import VectorStore

_GENERATION = re.compile(r"(?P<name>.+)@(?P<number>[0-9]+)")


class Kept(NamedTuple):
    """What a rebuild left of the collection before: its row, its collection of points, its documents."""

    name: str
    points: str
    documents: int


def live_alias(name: str) -> str:
    """Return the alias that the vector store has for the points of a collection that was built again."""
    return f"{name}@live"


def rebuild(run: CollectionRun) -> CollectionReport:
    """Build the collection of `run` next to the live one and switch to it; a run that was interrupted is continued.

    Raises IntegrityError (counts_differ, rebuild_empty), and what an ingest raises: the live collection is as it was
    then.
    """
    live, rows = run.collection, run.rows
    rows.lock(live)
    try:
        name = _next_name(live.points, live.name, 1)
        successor = rows.copy_collection(live, name, name)  # the one that an interrupted rebuild has left, if any
        report = replace(run, collection=successor, pipeline=None).run()
        _require_counts(run, live, successor)
        rows.switch(live, successor, _next_name(live.points, live.name, 0))
    finally:
        with contextlib.suppress(RagopsError):  # it ends with the connection at the latest
            rows.unlock(live)
    run.store.set_alias(live_alias(live.name), successor.points)
    note = f"built again as {successor.points}; `ragops ingest --drop-old {live.name}` deletes what was there before"
    return replace(report, name=live.name, notes=(*report.notes, note))


def kept(rows: DocumentStore, name: str) -> list[Kept]:
    """Return what is kept of a collection's earlier builds, and of rebuilds that were given up."""
    return [Kept(*row) for row in rows.generations(name)]


def drop_old(rows: DocumentStore, store: VectorStore, live: Collection) -> list[Kept]:
    """Delete what is kept of a collection's earlier builds; the live one stays."""
    gone = kept(rows, live.name)
    for one in gone:
        if one.points != live.points:  # a row whose points were never made again is that of a rebuild's start
            store.drop(one.points)
        rows.drop_generation(one.name)
    return gone


def _next_name(points: str, name: str, step: int) -> str:
    """Return the name of a generation: that of `points`, or the one that follows."""
    match = _GENERATION.fullmatch(points)
    return f"{name}@{(int(match['number']) if match else 1) + step}"


def _require_counts(run: CollectionRun, live: Collection, successor: Collection) -> None:
    rows, again = run.rows, "run the same command again to continue"
    chunks, points = rows.count_chunks(successor.id, successor.points), run.store.count(successor.points)
    if chunks != points:
        what = f"cannot switch to {successor.points}: it has {points} points for {chunks} chunks"
        raise IntegrityError("counts_differ", what, again)
    if chunks == 0 and not run.allow_empty and rows.count_chunks(live.id, live.points):
        what = f"cannot switch to {successor.points}: nothing was read from {live.directory}"
        raise IntegrityError("rebuild_empty", what, f"{again}, with --allow-empty if the collection is to be empty")
