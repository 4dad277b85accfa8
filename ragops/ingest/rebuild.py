"""A collection built again next to the one that is asked, for another model or other chunks, and the switch to it.

The new vectors go into the collection `NAME@N` of the vector store, their documents below a row of the same name that
no question reaches. When counts match, one transaction exchanges the documents of both rows: from then on ingest and
API take the new ones, which the job's `way` names. The old ones stay below a row `NAME@M` until they are dropped.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ragops.config import collection_names
from ragops.errors import IntegrityError, RagopsError

if TYPE_CHECKING:
    from ragops.ingest.collection_run import CollectionRun
    from ragops.ingest.document_store import DocumentStore
    from ragops.ingest.report import CollectionReport
    from ragops.ingest.rows import Collection
    from ragops.ingest.vectors import VectorStore


class Kept(NamedTuple):
    """What a rebuild left of the collection before: its row, its collection of points, its documents."""

    name: str
    points: str
    documents: int


def rebuild(run: CollectionRun) -> CollectionReport:
    """Build the collection of `run` next to the live one and switch to it; a run that was interrupted is continued.

    Raises IntegrityError (counts_differ, rebuild_empty), and what an ingest raises: the live collection is as it was
    then.
    """
    live, rows = run.collection, run.rows
    rows.lock(live)
    try:
        live = rows.current(live)  # until now another run may have switched its points
        name = _next_name(live.points, live.name, 1)
        successor = rows.copy_collection(live, name, name)  # the one that an interrupted rebuild has left, if any
        known = rows.count_chunks(live.id, live.points)
        build = replace(run, collection=successor, pipeline=None, known_points=known)
        _require_vectors(build)
        report = build.run()
        _require_counts(run, live, successor)
        rows.switch(live, successor, _next_name(live.points, live.name, 0))
    finally:
        with contextlib.suppress(RagopsError):  # it ends with the connection at the latest
            rows.unlock(live)
    run.store.point_alias(live.alias, successor.points)
    note = f"built again as {successor.points}; `ragops ingest --drop-old {live.name}` deletes what was there before"
    return replace(report, name=live.name, notes=(*report.notes, note))


def kept(rows: DocumentStore, name: str) -> list[Kept]:
    """Return what is kept of a collection's earlier builds, and of rebuilds that were given up."""
    return [Kept(*row) for row in rows.generations(name)]


def drop_old(rows: DocumentStore, store: VectorStore, live: Collection) -> list[Kept]:
    """Delete what is kept of a collection's earlier builds, and what was given up; the live one stays.

    Raises LockedError while an ingest works on the collection, IntegrityError (points_missing) if the live points are
    lost: what is kept may be all that there is.
    """
    rows.lock(live)
    try:
        live = rows.current(live)
        _require_live(rows, store, live)
        unlisted = [one for one in find_unlisted(rows, store, live.name) if one.points != live.points]
        gone = [*kept(rows, live.name), *unlisted]
        for one in gone:
            if one.points != live.points:  # a row whose points were never made again is that of a rebuild's start
                store.drop(one.points)
            rows.drop_generation(one.name)
        return gone
    finally:
        with contextlib.suppress(RagopsError):
            rows.unlock(live)


def find_unlisted(rows: DocumentStore, store: VectorStore, name: str) -> list[Kept]:
    """Return the collections of points of builds that no row names, as after a restore of the database alone."""
    named = {one.points for one in kept(rows, name)}
    found = [points for points in store.names() if collection_names.build_number(points, name) is not None]
    return [Kept(points, points, 0) for points in sorted(set(found) - named)]


def _next_name(points: str, name: str, step: int) -> str:
    """Return the name of a generation: that of `points`, or the one that follows."""
    return collection_names.build_name(name, (collection_names.build_number(points, name) or 1) + step)


def _require_vectors(run: CollectionRun) -> None:
    """Delete the points that an interrupted rebuild has left if they are of a model with other vectors."""
    try:
        run.create_points()
    except IntegrityError:
        run.store.drop(run.collection.points)


def _require_live(rows: DocumentStore, store: VectorStore, live: Collection) -> None:
    """Raise IntegrityError if the live points are lost; have the alias point to them."""
    points = store.count_if_there(live.points)
    if points is None and rows.count_chunks(live.id, live.points):
        what = f"cannot delete the earlier builds of {live.name}: {live.points} is missing in the vector store"
        raise IntegrityError("points_missing", what, f"build it again: `ragops ingest {live.name}`")
    if points is not None and live.points != live.name:  # a run may have been killed right after its switch
        store.point_alias(live.alias, live.points)


def _require_counts(run: CollectionRun, live: Collection, successor: Collection) -> None:
    rows, again = run.rows, "run the same command again to continue"
    chunks, points = rows.count_chunks(successor.id, successor.points), run.store.count(successor.points)
    if chunks != points:
        what = f"cannot switch to {successor.points}: it has {points} points for {chunks} chunks"
        raise IntegrityError("counts_differ", what, again)
    if chunks == 0 and not run.allow_empty and rows.count_chunks(live.id, live.points):
        what = f"cannot switch to {successor.points}: nothing was read from {live.directory}"
        raise IntegrityError("rebuild_empty", what, f"{again}, with --allow-empty if the collection is to be empty")
