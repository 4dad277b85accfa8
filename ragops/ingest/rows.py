"""The rows of an ingestion: collections, documents, files as they were read, chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid5

from ragops.config import collection_names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

UNREAD = "0" * 64  # the hash of a file that could not be read: the column takes nothing less


class Collection(NamedTuple):
    """A row of rag.collections, with the defaults of the document that it came from.

    `built` is the collection of points of the last job, None before the first one.
    """

    id: int
    name: str
    directory: str
    embedding_model: str
    chunk_size: int
    chunk_overlap: int
    file_types: list[str]
    recursive: bool
    enabled: bool
    extra: Mapping[str, Any] = {}
    defaults: Mapping[str, Any] = {}
    built: str | None = None

    @property
    def points(self) -> str:
        """The collection of the vector store: another one than `name` if it was built again."""
        return self.built or self.name

    @property
    def alias(self) -> str:
        """The alias that the vector store has for the points of a collection that was built again."""
        return collection_names.alias(self.name)


class Document(NamedTuple):
    """A row of rag.documents."""

    id: int
    path: str
    sha256: str
    size: int
    modified: datetime
    status: str
    error: str | None
    indexed_at: datetime | None


class FileVersion(NamedTuple):
    """A file as it was read: what its document row has of it."""

    path: str
    sha256: str
    size: int
    modified: datetime


class ChunkRow(NamedTuple):
    """A chunk as rag.chunks takes it."""

    id: UUID
    document_id: int
    position: int
    content: str
    content_hash: str


# Changing it would make strangers of all points that were ever stored.
_NAMESPACE = UUID("6f1d7c52-3b0e-5c7a-9d5e-0a4c8b1f2e93")


def chunk_id(collection: str, path: str, position: int, content_hash: str) -> UUID:
    """Return the id that joins a row of rag.chunks and a point; NUL divides the parts because no path can hold it."""
    return uuid5(_NAMESPACE, f"{collection}\0{path}\0{position}\0{content_hash}")
