"""`ragops cluster reshard`: a collection built next to itself with other shards, without embedding anything again.

The points are copied into a collection `NAME@N` of the vector store. When both are equal one transaction of the
database has the chunks be there, from when on ingest and API take it; then its alias follows. No ingest works on the
collection until then. The progress is in the details of the run's job, so that the next run continues.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ragops.adapters.audit import find_user
from ragops.adapters.progress import Progress, report
from ragops.config import collection_names
from ragops.errors import InterruptedRunError, RagopsError, UsageError
from ragops.ingest import rebuild
from ragops.ingest.document_store import open_store
from ragops.ingest.expected import choose_layout
from ragops.ingest.vectors import VectorStore
from ragops.operations.cluster.status import open_cluster
from ragops.operations.data.cache import invalidate_answer_cache
from ragops.operations.data.ingest import choose
from ragops.services.backup_checks import need_space
from ragops.services.qdrant.cluster.collection_copy import open_copies
from ragops.services.qdrant.shard_layout import LayoutRules, layout_of, numbers_of

if TYPE_CHECKING:
    from datetime import datetime

    from ragops.ingest.document_store import DocumentStore
    from ragops.ingest.rows import Collection
    from ragops.operations.session import Session
    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.cluster.collection_copy import CollectionCopy
    from ragops.services.qdrant.cluster.nodes import Nodes
    from ragops.services.qdrant.shard_layout import ShardLayout

DEFAULT_RATE = 2000.0  # points a second
_STATEMENT_SECONDS = 3600.0  # the switch changes a row for each chunk
_KEY = "reshard"  # of the details of jobs
_NOTE_SECONDS = 1.0
_GROWTH = 1.5  # of the bytes of points, for indexes and segments that are merged


@dataclass(frozen=True)
class ReshardRequest:
    """What is asked for: the number of `shards`, None for the default's; `copies` of each, None for the default's.

    `rate` is the most points that are copied in a second, 0 for no limit.
    """

    collection: str
    shards: int | None = None
    copies: int | None = None
    rate: float = DEFAULT_RATE


@dataclass(frozen=True)
class ReshardPlan:
    """What a reshard would do; `resumed` is the number of points that an interrupted one has copied already."""

    collection: str
    source: str
    target: str
    before: ShardLayout
    after: ShardLayout
    points: int
    resumed: int = 0

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return (self.before.shards, self.before.copies) != (self.after.shards, self.after.copies)


@dataclass(frozen=True)
class ReshardResult:
    """A reshard that was carried out; `sha256` is that of the ids of all points, the same before and after."""

    plan: ReshardPlan
    points: int
    sha256: str
    seconds: float
    cache_cleared: bool


@dataclass
class _Journal:
    """The progress of a copy, as the job has it: `after` is the id of the next point to copy, `jobs` counts others."""

    source: str
    target: str
    shards: int
    copies: int
    jobs: int
    copied: int = 0
    after: str | int | None = None
    noted: float = field(default=0.0, compare=False)

    def values(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "noted"}

    @property
    def start(self) -> UUID | int | None:
        return UUID(self.after) if isinstance(self.after, str) else self.after


def plan(session: Session, request: ReshardRequest) -> ReshardPlan:
    """Return what a reshard would do. Raises as `reshard`; nothing is changed."""
    with open_cluster(session) as (endpoint, nodes), _open_rows(session) as rows, VectorStore.at(endpoint) as store:
        return _Run(session, request, endpoint, nodes, rows, store, _find(rows, request)).plan()


def reshard(session: Session, request: ReshardRequest) -> ReshardResult | ReshardPlan:
    """Rebuild the collection with other shards and switch to it; the plan is returned if there is nothing to do.

    A run that was interrupted has changed nothing that is asked, and is continued by the next one. What was there
    before stays until `ragops ingest --drop-old`. Raises UsageError (not_a_cluster, unknown_collection, not_ingested,
    copies_invalid, custom_sharding), LockedError, UnhealthyError (qdrant_node_down), IntegrityError (points_differ,
    counts_differ), MissingError (disk_full).
    """
    with session.changing(("ingest",)), open_cluster(session) as (endpoint, nodes), _open_rows(session) as rows:
        nodes.require_all(f"a reshard of {request.collection}")
        with VectorStore.at(endpoint) as store:
            live = _find(rows, request)
            rows.lock(live)
            try:
                return _Run(session, request, endpoint, nodes, rows, store, rows.current(live)).run()
            finally:
                with contextlib.suppress(RagopsError):  # it ends with the connection at the latest
                    rows.unlock(live)


def _open_rows(session: Session) -> contextlib.AbstractContextManager[DocumentStore]:
    return open_store(session.endpoint("timescaledb"), statement_timeout=_STATEMENT_SECONDS)


def _find(rows: DocumentStore, request: ReshardRequest) -> Collection:
    return choose(rows.collections(), [request.collection])[0]


@dataclass
class _Run:
    session: Session
    request: ReshardRequest
    endpoint: Endpoint
    nodes: Nodes
    rows: DocumentStore
    store: VectorStore
    live: Collection

    def plan(self) -> ReshardPlan:
        """Compare the layout with the one that is asked for, and find what an interrupted run has left."""
        points = self.store.count_if_there(self.live.points)
        if points is None:
            what = f"cannot reshard {self.live.name}: it has no points yet"
            hint = f"run `ragops collection set {self.live.name} --shards N`, then `ragops ingest {self.live.name}`"
            raise UsageError("not_ingested", what, hint)
        info = self.nodes.first.collection(self.live.points)
        before = layout_of(info)
        after = self._choose(points, numbers_of(info))
        found = self._interrupted(after)
        target = found.target if found else self._next_name()
        copied = found.copied if found and self._is_trusted(found) else 0
        return ReshardPlan(self.live.name, self.live.points, target, before, after, points, copied)

    def run(self) -> ReshardResult | ReshardPlan:
        """Do it under the collection's lock."""
        began = time.monotonic()
        if self.live.points != self.live.name:  # an earlier run may have been killed right after its switch
            self.store.point_alias(self.live.alias, self.live.points)
        wanted = self.plan()
        if not wanted.changes:
            return wanted
        self._drop_given_up(wanted)
        self.rows.end_interrupted(self.live.id)
        journal = self._begin_journal(wanted)
        with self.rows.transaction():  # a job without its progress would count as an ingest
            job = self.rows.begin_job(self.live, find_user())
            self.rows.store_detail(job, _KEY, journal.values())
        try:
            points, sha256 = self._build(wanted, journal, job)
            self._switch(wanted, job)
        except BaseException as error:
            self._end_badly(job, error)
            raise
        refreshed = invalidate_answer_cache(self.session)
        return ReshardResult(wanted, points, sha256, time.monotonic() - began, refreshed)

    # --- the steps ----------------------------------------------------------------------------------------------

    def _choose(self, points: int, numbers: int) -> ShardLayout:
        rules = LayoutRules.of(self.endpoint)
        if rules is None:  # open_cluster has refused it
            raise AssertionError("unreachable")
        if self.request.copies is not None and self.request.copies > rules.nodes:
            what = f"cannot reshard {self.live.name}: {self.request.copies} copies need as many nodes"
            raise UsageError("copies_invalid", f"{what}, there are {rules.nodes}", "take fewer copies, or add nodes")
        rules = replace(rules, copies=self.request.copies or rules.copies)
        if self.request.shards is None:
            return choose_layout(rules, self.live, points, numbers)
        return rules.choose(points, numbers, self.request.shards)

    def _interrupted(self, wanted: ShardLayout) -> _Journal | None:
        """Return the progress of an interrupted run with the same aim."""
        journal = self._journal()
        if journal is None or (journal.shards, journal.copies) != (wanted.shards, wanted.copies):
            return None
        return journal

    def _journal(self) -> _Journal | None:
        """Return the progress of the last run if it did not come to its end, and its copy was taken by no rebuild."""
        noted = self.rows.newest_detail(self.live.id, _KEY)
        if not noted:
            return None
        journal = _Journal(**noted)
        is_taken = any(one.points == journal.target for one in rebuild.kept(self.rows, self.live.name))
        return None if journal.source != self.live.points or is_taken else journal

    def _is_trusted(self, journal: _Journal) -> bool:
        """Return whether what was copied is still what it was copied from: no ingest has run since."""
        is_there = self.store.count_if_there(journal.target) is not None
        return is_there and self.rows.count_jobs_without(self.live.id, _KEY) == journal.jobs

    def _next_name(self) -> str:
        """Return the name of a copy that neither a collection of points nor a row has."""
        name = self.live.name
        taken = [self.live.points, *self.store.names(), *(one.points for one in rebuild.kept(self.rows, name))]
        numbers = [collection_names.build_number(points, name) or 1 for points in taken]
        return collection_names.build_name(name, max(numbers) + 1)

    def _drop_given_up(self, wanted: ReshardPlan) -> None:
        """Delete the copy of an interrupted run that had another aim."""
        journal = self._journal()
        if journal is not None and journal.target != wanted.target:
            self.store.drop(journal.target)

    def _begin_journal(self, wanted: ReshardPlan) -> _Journal:
        if wanted.resumed and (found := self._interrupted(wanted.after)):
            return found
        jobs = self.rows.count_jobs_without(self.live.id, _KEY)
        return _Journal(wanted.source, wanted.target, wanted.after.shards, wanted.after.copies, jobs)

    def _build(self, wanted: ReshardPlan, journal: _Journal, job: tuple[UUID, datetime]) -> tuple[int, str]:
        """Make the copy, continue what there is of it; return its points and the digest of their ids."""
        with open_copies(self.endpoint, self.nodes) as make:
            copy = make(wanted.source, wanted.target, wanted.after)
            copy.create()
            self._fill(copy, wanted, journal, job)
            digest = copy.require_equal()
            copy.settle()
            copy.require_counts()
        return digest.points, digest.sha256

    def _fill(self, copy: CollectionCopy, wanted: ReshardPlan, journal: _Journal, job: tuple[UUID, datetime]) -> None:
        is_measured = False

        def on_page(page: Any) -> None:
            nonlocal is_measured
            if not is_measured:
                self._need_space(wanted, journal.copied, page)
            is_measured = True
            journal.copied += page.points
            journal.after = str(page.next) if isinstance(page.next, UUID) else page.next
            done = min(journal.copied, wanted.points)
            report(Progress("qdrant", f"{wanted.target}: {done:,} of {wanted.points:,} points are copied"))
            if time.monotonic() - journal.noted > _NOTE_SECONDS or page.next is None:
                journal.noted = time.monotonic()
                self.rows.store_detail(job, _KEY, journal.values())

        if journal.copied and journal.after is None:  # all was copied; what differs is found by the comparison
            return
        copy.fill(journal.start, self.request.rate, on_page)

    def _need_space(self, wanted: ReshardPlan, copied: int, page: Any) -> None:
        """Raise MissingError (disk_full) if what is left to copy does not fit next to the data."""
        if page.points:
            left = max(wanted.points - copied, 0)
            needed = int(left * page.size / page.points * _GROWTH * wanted.after.copies)
            free = self.session.host.control(self.endpoint).free_bytes()
            need_space(f"reshard {wanted.collection}", "next to its data", free, needed)

    def _switch(self, wanted: ReshardPlan, job: tuple[UUID, datetime]) -> None:
        """Have all take the copy; what was there before is kept below a row of its own."""
        number = collection_names.build_number(wanted.source, self.live.name) or 1
        self.rows.switch_points(self.live, wanted.target, collection_names.build_name(self.live.name, number), job)
        self.store.point_alias(self.live.alias, wanted.target)

    def _end_badly(self, job: tuple[UUID, datetime], error: BaseException) -> None:
        is_interrupted = isinstance(error, KeyboardInterrupt | InterruptedRunError)
        words = f"{error.code}: {error.message}" if isinstance(error, RagopsError) else type(error).__name__
        with contextlib.suppress(RagopsError):  # a lost database must not hide why
            if self.rows.current(self.live).points == self.live.points:
                self.rows.end_job(job, "interrupted" if is_interrupted else "failed", (0,) * 5, words, {})
