"""Documents into chunks, vectors, points and rows, a group of documents at a time, in bounded memory.

The order is what makes every step repeatable: the documents are pending, their points are stored, one transaction
replaces their rows and records that they are indexed, then points that no row has any more are deleted.
"""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.ingest.repair import delete_own
from ragops.ingest.rows import UNREAD
from ragops.ingest.stage_workers import Group, StageWorkers, Steps, Work, run_inline
from ragops.ingest.text import UnusableDocumentError
from ragops.ingest.vectors import PointsRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from uuid import UUID

    from ragops.ingest.document_store import DocumentStore
    from ragops.ingest.plan import Change, Failure
    from ragops.ingest.rows import Document
    from ragops.ingest.stage_workers import Batch

# One group is one transaction: enough to spread its cost, little enough to do again.
_GROUP_DOCUMENTS, _GROUP_BYTES = 100, 512 << 10
_AHEAD = 2  # groups that are pending and on their way while the rows of one are written
_PAGE = 1000
_NAMED = 5


class _AllRefusedError(Exception):
    """A document of which no chunk could be stored."""


@dataclass
class Pipeline:
    """The steps of one collection; counts `chunks` that were written and collects failures (path, reason).

    `refused` are chunks that the model does not take (path, position, reason): their documents are stored without them.
    `gone` are paths of files that were deleted before they were read: their documents are, too.
    """

    rows: DocumentStore
    steps: Steps
    chunks: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    refused: list[tuple[str, int, str]] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.stages, self.store, self.collection = self.steps.stages, self.steps.store, self.steps.collection

    def delete(self, documents: Sequence[Document]) -> None:
        """Delete documents whose files are gone."""
        for start in range(0, len(documents), _PAGE):
            self._delete([document.id for document in documents[start : start + _PAGE]])

    def fail(self, failure: Failure) -> None:
        """Take the chunks of a document away and note why it has none."""
        self.failed.append((failure.seen.path, failure.reason))
        if failure.known:
            return
        if failure.document is not None:
            self._strip([failure.document.id])
        with self.stages.of("rows"):
            self.rows.set_failed(self.collection.id, failure.seen, failure.reason)

    def save(self, changes: Iterable[Change], *, overlapping: bool = True) -> Iterator[int]:
        """Store the chunks of all `changes`; gives the number of documents after each group of them.

        `overlapping`: the next groups are read, embedded and stored while the rows of one are written.
        """
        with contextlib.ExitStack() as stack:
            flow = stack.enter_context(StageWorkers(self.steps)) if overlapping else None
            ahead: deque[Group] = deque()
            for changed in _groups(changes):
                group = self._mark(changed)
                if flow is not None:
                    flow.submit(group)
                ahead.append(group)
                if len(ahead) > (_AHEAD if overlapping else 0):
                    yield self._finish(flow, ahead.popleft())
            while ahead:
                yield self._finish(flow, ahead.popleft())

    # --- a group ------------------------------------------------------------------------------------------------

    def _mark(self, changed: Sequence[Change]) -> Group:
        """Make every document of the group pending; from here on it is done again until it is done."""
        added = [change.seen for change in changed if change.document is None]
        stale: list[UUID] = []
        with self.stages.of("rows"), self.rows.transaction():
            ids = self.rows.add_pending(self.collection.id, added) if added else {}
            for change in changed:
                if change.document is not None and change.moved:
                    stale += self.rows.move(change.document.id, change.seen.path)
            self.rows.set_pending([change.document.id for change in changed if change.document is not None])
        works = [Work(change.document.id if change.document else ids[change.seen.path], change) for change in changed]
        return Group(works, stale)

    def _finish(self, flow: StageWorkers | None, group: Group) -> int:
        """Write the rows of a group, then delete the points that were replaced; returns its number of documents."""
        try:
            self._replace(group, flow.finished(group) if flow else run_inline(self.steps, group))
        except (UnusableDocumentError, PointsRefusedError, _AllRefusedError) as error:
            if flow is not None:
                flow.abandon(group)
            group.stale += group.begun
            if len(group.works) == 1:
                self._give_up(group.works[0], error)
            else:  # one of them is at fault: which one shows when each goes alone
                for work in group.works:
                    self._finish(None, Group([work]))
        self._sweep(group.stale)
        return len(group.works)

    def _replace(self, group: Group, finished: Iterator[Batch]) -> None:
        """Write all rows of a group in one transaction, as its points are stored."""
        began = datetime.now(tz=UTC)
        counts, refused = Counter[int](), list[tuple[Work, int, str]]()
        with self.rows.transaction():
            with self.stages.of("rows"):
                replaced = self.rows.drop_chunks([work.id for work in group.works])
            for batch in finished:
                with self.stages.of("rows"):
                    self.rows.add_chunks(self.collection.points, batch.stored)
                refused += batch.refusals
                for chunk in batch.stored:
                    counts[chunk.document_id] += 1
            _refuse_empty(refused, counts)
            with self.stages.of("rows"):
                self.rows.set_indexed([(work.id, work.read or work.change.seen) for work in group.works], began)
                self.rows.note_refusals(_describe(refused))
        group.stale += replaced
        self.chunks += counts.total()
        self.refused += [(work.change.seen.path, position, reason) for work, position, reason in refused]

    # --- what goes away -----------------------------------------------------------------------------------------

    def _give_up(self, work: Work, error: Exception) -> None:
        """Note why a document was not stored; if it could be read, its chunks of an earlier run stay."""
        if isinstance(error, UnusableDocumentError) and error.is_gone:
            self.gone.add(work.change.seen.path)
            self._delete([work.id])
            return
        reason = f"the vector store refuses it: {error}" if isinstance(error, PointsRefusedError) else str(error)
        self.failed.append((work.change.seen.path, reason))
        before = work.change.document
        # Chunks of a pending document may be of another embedder: none rather than those.
        if isinstance(error, UnusableDocumentError) or before is None or before.status == "pending":
            self._strip([work.id])
        seen = work.change.seen
        if not (isinstance(error, UnusableDocumentError) and error.is_lasting):
            seen = seen._replace(sha256=UNREAD)  # the next run tries again
        with self.stages.of("rows"):
            self.rows.set_failed(self.collection.id, seen, reason)

    def _delete(self, documents: Sequence[int]) -> None:
        self._strip(documents)
        with self.stages.of("rows"):
            self.rows.delete_documents(documents)

    def _strip(self, documents: Sequence[int]) -> None:
        """Points first, then rows: what is taken away is not found any more even where this is interrupted."""
        while True:
            with self.stages.of("rows"):
                page = self.rows.chunk_page(documents)
            if not page:
                return
            with self.stages.of("upsert"):
                self.store.delete(self.collection.points, page)
            with self.stages.of("rows"):
                self.rows.delete_chunks(page)

    def _sweep(self, stale: Sequence[UUID]) -> None:
        """Delete points that were replaced, except those that a chunk has (again)."""
        for start in range(0, len(stale), _PAGE):
            with self.stages.of("rows"):
                unknown = self.rows.unknown_points(self.collection.points, stale[start : start + _PAGE])
            with self.stages.of("upsert"):
                if unknown:
                    delete_own(self.store, self.collection.points, unknown)


def _refuse_empty(refused: Sequence[tuple[Work, int, str]], counts: Mapping[int, int]) -> None:
    """Raise _AllRefusedError if the model refused all chunks of a document: what it had before is worth more."""
    for work, _position, reason in refused:
        if not counts[work.id]:
            raise _AllRefusedError(f"the embedder refuses every chunk of it: {reason}")


def _describe(refused: Sequence[tuple[Work, int, str]]) -> list[tuple[int, str]]:
    """Return what the row of each document has of its chunks that were refused."""
    texts: dict[int, list[str]] = defaultdict(list)
    for work, position, reason in refused:
        texts[work.id].append(f"chunk {position} was refused: {reason}")
    return [(document, "; ".join(found[:_NAMED])) for document, found in texts.items()]


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
