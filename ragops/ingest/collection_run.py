"""One collection brought up to date, from its lock to its job row."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ragops.adapters.qdrant.sparse import WordModel
from ragops.config import collection_names
from ragops.errors import RagopsError, UsageError
from ragops.ingest import documents, split
from ragops.ingest.expected import choose_layout, estimate_points
from ragops.ingest.pipeline import Pipeline
from ragops.ingest.plan import Plan, make_plan, refuse_empty
from ragops.ingest.progress import Progress, StageTimes
from ragops.ingest.repair import Repaired, repair
from ragops.ingest.report import CollectionReport, FailedDocument, LeftOut, RefusedChunk
from ragops.ingest.stage_workers import Steps
from ragops.ingest.walk import Walk, walk_collection

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ragops.embedding import Embedder
    from ragops.ingest.document_store import DocumentStore
    from ragops.ingest.rows import Collection
    from ragops.ingest.vectors import VectorStore
    from ragops.services.qdrant.shard_layout import LayoutRules, ShardLayout


@dataclass
class CollectionRun:
    """Everything that a run on one collection needs; `root` is what a relative directory is relative to.

    `allow_empty`: a directory without files empties the collection, which else is refused. `overlapping`: as
    `Pipeline.save` has it. `words` is how words are to be weighed; a collection keeps its own way until it is built
    again. `known_points` is how many chunks it has, if it has been ingested before; `layout` is that of the collection
    of points which this run has created.
    """

    rows: DocumentStore
    store: VectorStore
    embedder: Embedder
    collection: Collection
    root: Path
    actor: str
    on_progress: Callable[[Progress], None]
    allow_empty: bool = False
    overlapping: bool = True
    words: WordModel = field(default_factory=WordModel)
    stages: StageTimes = field(default_factory=StageTimes)
    pipeline: Pipeline | None = None
    other_words: WordModel | None = None  # what a rebuild would make of it
    known_points: int = 0
    layout: ShardLayout | None = None

    def run(self) -> CollectionReport:
        """Do it under the collection's lock. Raises RagopsError; the job row has it as well."""
        self.rows.lock(self.collection)
        try:
            self.collection = self.rows.current(self.collection)  # until now another run may have switched its points
            interrupted = self.rows.end_interrupted(self.collection.id)
            job = self.rows.begin_job(self.collection, self.actor)
            try:
                report = self._work(job, interrupted)
            except BaseException as error:
                self._end_badly(job, error)
                raise
            self._end(job, report)
            return report
        finally:
            with contextlib.suppress(RagopsError):  # it ends with the connection at the latest
                self.rows.unlock(self.collection)

    # --- the steps ----------------------------------------------------------------------------------------------

    def _work(self, job: Any, interrupted: int) -> CollectionReport:
        self.pipeline = pipeline = self._pipeline()
        cut_before = _cut(self.embedder)
        with self.stages.of("upsert"):
            self.create_points()
            if self.collection.points != self.collection.name:  # it was built again; a build itself has one name
                self.store.point_alias(self.collection.alias, self.collection.points)
        is_rebuilt = self._settle_chunking(job)
        pipeline.steps.words = self.words if self.store.has_words(self.collection.points) else None
        with self.stages.of("rows"):
            repaired = repair(self.rows, self.store, self.collection, self._report_check)
        found, plan = self._plan(pipeline.steps.directory, repaired)
        pipeline.delete(plan.deleted)
        for failure in plan.failures:
            pipeline.fail(failure)
        if plan.touched:
            with self.stages.of("rows"):
                self.rows.touch(plan.touched)
        self._save(pipeline, plan)
        notes = [*self._notes(is_rebuilt, interrupted, repaired), *found.notes]
        if cut := _cut(self.embedder) - cut_before:
            what = f"{cut} chunks are longer than the context of {self.embedder.name}: it read the beginning of each"
            notes.append(f"{what}; set a smaller `chunkSize`, or a larger `context` of the model")
        return self._report(pipeline, plan, found, repaired, notes)

    def create_points(self) -> None:
        """Create the collection of points if there is none. Raises as `VectorStore.ensure` and `walk_collection`."""
        made = self.store.ensure(self.collection.points, self.embedder.dimensions, self._choose_layout)
        self.layout = made or self.layout

    def _choose_layout(self, rules: LayoutRules) -> ShardLayout:
        estimate = self.known_points
        if not estimate:
            files = walk_collection(self.collection, self.root / self.collection.directory).files
            estimate = estimate_points(self.collection, files)
        return choose_layout(rules, self.collection, estimate, self.embedder.dimensions)

    def _pipeline(self) -> Pipeline:
        wanted = self.collection
        if not collection_names.is_usable(collection_names.base(wanted.name)):
            what = f"cannot ingest into a collection {wanted.name!r}"
            raise UsageError("collection_name_unusable", what, f"choose {collection_names.RULE}")
        splitter = split.Splitter(wanted.chunk_size, wanted.chunk_overlap)
        directory = self.root / wanted.directory
        return Pipeline(self.rows, Steps(self.store, self.embedder, splitter, wanted, directory, self.stages))

    def _settle_chunking(self, job: Any) -> bool:
        """Store how chunks are made; return whether documents are to be ingested again because that changed."""
        with self.stages.of("rows"):
            before = self.rows.chunking_params(self.collection.id)
        # The build of a rebuild answers no question yet.
        is_asked = before is not None and not collection_names.is_build(self.collection.name)
        if is_asked and (kept := WordModel.read(before)) != self.words:
            self.other_words, self.words = self.words, kept
        way = {
            "collection": self.collection.points,
            "embedder": self.embedder.name,
            "dimensions": self.embedder.dimensions,
            "chunk_size": self.collection.chunk_size,
            "chunk_overlap": self.collection.chunk_overlap,
            "splitter": split.VERSION,
            "converters": documents.VERSION,
            **self.words.params,
        }
        if prefix := getattr(self.embedder, "passage_prefix", ""):
            way["passage_prefix"] = prefix
        if model := getattr(self.embedder, "model", ""):
            way["model"] = model
        with self.stages.of("rows"):
            if before is not None and "model" in way:
                before = {"model": way["model"], **before}  # earlier releases did not store it
            self.rows.store_chunking_params(job, self.collection.id, way, changed=before != way)
        return before is not None and before != way

    def _plan(self, directory: Path, repaired: Repaired) -> tuple[Walk, Plan]:
        with self.stages.of("walk"):
            found = walk_collection(self.collection, directory)
        with self.stages.of("rows"):
            documents = self.rows.documents(self.collection.id)
        if not self.allow_empty:
            refuse_empty(directory, self.collection.name, found, documents)
        with self.stages.of("walk"):
            return found, make_plan(
                directory, found, documents, repaired.documents, lambda count: self._tell("compare", count, found)
            )

    def _save(self, pipeline: Pipeline, plan: Plan) -> None:
        done, total, began = 0, len(plan.changes), self.stages.total
        size, stored = sum(change.seen.size for change in plan.changes), 0
        for count in pipeline.save(plan.changes, overlapping=self.overlapping):
            stored += sum(change.seen.size for change in plan.changes[done : done + count])
            done, now = done + count, self.stages.total
            left = (now - began) * (size - stored) / stored if stored else None
            self.on_progress(Progress(self.collection.name, "store", done, total, pipeline.chunks, now, left))

    def _report_check(self, points: int) -> None:
        self.on_progress(Progress(self.collection.name, "check", points, 0, 0, self.stages.total))

    def _tell(self, stage: str, count: int, found: Walk) -> None:
        if count % 500 == 0 or count == len(found.files):
            self.on_progress(Progress(self.collection.name, stage, count, len(found.files), 0, self.stages.total))

    # --- its report ---------------------------------------------------------------------------------------------

    def _notes(self, is_rebuilt: bool, interrupted: int, repaired: Repaired) -> list[str]:
        notes = []
        if self.layout is not None:
            expected = f"for {self.layout.expected:,} expected points"
            notes.append(f"{self.collection.points} was created with {self.layout}, {expected}")
        if interrupted:
            notes.append("an earlier run was interrupted; this one continued")
        if is_rebuilt:
            notes.append("chunking or embedder changed: all documents were ingested again")
        if repaired.points or repaired.documents:
            points, documents = repaired.points, len(repaired.documents)
            notes.append(f"repaired: {points} points without a chunk, {documents} documents without points")
        if repaired.foreign:
            notes.append(f"{repaired.foreign} points in the vector store are not of this collection; left alone")
        command = f"`ragops ingest --rebuild {self.collection.name}`"
        if not self.store.has_words(self.collection.points):
            notes.append(f"made by an earlier release: searched by vectors alone; {command} adds the search by words")
        elif self.other_words is not None:
            notes.append(_describe_words(self.words, self.other_words, command))
        if self.collection.embedding_model != self.embedder.name:
            notes.append(f"configured for {self.collection.embedding_model}, vectors made by {self.embedder.name}")
        return notes

    def _report(
        self, pipeline: Pipeline, plan: Plan, found: Walk, repaired: Repaired, notes: list[str]
    ) -> CollectionReport:
        broken = {path for path, _ in pipeline.failed} | pipeline.gone
        kept = [change for change in plan.changes if change.seen.path not in broken]
        failed = [*found.closed, *found.unusable, *pipeline.failed]
        deleted = sum(change.document is not None and change.seen.path in pipeline.gone for change in plan.changes)
        return CollectionReport(
            name=self.collection.name,
            added=sum(change.document is None for change in kept),
            changed=sum(change.document is not None and not change.moved for change in kept),
            moved=sum(change.moved for change in kept),
            deleted=len(plan.deleted) + deleted,
            unchanged=plan.unchanged + plan.out_of_reach,
            failed=tuple(FailedDocument(*pair) for pair in sorted(failed)),
            refused_chunks=tuple(RefusedChunk(*one) for one in sorted(pipeline.refused)),
            chunks=pipeline.chunks,
            points=self.store.count(self.collection.points),
            repaired=repaired.points + len(repaired.documents),
            seconds=dict(self.stages.seconds),
            total_seconds=self.stages.total,
            notes=tuple(notes),
            left_out=tuple(LeftOut(*pair) for pair in sorted(found.left_out)),
            left_out_counts=dict(sorted(found.left_out_counts.items())),
        )

    def _end(self, job: Any, report: CollectionReport) -> None:
        changed = report.added + report.changed + report.moved
        counts = (report.files, changed, report.deleted, len(report.failed), report.chunks)
        details = {
            "added": report.added,
            "changed": report.changed,
            "moved": report.moved,
            "unchanged": report.unchanged,
            "points": report.points,
            "left_out": dict(report.left_out_counts),
            "seconds": {stage: round(seconds, 3) for stage, seconds in report.seconds.items()},
        }
        self.rows.end_job(job, "done", counts, report.shortfall or None, details)

    def _end_badly(self, job: Any, error: BaseException) -> None:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        words = f"{error.code}: {error.message}" if isinstance(error, RagopsError) else type(error).__name__
        failed, chunks = (len(self.pipeline.failed), self.pipeline.chunks) if self.pipeline else (0, 0)
        with contextlib.suppress(RagopsError):  # a lost database must not hide why
            self.rows.end_job(job, status, (0, 0, 0, failed, chunks), words, {})


def _cut(embedder: Embedder) -> int:
    """Return how many texts an embedder has cut as yet; none that does not count them."""
    return int(getattr(embedder, "cut", 0))


def _describe_words(kept: WordModel, wanted: WordModel, command: str) -> str:
    """Return a note on a collection whose words are weighed in another way than new ones."""
    if kept.language != wanted.language:
        return f"its words are those of {kept.language}, as it was built; {command} makes them {wanted.language}"
    what = "its words are weighed as an earlier release did: with accents, and without parts of Chinese or Japanese"
    return f"{what}; {command} changes that"
