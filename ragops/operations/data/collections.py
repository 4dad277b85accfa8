"""Collections as things: list, show, create, set, remove. Locks and audit are the caller's."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ragops.errors import RagopsError
from ragops.ingest import rebuild
from ragops.ingest.document_store import open_store
from ragops.ingest.expected import choose_layout, estimate_points
from ragops.ingest.rows import Collection
from ragops.ingest.vectors import VectorStore
from ragops.ingest.walk import walk_collection
from ragops.services.qdrant.shard_layout import LayoutRules
from ragops.services.timescaledb.collections import rows as collection_rows
from ragops.services.timescaledb.collections.rows import CollectionRow
from ragops.services.timescaledb.roles import log_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ragops.adapters.postgres import Connection
    from ragops.ingest.vectors import FoundLayout
    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.shard_layout import ShardLayout

__all__ = [
    "CollectionDetails",
    "CollectionRow",
    "RemovedCollection",
    "create",
    "expected_layout",
    "list_all",
    "remove",
    "set_values",
    "show",
]

_SECONDS = 60


@dataclass(frozen=True)
class CollectionDetails:
    """One collection; `points` are those of the vector store by its collections, None if it has no such one.

    `chunks` are the database's counts by collection of points: they are the same if all can be found. `layouts` are
    those of a cluster, by collection of points.
    """

    row: CollectionRow
    chunks: Mapping[str, int]
    points: Mapping[str, int | None]
    layouts: Mapping[str, FoundLayout] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether every chunk has its point, and there is nothing else."""
        return all((self.points.get(name) or 0) == count for name, count in self.chunks.items())


@dataclass(frozen=True)
class RemovedCollection:
    """What a removal took: rows of documents, and the collections of points with their numbers."""

    name: str
    documents: int
    points: Mapping[str, int]
    source: str


def list_all(database: Endpoint) -> tuple[CollectionRow, ...]:
    """Return every collection by name. Raises RagopsError if the database cannot be asked."""
    with _log_in(database) as connection:
        return tuple(collection_rows.list_rows(connection))


def show(database: Endpoint, vectors: Endpoint, name: str) -> CollectionDetails:
    """Return one collection with its counts in both stores. Raises UsageError (unknown_collection)."""
    with _log_in(database) as connection, VectorStore.at(vectors) as store:
        return _details(connection, store, name)


def create(database: Endpoint, name: str, values: Mapping[str, Any], actor: str) -> CollectionRow:
    """Make a collection; nothing is read until it is ingested. `values` by key of collections-config.json.

    Raises UsageError (collection_name_unusable, collection_exists), InvalidInputError (collection_invalid).
    """
    collection_rows.require_usable(name)
    with _log_in(database) as connection:
        collection_rows.insert(connection, name, values, actor)
        return _row(connection, name)


def expected_layout(vectors: Endpoint, row: CollectionRow, root: Path, numbers: int) -> ShardLayout | None:
    """Return the layout that the first ingest would choose for vectors of so many `numbers`.

    None outside of a cluster, and if the directory cannot be read yet.
    """
    rules = LayoutRules.of(vectors)
    if rules is None:
        return None
    collection = Collection(
        0, row.name, row.directory, row.embedding_model, row.chunk_size, row.chunk_overlap, [*row.file_types],
        row.recursive, row.enabled, row.extra, row.defaults,
    )  # fmt: skip
    with contextlib.suppress(RagopsError):
        files = walk_collection(collection, root / row.directory).files
        return choose_layout(rules, collection, estimate_points(collection, files), numbers)
    return None


def set_values(database: Endpoint, name: str, values: Mapping[str, Any], actor: str) -> CollectionRow:
    """Change a collection; the next ingest follows. Raises UsageError (unknown_collection), InvalidInputError."""
    with _log_in(database) as connection:
        collection_rows.update(connection, _row(connection, name), values, actor)
        return _row(connection, name)


def remove(database: Endpoint, vectors: Endpoint, name: str, actor: str) -> RemovedCollection:
    """Remove a collection with its points and rows; a removal that was interrupted is continued by the next one.

    The row of the collection goes last, so that it can be named until all else is gone. Its files stay, and so do
    recovery points. Raises UsageError (unknown_collection).
    """
    with _log_in(database) as connection, VectorStore.at(vectors) as store:
        before = _details(connection, store, name)
        if before.row.enabled:  # no ingest may bring back what is being removed
            collection_rows.update(connection, before.row, {"enabled": False}, actor)
        with open_store(database) as rows:
            kept = [*rebuild.kept(rows, name), *rebuild.find_unlisted(rows, store, name)]
            for points in {name, *before.points, *(one.points for one in kept)}:
                store.drop(points)
            for one in kept:
                rows.drop_generation(one.name)
        documents = collection_rows.delete(connection, name, actor)
    gone = {points: count for points, count in before.points.items() if count is not None}
    return RemovedCollection(name, documents, gone, before.row.source)


def _details(connection: Connection, store: VectorStore, name: str) -> CollectionDetails:
    row = _row(connection, name)
    chunks = collection_rows.count_chunks(connection, name)
    points = {found: store.count_if_there(found) for found in chunks or (name,)}
    found = {name: store.layout(name) for name in points}
    return CollectionDetails(row, chunks, points, {name: one for name, one in found.items() if one})


def _row(connection: Connection, name: str) -> CollectionRow:
    rows = collection_rows.list_rows(connection, [name])
    if rows:
        return rows[0]
    raise collection_rows.unknown_collection([name], [row.name for row in collection_rows.list_rows(connection)])


def _log_in(database: Endpoint) -> Connection:
    return log_in(database, role="application", application_name="ragops-collection", limit=_SECONDS)
