"""The jobs of an ingestion in the metadata database: one at a time for a collection, with how its chunks are made."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg.types.json import Jsonb

from ragops.adapters.postgres import translate_errors
from ragops.errors import LockedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from ragops.adapters.postgres import Connection
    from ragops.ingest.rows import Collection

SUBJECT = "rows of the ingestion"
LOCK_SECONDS = 5.0  # in which the session of a run that was killed ends
_LOCK_POLL = 0.1
# A server notices by itself that its client is gone only when it answers: a killed run would keep its lock for as long
# as its last statement takes. Before PostgreSQL 14 there is no such setting.
_NOTICE_LOST_CLIENT = (
    "SELECT set_config(name, '1s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'"
)


class JobStore:
    """Statements about jobs; every method raises RagopsError as `adapters.postgres.translate_errors`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _all(self, statement: LiteralString, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with translate_errors(SUBJECT):
            cursor = self._connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def _ids(self, statement: LiteralString, parameters: Sequence[Any]) -> list[UUID]:
        return [row[0] for row in self._all(statement, parameters)]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what happens inside."""
        with translate_errors(SUBJECT), self._connection.transaction():
            yield

    def lock(self, collection: Collection) -> None:
        """Keep other ingestions off the collection until the connection ends.

        Raises LockedError (ingest_running) after some seconds: the lock of a run that was killed is gone by then.
        """
        self._all(_NOTICE_LOST_CLIENT)
        key, give_up = f"ragops ingest {collection.id}", time.monotonic() + LOCK_SECONDS
        while not self._all("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [key])[0][0]:
            if time.monotonic() >= give_up:
                what = f"another ingest works on collection {collection.name}"
                raise LockedError("ingest_running", what, "wait for it, or look for it: ragops status")
            time.sleep(_LOCK_POLL)

    def unlock(self, collection: Collection) -> None:
        """Let others in again."""
        self._all("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [f"ragops ingest {collection.id}"])

    def end_interrupted(self, collection: int) -> int:
        """End the jobs of runs that died; the holder of the lock is the only run. Return how many."""
        statement: LiteralString = (
            "UPDATE rag.ingestion_jobs SET status = 'interrupted', finished_at = greatest(now(), started_at),"
            " error = 'the run ended before its work was done' WHERE collection_id = %s AND status = 'running'"
            " RETURNING id"
        )
        return len(self._ids(statement, [collection]))

    def begin_job(self, collection: Collection, actor: str) -> tuple[UUID, datetime]:
        """Add a running job; return its key."""
        row = self._all(
            "INSERT INTO rag.ingestion_jobs (collection_id, collection, actor) VALUES (%s, %s, %s)"
            " RETURNING id, started_at",
            [collection.id, collection.name, actor],
        )[0]
        return row[0], row[1]

    def chunking_params(self, collection: int) -> Any:
        """Return the chunking parameters of the newest job that stored them, else None."""
        rows = self._all(
            "SELECT details->'way' FROM rag.ingestion_jobs WHERE collection_id = %s AND details ? 'way'"
            " ORDER BY started_at DESC LIMIT 1",
            [collection],
        )
        return rows[0][0] if rows else None

    def newest_detail(self, collection: int, key: str) -> Any:
        """Return what the newest job with this key in its details has there, else None."""
        rows = self._all(
            "SELECT details->%s FROM rag.ingestion_jobs WHERE collection_id = %s AND details ? %s"
            " ORDER BY started_at DESC LIMIT 1",
            [key, collection, key],
        )
        return rows[0][0] if rows else None

    def count_jobs_without(self, collection: int, key: str) -> int:
        """Return how many jobs of a collection have no such key in their details."""
        statement: LiteralString = (
            "SELECT count(*) FROM rag.ingestion_jobs WHERE collection_id = %s AND NOT details ? %s"
        )
        return int(self._all(statement, [collection, key])[0][0])

    def store_detail(self, job: tuple[UUID, datetime], key: str, value: Mapping[str, Any]) -> None:
        """Store a value in the details of a job."""
        self._all(
            "UPDATE rag.ingestion_jobs SET details = details || %s WHERE id = %s AND started_at = %s",
            [Jsonb({key: dict(value)}), *job],
        )

    def current(self, collection: Collection) -> Collection:
        """Return the collection with the points that the newest job names: it may have been switched to others."""
        way = self.chunking_params(collection.id)
        return collection._replace(built=way.get("collection") if way else None)

    def store_chunking_params(
        self, job: tuple[UUID, datetime], collection: int, way: Mapping[str, Any], *, changed: bool
    ) -> None:
        """Store the parameters of this job; if they `changed`, no document counts as indexed from here on."""
        with self.transaction():
            if changed:
                statement: LiteralString = "UPDATE rag.documents SET status = 'pending' WHERE collection_id = %s"
                self._all(f"{statement} AND status <> 'pending'", [collection])
            self._all(
                "UPDATE rag.ingestion_jobs SET details = %s WHERE id = %s AND started_at = %s",
                [Jsonb({"way": dict(way)}), *job],
            )

    def end_job(
        self,
        job: tuple[UUID, datetime],
        status: str,
        counts: Sequence[int],
        error: str | None,
        details: Mapping[str, Any],
    ) -> None:
        """End a job; `counts` are documents seen, changed, removed, failed, and chunks written."""
        self._all(
            "UPDATE rag.ingestion_jobs SET status = %s, finished_at = greatest(now(), started_at), documents_seen = %s,"
            " documents_changed = %s, documents_removed = %s, documents_failed = %s, chunks_written = %s, error = %s,"
            " details = details || %s WHERE id = %s AND started_at = %s",
            [status, *counts, error, Jsonb(dict(details)), *job],
        )
