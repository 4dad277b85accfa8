"""Documents into chunks, vectors, points and rows, a group of documents at a time, in bounded memory.

The order is what makes every step repeatable: the documents are pending, their points are stored, one transaction
replaces their rows and says that they are indexed, then points that no row has any more are deleted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from ragops.errors import LockedError, MissingError, RagopsError, UnhealthyError
from ragops.ingest.ids import chunk_id
from ragops.ingest.repair import delete_own
from ragops.ingest.rows import UNREAD, ChunkRow, FileVersion
from ragops.ingest.text import TextFile, UnusableDocumentError
from ragops.ingest.vectors import Point, PointsRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from uuid import UUID

    from ragops.embedding import Embedder
    from ragops.ingest.document_store import DocumentStore
    from ragops.ingest.plan import Change, Failure
    from ragops.ingest.rows import Collection, Document
    from ragops.ingest.split import Splitter
    from ragops.ingest.stages import Stages
    from ragops.ingest.vectors import VectorStore

# One group is one transaction, one batch is one request: enough to spread their cost, little enough to hold.
_GROUP_DOCUMENTS, _GROUP_BYTES = 100, 512 << 10
_BATCH_CHUNKS, _BATCH_CHARACTERS = 128, 512 << 10
_PAGE = 1000
# These mean that nothing would go better with the next document.
_FATAL = (UnhealthyError, MissingError, LockedError)


@dataclass
class _Work:
    """A document on its way; `read` is the file as it was when its chunks were made."""

    id: int
    change: Change
    read: FileVersion | None = None


@dataclass
class Pipeline:
    """The steps of one collection; counts `chunks` that were written and collects failures (path, reason)."""

    rows: DocumentStore
    store: VectorStore
    embedder: Embedder
    splitter: Splitter
    collection: Collection
    directory: Path
    stages: Stages
    chunks: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    _stale: list[UUID] = field(default_factory=list)

    def delete(self, documents: Sequence[Document]) -> None:
        """Delete documents whose files are gone."""
        for start in range(0, len(documents), _PAGE):
            ids = [document.id for document in documents[start : start + _PAGE]]
            self._strip(ids)
            with self.stages.of("rows"):
                self.rows.delete_documents(ids)

    def fail(self, failure: Failure) -> None:
        """Take the chunks of a document away and note why it has none."""
        self.failed.append((failure.seen.path, failure.reason))
        if failure.known:
            return
        if failure.document is not None:
            self._strip([failure.document.id])
        with self.stages.of("rows"):
            self.rows.set_failed(self.collection.id, failure.seen, failure.reason)

    def save(self, changes: Iterable[Change]) -> Iterator[int]:
        """Store the chunks of all `changes`; gives the number of documents after each group of them."""
        for group in _groups(changes):
            self._save(self._mark(group))
            self._sweep()
            yield len(group)

    # --- a group ------------------------------------------------------------------------------------------------

    def _mark(self, group: Sequence[Change]) -> list[_Work]:
        """Make every document of the group pending; from here on it is done again until it is done."""
        added = [change.seen for change in group if change.document is None]
        with self.stages.of("rows"), self.rows.transaction():
            ids = self.rows.add_pending(self.collection.id, added) if added else {}
            for change in group:
                if change.document is not None and change.moved:
                    self._stale += self.rows.move(change.document.id, change.seen.path)
            self.rows.set_pending([change.document.id for change in group if change.document is not None])
        return [_Work(change.document.id if change.document else ids[change.seen.path], change) for change in group]

    def _save(self, works: Sequence[_Work]) -> None:
        stored: list[UUID] = []
        try:
            replaced = self._replace(works, stored)
        except UnusableDocumentError as error:
            self._stale += stored
            if len(works) > 1:  # one of them is at fault: which one shows when each goes alone
                for work in works:
                    self._save([work])
            else:
                self._give_up(works[0], str(error))
            return
        self._stale += replaced
        self.chunks += len(stored)

    def _replace(self, works: Sequence[_Work], stored: list[UUID]) -> list[UUID]:
        """Points, then rows, all rows in one transaction; returns the ids that were replaced."""
        began = datetime.now(tz=UTC)
        with self.rows.transaction():
            with self.stages.of("rows"):
                replaced = self.rows.drop_chunks([work.id for work in works])
            for batch in _batches(self.stages.each("split", self._chunks(works))):
                self._upsert([chunk for chunk, _ in batch], [path for _, path in batch])
                stored += [chunk.id for chunk, _ in batch]
                with self.stages.of("rows"):
                    self.rows.add_chunks(self.collection.name, (chunk for chunk, _ in batch))
            with self.stages.of("rows"):
                self.rows.set_indexed([(work.id, work.read or work.change.seen) for work in works], began)
        return replaced

    def _chunks(self, works: Sequence[_Work]) -> Iterator[tuple[ChunkRow, str]]:
        for work in works:
            path = work.change.seen.path
            file = TextFile(self.directory / path)
            for position, content in enumerate(self.splitter.chunks(path, file)):
                content_hash = sha256(content.encode()).hexdigest()
                id = chunk_id(self.collection.name, path, position, content_hash)
                yield ChunkRow(id, work.id, position, content, content_hash), path
            work.read = FileVersion(path, file.sha256, file.size, file.modified or work.change.seen.modified)

    def _upsert(self, chunks: Sequence[ChunkRow], paths: Sequence[str]) -> None:
        try:
            with self.stages.of("embed"):
                vectors = self.embedder.embed([chunk.content for chunk in chunks])
            points = [
                Point(chunk.id, vector, self._payload(chunk, path))
                for chunk, vector, path in zip(chunks, vectors, paths, strict=True)
            ]
            with self.stages.of("upsert"):
                self.store.upsert(self.collection.name, points)
        except _FATAL:
            raise
        except PointsRefusedError as error:
            raise UnusableDocumentError(f"the vector store refuses it: {error.message}") from error
        except RagopsError as error:
            raise UnusableDocumentError(error.message) from error

    def _payload(self, chunk: ChunkRow, path: str) -> dict[str, object]:
        return {
            "document_id": chunk.document_id,
            "path": path,
            "position": chunk.position,
            "text": chunk.content,
            "collection": self.collection.name,
            "content_hash": chunk.content_hash,
        }

    # --- what goes away -----------------------------------------------------------------------------------------

    def _give_up(self, work: _Work, reason: str) -> None:
        self.failed.append((work.change.seen.path, reason))
        self._strip([work.id])
        seen = work.change.seen._replace(sha256=UNREAD)
        with self.stages.of("rows"):
            self.rows.set_failed(self.collection.id, seen, reason)

    def _strip(self, documents: Sequence[int]) -> None:
        """Points first, then rows: what is taken away is not found any more even where this is interrupted."""
        while True:
            with self.stages.of("rows"):
                page = self.rows.chunk_page(documents)
            if not page:
                return
            with self.stages.of("upsert"):
                self.store.delete(self.collection.name, page)
            with self.stages.of("rows"):
                self.rows.delete_chunks(page)

    def _sweep(self) -> None:
        """Delete points that were replaced, except those that a chunk has (again)."""
        stale, self._stale = self._stale, []
        for start in range(0, len(stale), _PAGE):
            with self.stages.of("rows"):
                unknown = self.rows.unknown_points(self.collection.name, stale[start : start + _PAGE])
            with self.stages.of("upsert"):
                if unknown:
                    delete_own(self.store, self.collection.name, unknown)


def _groups(changes: Iterable[Change]) -> Iterator[list[Change]]:
    group: list[Change] = []
    size = 0
    for change in changes:
        if group and (len(group) == _GROUP_DOCUMENTS or size + change.seen.size > _GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(change)
        size += change.seen.size
    if group:
        yield group


def _batches(chunks: Iterable[tuple[ChunkRow, str]]) -> Iterator[list[tuple[ChunkRow, str]]]:
    batch: list[tuple[ChunkRow, str]] = []
    size = 0
    for item in chunks:
        if batch and (len(batch) == _BATCH_CHUNKS or size + len(item[0].content) > _BATCH_CHARACTERS):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += len(item[0].content)
    if batch:
        yield batch
