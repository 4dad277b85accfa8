"""Chunks and points that lost each other: after a run that was killed, or a restore of one store without the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ragops.ingest.document_store import DocumentStore
    from ragops.ingest.rows import Collection
    from ragops.ingest.vectors import VectorStore


class Repaired(NamedTuple):
    """Points deleted because no chunk knew them, points that are not ours, documents that are to be stored again."""

    points: int
    foreign: int
    documents: frozenset[int]


def repair(
    rows: DocumentStore,
    store: VectorStore,
    collection: Collection,
    on_points: Callable[[int], None] = lambda _count: None,
) -> Repaired:
    """Delete points without a chunk, find the documents of chunks without a point; writes nothing where all is well.

    `on_points` receives the number of points that were looked at so far.
    """
    deleted = foreign = known = 0
    for page in store.pages(collection.points):
        ours = [point for point in page if isinstance(point, UUID)]
        unknown = rows.unknown_points(collection.points, ours)
        gone = delete_own(store, collection.points, unknown) if unknown else 0
        deleted, known = deleted + gone, known + len(ours) - len(unknown)
        foreign += len(page) - len(ours) + len(unknown) - gone
        on_points(known + deleted + foreign)
    # Every known point is that of one chunk, so equal counts mean that no chunk is without.
    whole = known == rows.count_chunks(collection.id, collection.points)
    return Repaired(deleted, foreign, frozenset() if whole else _damaged(rows, store, collection))


def delete_own(store: VectorStore, collection: str, points: Sequence[UUID]) -> int:
    """Delete those points that ragops itself stored for `collection`: others may live there too. Returns how many."""
    marked = store.collections_of(collection, points)
    own = [point for point in points if marked.get(point) == collection]
    if own:
        store.delete(collection, own)
    return len(own)


def _damaged(rows: DocumentStore, store: VectorStore, collection: Collection) -> frozenset[int]:
    damaged: set[int] = set()
    for page in rows.chunk_pages(collection.id):
        there = store.collections_of(collection.points, [chunk for chunk, _, _ in page])
        damaged |= {document for chunk, document, points in page if points != collection.points or chunk not in there}
    return frozenset(damaged)
