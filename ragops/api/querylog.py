"""Writes what was asked into rag.query_logs, behind the requests: they neither wait for it nor fail with it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from ragops.api.dependency_errors import CircuitOpenError
from ragops.api.logs import log, request_id
from ragops.api.problem import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from datetime import datetime

    from ragops.api.clock import Clock
    from ragops.api.metrics import Metrics
    from ragops.api.read_only import ReadOnlyFlag
    from ragops.api.stores import Database

_LOG = logging.getLogger(__name__)
_BATCH = 500
_MOST_WAITING = 10_000
_GATHER_SECONDS = 0.2  # a batch waits for more rows: one COPY costs as much as many rows
_FLUSH_SECONDS = 2.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_COLUMNS = (
    "id, asked_at, collection, query, query_hash, embedding_model, consumer, request_id, outcome, result_count,"
    " top_score, duration_ms"
)
_COPY = f"COPY rag.query_logs ({_COLUMNS}) FROM STDIN"
# For the rows of a batch that was refused. It may have been stored after all: a connection can be lost after a commit
# and before we hear of it, and then COPY finds the ids taken.
_INSERT = f"""
INSERT INTO rag.query_logs ({_COLUMNS})
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""  # noqa: S608  constants

Privacy = Literal["keep", "hash", "omit"]


@dataclass
class Entry:
    """One question; who asks fills in what was found."""

    collection: str
    query: str
    consumer: str
    embedder: str
    asked_at: datetime
    outcome: str = "ok"
    result_count: int | None = None
    top_score: float | None = None
    duration_ms: float = 0.0

    def found(self, scores: Sequence[float]) -> None:
        """Note how many there were and the best of them."""
        self.note(len(scores), max(scores, default=None))

    def note(self, count: int, top_score: float | None) -> None:
        """Note how many were found and the best score of them."""
        self.result_count = count
        self.top_score = top_score


class QueryLog:
    """A bounded queue and one task that empties it; what does not fit is dropped and counted.

    While `read_only` states that nothing may be written, rows wait in the queue.
    """

    def __init__(
        self,
        database: Database | None,
        privacy: Privacy,
        clock: Clock,
        metrics: Metrics,
        read_only: ReadOnlyFlag | None = None,
    ) -> None:
        self._database = database
        self._privacy: Privacy = privacy
        self._clock = clock
        self._metrics = metrics
        self._read_only = read_only
        self._queue: asyncio.Queue[tuple[object, ...]] = asyncio.Queue(_MOST_WAITING)
        self._task: asyncio.Task[None] | None = None
        self._in_hand = 0  # rows that were taken out of the queue and are not written
        self._closing = False

    def start(self) -> None:
        """Begin to write."""
        if self._database is not None:
            self._task = asyncio.create_task(self._write(self._database))

    async def close(self) -> None:
        """Write what waits, for two seconds at most; count what is lost."""
        if self._task is None:
            return
        self._closing = True
        try:
            await asyncio.wait_for(self._queue.join(), _FLUSH_SECONDS)
        except TimeoutError:
            lost = self._queue.qsize() + self._in_hand
            self._metrics.log_dropped.inc(lost)
            log(_LOG, logging.WARNING, "query_log_lost", rows=lost)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @contextmanager
    def recording(self, collection: str, query: str, consumer: str, embedder: str) -> Iterator[Entry]:
        """Log the block, whether it succeeds or not."""
        entry = Entry(collection, query, consumer, embedder, self._clock.now())
        started = self._clock.monotonic()
        try:
            yield entry
        except BaseException as error:
            entry.outcome = _outcome(error)
            raise
        finally:
            entry.duration_ms = max(0.0, (self._clock.monotonic() - started) * 1000)
            self._put(entry)

    def _put(self, entry: Entry) -> None:
        self._metrics.question(entry.collection, entry.outcome).observe(entry.duration_ms / 1000)
        if self._database is None:
            return
        try:
            self._queue.put_nowait(row(entry, self._privacy, request_id.get()))
        except asyncio.QueueFull:
            self._metrics.log_dropped.inc()
        self._metrics.log_waiting.set(self._queue.qsize() + self._in_hand)

    async def _write(self, database: Database) -> None:
        while True:
            rows = [await self._queue.get()]
            self._in_hand = 1
            if not self._closing:
                await asyncio.sleep(_GATHER_SECONDS)
            while len(rows) < _BATCH and not self._queue.empty():
                rows.append(self._queue.get_nowait())
            self._in_hand = len(rows)
            try:
                await self._repeat(partial(database.copy, _COPY, rows))
                self._metrics.log_rows.inc(len(rows))
            except Exception as error:  # one row can hold up all others of its batch
                log(_LOG, logging.WARNING, "query_log_refused", rows=len(rows), reason=type(error).__name__)
                await self._store_each(database, rows)
            self._in_hand = 0
            self._metrics.log_waiting.set(self._queue.qsize())
            for _ in rows:
                self._queue.task_done()

    async def _store_each(self, database: Database, rows: Sequence[tuple[object, ...]]) -> None:
        """Write rows of which some can never be written; those alone are lost."""
        for row in rows:
            try:
                await self._repeat(partial(database.insert, _INSERT, row))
                self._metrics.log_rows.inc()
            except Exception:
                _LOG.exception("query_log_failed")
                self._metrics.log_dropped.inc()

    async def _repeat(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write until it succeeds: while the database is away the queue fills, and then the newest are dropped.

        Raises what is no failure of the database: the rows are at fault.
        """
        pause = _FIRST_PAUSE
        while True:
            if self._read_only:
                await self._read_only.over()
            try:
                return await write()
            except ApiError as error:
                log(_LOG, logging.WARNING, "query_log_waits", reason=error.detail, waiting=self._queue.qsize())
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


def _outcome(error: BaseException) -> str:
    """Refused: nothing was tried, or the question itself was at fault; failed: it was tried in vain."""
    if isinstance(error, CircuitOpenError):
        return "refused"
    return "refused" if isinstance(error, ApiError) and error.status < 500 else "failed"


def _ordered_id(moment: datetime) -> uuid.UUID:
    """Return a unique id whose order is that of time (RFC 9562, version 7): its index grows at one end."""
    milliseconds, random = int(moment.timestamp() * 1000), int.from_bytes(os.urandom(10))
    version, variant = random & ~(0xF << 76) | 7 << 76, 3 << 62
    return uuid.UUID(int=milliseconds << 80 | version & ~variant | 2 << 62)


def row(entry: Entry, privacy: Privacy, identifier: str) -> tuple[object, ...]:
    """Return the values of a row, in the order of the statement, with as much of the question as `privacy` allows."""
    text = entry.query.replace("\x00", "")  # PostgreSQL's text cannot hold it
    return (
        _ordered_id(entry.asked_at),
        entry.asked_at,
        entry.collection,
        text if privacy == "keep" else None,
        hashlib.sha256(text.encode()).hexdigest() if privacy != "omit" else None,
        entry.embedder,
        entry.consumer.replace("\x00", ""),
        identifier,
        entry.outcome,
        entry.result_count,
        entry.top_score,
        entry.duration_ms,
    )
