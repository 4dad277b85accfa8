"""The way of chunks from files to the vector store: read, embedded, stored, each step in threads of its own.

Groups of documents go in one behind the other, and their batches come out in the same order. Only so many batches are
on their way at once, so that the memory is bounded: who reads waits until who writes the rows has taken one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha256
from queue import SimpleQueue
from typing import TYPE_CHECKING, Self

from ragops.embedding.batch import FATAL, RejectedText, embed_batch
from ragops.errors import RagopsError
from ragops.ingest.context import lead_of, path_words, with_context
from ragops.ingest.headings import Headings
from ragops.ingest.rows import ChunkRow, FileVersion, chunk_id
from ragops.ingest.text import TextFile, UnusableDocumentError
from ragops.ingest.vectors import Point, PointsRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from uuid import UUID

    from ragops.adapters.qdrant.sparse import WordModel, WordText
    from ragops.embedding import Embedder
    from ragops.ingest.plan import Change
    from ragops.ingest.progress import StageTimes
    from ragops.ingest.rows import Collection
    from ragops.ingest.split import Splitter
    from ragops.ingest.vectors import VectorStore

# One batch is one request: enough to spread its cost, little enough to hold.
_BATCH_CHUNKS, _BATCH_CHARACTERS = 256, 512 << 10
_BATCHES = 6  # on their way at once
_STORING = 2  # requests to the vector store at once: it waits for its replicas
_END_SECONDS = 5.0


@dataclass
class Work:
    """A document on its way; `read` is the file as it was when its chunks were made, `metadata` its title and more.

    `lead` is its beginning.
    """

    id: int
    change: Change
    read: FileVersion | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    headings: dict[int, str] = field(default_factory=dict)  # by the position of the chunk
    lead: str = ""


@dataclass
class Batch:
    """Chunks with their documents; `refused` has reasons by place in `chunks`, `error` is what stopped the batch."""

    chunks: list[tuple[ChunkRow, Work]]
    points: list[Point] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def stored(self) -> list[ChunkRow]:
        """The chunks that have a point."""
        return [chunk for place, (chunk, _) in enumerate(self.chunks) if place not in self.refused]

    @property
    def refusals(self) -> list[tuple[Work, int, str]]:
        """The chunks that the model refused: document, position in it, reason."""
        return [(self.chunks[place][1], self.chunks[place][0].position, why) for place, why in self.refused.items()]


@dataclass
class Steps:
    """What is done with the documents of one collection on the way; raises nothing but what its parts raise.

    `words` makes the sparse vectors of chunks; None: the collection has none.
    """

    store: VectorStore
    embedder: Embedder
    splitter: Splitter
    collection: Collection
    directory: Path
    stages: StageTimes
    words: WordModel | None = None

    def read(self, works: Sequence[Work]) -> Iterator[Batch]:
        """Split documents into batches. Raises UnusableDocumentError."""
        return _batches(self.stages.each("split", self._chunks(works)))

    def embed(self, batch: Batch) -> None:
        """Make the points of a batch."""
        with self.stages.of("embed"):
            titles = [path_words(work.change.seen.path) for _, work in batch.chunks]
            found = embed_batch(self.embedder, [chunk.content for chunk, _ in batch.chunks], titles)
        for place, ((chunk, work), vector) in enumerate(zip(batch.chunks, found, strict=True)):
            if isinstance(vector, RejectedText):
                batch.refused[place] = vector.reason
            else:
                batch.points.append(Point(chunk.id, vector, self._payload(chunk, work), self._words(chunk, work)))

    def upsert(self, batch: Batch) -> None:
        """Store the points of a batch, which lets go of them. Raises PointsRefusedError."""
        points, batch.points = batch.points, []
        if not points:
            return
        try:
            with self.stages.of("upsert"):
                self.store.upsert(self.collection.points, points)
        except (*FATAL, PointsRefusedError):
            raise
        except RagopsError as error:
            raise PointsRefusedError(error.code, error.message, error.hint) from error

    def _chunks(self, works: Sequence[Work]) -> Iterator[tuple[ChunkRow, Work]]:
        for work in works:
            path = work.change.seen.path
            file = TextFile(self.directory / path)
            # The splitter goes by the ending; a converted document has headings of Markdown.
            name = f"{path}.md" if file.is_markdown else path
            headings = Headings() if file.is_markdown else None
            for position, content in enumerate(self.splitter.chunks(name, file)):
                work.metadata = file.metadata
                if position == 0:
                    work.lead = lead_of(content)
                if heading := headings.at(content) if headings else "":
                    work.headings[position] = heading
                content_hash = sha256(content.encode()).hexdigest()
                id = chunk_id(self.collection.points, path, position, content_hash)
                yield ChunkRow(id, work.id, position, content, content_hash), work
            work.read = FileVersion(path, file.sha256, file.size, file.modified or work.change.seen.modified)

    def _words(self, chunk: ChunkRow, work: Work) -> WordText | None:
        """Return what a chunk is found by: its text, below the names on its path and the beginning of its document."""
        if self.words is None:
            return None
        lead = work.lead if chunk.position else ""
        text = with_context(chunk.content, path_words(work.change.seen.path), lead)
        return self.words.of_passage(text, self.collection.chunk_size)

    def _payload(self, chunk: ChunkRow, work: Work) -> dict[str, object]:
        return {
            "document_id": chunk.document_id,
            "path": work.change.seen.path,
            "position": chunk.position,
            "text": chunk.content,
            "collection": self.collection.points,
            "content_hash": chunk.content_hash,
            **({"heading": work.headings[chunk.position]} if chunk.position in work.headings else {}),
            **({"metadata": dict(work.metadata)} if work.metadata else {}),
        }


class Group:
    """Documents on their way together; `stale` are points of chunks that were taken away when the group began."""

    def __init__(self, works: Sequence[Work], stale: Sequence[UUID] = ()) -> None:
        self.works = works
        self.stale = list(stale)
        self.begun: list[UUID] = []  # points that may be stored by now
        self.abandoned = self.ended = False
        self.coming: SimpleQueue[Batch | BaseException | None] = SimpleQueue()


class StageWorkers:
    """Takes groups by `submit`, gives their batches back by `finished`; its threads end with the block."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._stopped = False
        self._slots = threading.Semaphore(_BATCHES)
        self._groups: SimpleQueue[Group | None] = SimpleQueue()
        self._read: SimpleQueue[tuple[Group, Batch] | None] = SimpleQueue()
        self._embedded: SimpleQueue[tuple[Group, Batch] | None] = SimpleQueue()
        # An interrupted run does not wait for a server that does not answer: so they are daemons.
        targets = (self._read_groups, self._embed_batches, *[self._store_batches] * _STORING)
        self._threads = [threading.Thread(target=target, name="ragops-ingest", daemon=True) for target in targets]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped = True
        self._groups.put(None)
        self._slots.release()  # for who waits to read on
        end = time.monotonic() + _END_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def submit(self, group: Group) -> None:
        """Begin with a group when those that were submitted before have been read."""
        self._groups.put(group)

    def finished(self, group: Group) -> Iterator[Batch]:
        """Yield the batches of a group as they are stored. Raises what a step raised with one of them."""
        for batch in self._coming(group):
            if batch.error is not None:
                raise batch.error
            yield batch

    def abandon(self, group: Group) -> None:
        """Stop working on a group; returns when nothing of it is on its way any more."""
        group.abandoned = True
        with contextlib.suppress(UnusableDocumentError):
            for _ in self._coming(group):
                pass

    def _coming(self, group: Group) -> Iterator[Batch]:
        while not group.ended:
            coming = group.coming.get()
            if isinstance(coming, Batch):
                coming.done.wait()
                self._slots.release()
                group.begun += [chunk.id for chunk, _ in coming.chunks]
                yield coming
                continue
            group.ended = True
            if coming is not None:
                raise coming

    # --- threads ------------------------------------------------------------------------------------------------

    def _read_groups(self) -> None:
        while (group := self._groups.get()) is not None and not self._stopped:
            end: BaseException | None = None
            try:
                for batch in self._steps.read(group.works):
                    self._slots.acquire()
                    if self._stopped or group.abandoned:
                        self._slots.release()
                        break
                    group.coming.put(batch)
                    self._read.put((group, batch))
            except Exception as error:
                end = error
            group.coming.put(end)
        self._read.put(None)

    def _embed_batches(self) -> None:
        self._work(self._read, self._steps.embed, lambda item: self._embedded.put(item))
        for _ in range(_STORING):
            self._embedded.put(None)

    def _store_batches(self) -> None:
        self._work(self._embedded, self._steps.upsert, lambda item: item[1].done.set())

    def _work(
        self,
        queue: SimpleQueue[tuple[Group, Batch] | None],
        step: Callable[[Batch], None],
        hand_on: Callable[[tuple[Group, Batch]], None],
    ) -> None:
        while (item := queue.get()) is not None:
            group, batch = item
            if not (self._stopped or group.abandoned or batch.error):
                try:
                    step(batch)
                except BaseException as error:
                    batch.error = error
            hand_on(item)


def run_inline(steps: Steps, group: Group) -> Iterator[Batch]:
    """Yield the batches of a group, one step after the other in this thread. Raises what a step raises."""
    for batch in steps.read(group.works):
        group.begun += [chunk.id for chunk, _ in batch.chunks]
        steps.embed(batch)
        steps.upsert(batch)
        yield batch


def _batches(chunks: Iterable[tuple[ChunkRow, Work]]) -> Iterator[Batch]:
    batch: list[tuple[ChunkRow, Work]] = []
    size = 0
    for item in chunks:
        if batch and (len(batch) == _BATCH_CHUNKS or size + len(item[0].content) > _BATCH_CHARACTERS):
            yield Batch(batch)
            batch, size = [], 0
        batch.append(item)
        size += len(item[0].content)
    if batch:
        yield Batch(batch)
