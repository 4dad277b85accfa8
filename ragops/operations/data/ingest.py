"""Collections' directories into documents, chunks and vectors: what `ragops ingest` does. Locks are the caller's."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters import audit
from ragops.adapters.qdrant.sparse import WordModel
from ragops.embedding.batch import PROBE
from ragops.embedding.spec import FORMER_STATIC_NAME
from ragops.errors import RagopsError
from ragops.ingest import rebuild as rebuilding
from ragops.ingest.collection_run import CollectionRun
from ragops.ingest.document_store import open_store
from ragops.ingest.documents import pool
from ragops.ingest.progress import Progress
from ragops.ingest.report import CollectionReport, FailedDocument, IngestReport, Refusal
from ragops.ingest.vectors import VectorStore
from ragops.operations.data.cache import invalidate_answer_cache
from ragops.operations.data.models import Models, find_models
from ragops.operations.session import Session
from ragops.services.timescaledb.collections.rows import unknown_collection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ragops.config.load import Project
    from ragops.embedding import Embedder
    from ragops.ingest.rebuild import Kept
    from ragops.ingest.rows import Collection
    from ragops.services.contract import Endpoint

__all__ = ["CollectionReport", "FailedDocument", "IngestReport", "Progress", "Refusal", "ingest"]

_LIST_SECONDS = 5.0
# What is wrong with one collection alone: the others are brought up to date all the same.
_OWN_FAULTS = frozenset(
    {
        "chunk_size_invalid",
        "collection_key_invalid",
        "collection_name_unusable",
        "counts_differ",
        "directory_empty",
        "directory_missing",
        "directory_unreadable",
        "ingest_running",
        "rebuild_empty",
        "vectors_differ",
    }
)
# How the codes of an embedder begin.
_MODEL_FAULTS = ("embedder_", "ollama_", "openai_")


def ingest(
    database: Endpoint,
    vectors: Endpoint,
    embedder: Embedder | Models,
    collections: Sequence[str],
    on_progress: Callable[[Progress], None] = lambda _progress: None,
    *,
    root: Path = Path(),
    actor: str = "",
    allow_empty: bool = False,
    rebuild: bool = False,
) -> IngestReport:
    """Bring the named collections up to date, all that are enabled if none is named.

    `embedder` makes the vectors of all of them, or is the choice that each has by its `embeddingModel`: a collection
    whose model is not among them is refused. A relative directory is relative to `root`; `actor` is noted in the jobs;
    `allow_empty` takes an empty directory at its word; `rebuild` builds each collection next to the one that is asked,
    and switches to it when it is whole. Files that cannot be read as text and collections that cannot
    be worked on are in the report. Raises UsageError (unknown_collection), UnhealthyError if a service is lost, and
    what `DocumentStore`, `VectorStore` and the embedder raise; the next run continues.
    """
    began = time.monotonic()
    words = WordModel(embedder.language) if isinstance(embedder, Models) else WordModel()
    with open_store(database) as rows, VectorStore.at(vectors) as store:
        wanted = choose(rows.collections(), collections)
        tried: set[str] = set()

        def bring_up_to_date(collection: Collection) -> CollectionReport:
            if not collection.enabled:
                return CollectionReport(collection.name, skipped=True, notes=("disabled: skipped",))
            by = actor or audit.find_user()
            try:
                chosen = embedder.open(collection.embedding_model) if isinstance(embedder, Models) else embedder
                if chosen.name not in tried:
                    chosen.embed([PROBE])  # a model that is not there is no fault of any document
                    tried.add(chosen.name)
            except RagopsError as error:
                if not isinstance(embedder, Models):
                    raise
                return _refused(collection.name, error)  # others may have another model
            run = CollectionRun(rows, store, chosen, collection, root, by, on_progress, allow_empty, words=words)
            report = _one(run, rebuild, is_one_of_many=isinstance(embedder, Models))
            if report.refused:
                tried.discard(chosen.name)
            return replace(report, notes=(*report.notes, *_suggest(embedder, chosen.name, collection.name)))

        try:
            reports = tuple(bring_up_to_date(collection) for collection in wanted)
        finally:
            pool.close()
    name = embedder.default if isinstance(embedder, Models) else embedder.name
    return IngestReport(name, reports, time.monotonic() - began)


def ingest_under_lock(
    session: Session,
    collections: Sequence[str],
    on_progress: Callable[[Progress], None],
    *,
    allow_empty: bool = False,
    rebuild: bool = False,
) -> tuple[IngestReport, bool]:
    """Ingest under the environment's lock; return the report, and whether the API's cache of answers was cleared.

    Raises LockedError, and as `Session.endpoint`, `find_models` and `ingest`.
    """
    database, vectors, models = session.endpoint("timescaledb"), session.endpoint("qdrant"), find_models(session)
    root = session.project.paths.root
    with session.changing(("ingest",)):
        report = ingest(
            database, vectors, models, collections, on_progress, root=root, allow_empty=allow_empty, rebuild=rebuild
        )
        return report, invalidate_answer_cache(session)


def drop_old(database: Endpoint, vectors: Endpoint, collections: Sequence[str]) -> dict[str, list[Kept]]:
    """Delete what rebuilds of the named collections keep, of all if none is named; return it by collection.

    Raises UsageError (unknown_collection).
    """
    with open_store(database) as rows, VectorStore.at(vectors) as store:
        chosen = choose(rows.collections(), collections)
        dropped = {one.name: rebuilding.drop_old(rows, store, one) for one in chosen}
    return {name: gone for name, gone in dropped.items() if gone}


def _suggest(embedder: Embedder | Models, name: str, collection: str) -> tuple[str, ...]:
    """Return a note on a collection that stayed with a lesser embedder when the platform's became another."""
    is_former = name == FORMER_STATIC_NAME
    is_lesser = is_former or name.startswith("hashing-")
    if not isinstance(embedder, Models) or embedder.default == name or not is_lesser:
        return ()
    choose_it = f"`ragops collection set {collection} --model {embedder.default}`"
    to = f"run {choose_it}, then `ragops ingest --rebuild {collection}`"
    if is_former:
        return (f"its vectors are made by {name}, which finds less; {to}",)
    return (f"its vectors are made by {name}, which finds shared words alone; to have it found by meaning, {to}",)


