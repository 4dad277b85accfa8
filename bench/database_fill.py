"""Fills the schema `rag` as a platform would have in use: chunks, documents, jobs, and a log of 90 days of queries."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from hashlib import md5
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random

    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

DAYS = 90
_STEP = 500_000  # rows of one statement
_MODEL = "static-multilingual-256-v1"

# A tenth of the documents is in the first collection, as one is mostly larger than the others.
_DOCUMENTS = """
INSERT INTO rag.documents (collection_id, path, content_hash, size_bytes, modified_at, status, error, indexed_at)
SELECT (SELECT min(id) FROM rag.collections) + floor(%(collections)s * power((n * 7919 %% 100000) / 100000.0, 2))::int,
       format('area-%%s/team-%%s/document-%%s.md', n %% 17, n %% 311, n), encode(sha256(n::text::bytea), 'hex'), 9000,
       now() - interval '2 days', CASE WHEN n %% 1000 = 0 THEN 'failed' ELSE 'indexed' END,
       CASE WHEN n %% 1000 = 0 THEN 'no text' END, now() - interval '1 day'
FROM generate_series(%(first)s::int, %(last)s::int) AS n
"""
_CHUNKS = """
INSERT INTO rag.chunks (id, document_id, position, content, content_hash, point_collection)
SELECT md5(n::text)::uuid, d.id, n %% %(each)s, repeat(md5(n::text) || ' ', 24), encode(sha256(n::text::bytea), 'hex'), c.name
FROM generate_series(%(first)s::int, %(last)s::int) AS n
JOIN rag.documents d ON d.id = %(base)s + n / %(each)s JOIN rag.collections c ON c.id = d.collection_id
"""
_JOBS = """
INSERT INTO rag.ingestion_jobs (started_at, finished_at, collection_id, collection, status, documents_seen, details)
SELECT now() - n * interval '90 days' / %(jobs)s, now() - n * interval '90 days' / %(jobs)s + interval '1 minute', c.id, c.name, 'done', 1000,
       jsonb_build_object('seconds', '{}'::jsonb, 'way', jsonb_build_object('collection', c.name, 'embedder', c.embedding_model,
       'dimensions', 256, 'chunk_size', 800, 'chunk_overlap', 100, 'splitter', 4, 'converters', 2, 'words', 'bm25-2'))
FROM generate_series(%(jobs)s - 1, 0, -1) AS n
JOIN rag.collections c ON c.id = (SELECT min(id) FROM rag.collections) + n %% %(collections)s
"""
# In the order of time, as they are written; `id` as the API gives it or, with `random`, as gen_random_uuid() does.
_LOGS = """
INSERT INTO rag.query_logs (id, asked_at, collection, query, query_hash, embedding_model, consumer, request_id, outcome,
                            result_count, top_score, duration_ms)
SELECT CASE WHEN %(random)s THEN gen_random_uuid() ELSE {ordered} END, asked, format('collection-%%s', n %% %(collections)s),
       format('how do I restore table %%s of node %%s', n %% 9973, n %% 97), encode(sha256((n %% 9973)::text::bytea), 'hex'),
       'static-multilingual-256-v1', format('consumer-%%s', n %% 20), md5(n::text),
       CASE WHEN n %% 500 = 0 THEN 'failed' WHEN n %% 300 = 0 THEN 'refused' ELSE 'ok' END, n %% 6, 0.5 + (n %% 50) / 100.0, 3 + n %% 211
FROM (SELECT n, %(since)s::timestamptz
             + (%(until)s::timestamptz - %(since)s::timestamptz) * (n::float8 / %(total)s) AS asked
      FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n) AS asked
"""
# The first 48 bits are milliseconds since 1970 (RFC 9562, version 7), the others random.
_ORDERED = (
    "(lpad(to_hex((extract(epoch FROM asked) * 1000)::bigint), 12, '0') || '7' || substr(md5(random()::text), 1, 3)"
    " || '8' || substr(md5(random()::text), 1, 15))::uuid"
)


@dataclass(frozen=True)
class Filled:
    """How much there is, and how it is called; `base` is the id of the first document."""

    collections: int
    documents: int
    chunks: int
    first_collection: int
    base: int

    @property
    def each(self) -> int:
        """Chunks of a document."""
        return self.chunks // self.documents

    def collection(self, rng: random.Random) -> str:
        """Return the name of a collection."""
        return f"collection-{rng.randrange(self.collections)}"

    def collection_id(self, rng: random.Random) -> int:
        """Return the id of a collection."""
        return self.first_collection + rng.randrange(self.collections)

    def document(self, rng: random.Random) -> int:
        """Return the id of a document."""
        return self.base + rng.randrange(self.documents)

    def chunk(self, rng: random.Random) -> uuid.UUID:
        """Return the id of a chunk."""
        return uuid.UUID(md5(str(rng.randrange(self.chunks)).encode()).hexdigest())


def fill_documents(connection: Connection, collections: int, documents: int, chunks: int, jobs: int) -> Filled:
    """Add collections with documents, chunks and jobs to an empty schema."""
    connection.execute("INSERT INTO rag.embedding_models (name) VALUES (%s)", [_MODEL])
    connection.execute(
        "INSERT INTO rag.collections (name, directory, embedding_model, chunk_size, chunk_overlap, file_types)"
        " SELECT 'collection-' || n, '/srv/documents/' || n, %s, 800, 100, '{md}'"
        " FROM generate_series(0, %s::int - 1) AS n ORDER BY n",
        [_MODEL, collections],
    )
    _in_steps(connection, _DOCUMENTS, documents, {"collections": collections})
    first, base = connection.execute(
        "SELECT (SELECT min(id) FROM rag.collections), (SELECT min(id) FROM rag.documents)"
    ).fetchone() or (0, 0)
    _in_steps(connection, _CHUNKS, chunks, {"each": chunks // documents, "base": base})
    connection.execute(_JOBS, {"jobs": jobs, "collections": collections})
    connection.execute("VACUUM ANALYZE")
    return Filled(collections, documents, chunks, first, base)


def fill_logs(connection: Connection, rows: int, since: Any, until: Any, *, is_random: bool, collections: int) -> float:
    """Add `rows` queries between two times, in their order; return seconds."""
    values = {"since": since, "until": until, "total": rows, "random": is_random, "collections": collections}
    began = time.perf_counter()
    _in_steps(connection, _LOGS.replace("{ordered}", _ORDERED), rows, values)
    return time.perf_counter() - began


def make_room(connection: Connection, days: int = DAYS) -> None:
    """Make the partitions of the past; hypertables make their own."""
    if connection.execute("SELECT relkind = 'p' FROM pg_class WHERE oid = 'rag.query_logs'::regclass").fetchone() == (
        True,
    ):
        for table, column in (("query_logs", "asked_at"), ("ingestion_jobs", "started_at")):
            connection.execute(
                "SELECT rag.make_partition(%s, %s, now() - n * interval '1 day') FROM generate_series(0, %s::int, 20) AS n",
                [table, column, days + 60],
            )


def _in_steps(connection: Connection, statement: str, rows: int, values: dict[str, Any]) -> None:
    for first in range(0, rows, _STEP):
        bounds = {"first": first, "last": min(first + _STEP, rows) - 1}
        connection.execute(statement, {**values, **bounds})  # type: ignore[call-overload]