def _one(run: CollectionRun, rebuild: bool, *, is_one_of_many: bool) -> CollectionReport:
    """Return the report; `is_one_of_many`: other collections may have another model than one that fails."""
    try:
        return rebuilding.rebuild(run) if rebuild else run.run()
    except RagopsError as error:
        is_of_model = is_one_of_many and error.code.startswith(_MODEL_FAULTS)
        if error.code not in _OWN_FAULTS and not is_of_model:
            raise
        return _refused(run.collection.name, error, run.stages.total)


def _refused(name: str, error: RagopsError, seconds: float = 0.0) -> CollectionReport:
    refusal = Refusal(error.code, error.message, error.hint, error.exit_code)
    return CollectionReport(name, refused=refusal, total_seconds=seconds)


def collection_names(project: Project) -> Iterator[str]:
    """Yield the names of the collections in the database. Raises RagopsError if it cannot be asked."""
    yield from (one.name for one in read_collections(Session(project, "list collections", lambda _notice: None)))


def read_collections(session: Session) -> list[Collection]:
    """Return the collections in the database, by name. Raises RagopsError if it cannot be asked."""
    with open_store(session.endpoint("timescaledb"), statement_timeout=_LIST_SECONDS) as rows:
        return rows.collections()


def choose(known: Sequence[Collection], names: Sequence[str]) -> list[Collection]:
    """Return the collections of these names, all if none is named. Raises UsageError (unknown_collection)."""
    by_name = {collection.name: collection for collection in known}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise unknown_collection(unknown, list(by_name))
    return [collection for collection in known if not names or collection.name in names]
