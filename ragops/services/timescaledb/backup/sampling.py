"""Reads of single rows, for a look at whether a restored database is what it was."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, LiteralString, NamedTuple
from uuid import UUID, uuid4

from psycopg import sql

from ragops.adapters.postgres import fetch_column, fetch_value
from ragops.services.timescaledb.roles import session

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ragops.adapters.postgres import Connection
    from ragops.services.contract import Endpoint

_SUBJECT = "a sample of the database"
_COLUMNS = sql.SQL("id, document_id, position, content, content_hash, point_collection FROM rag.chunks")
# Of documents that are whole: an ingestion that was at work when the data were taken leaves others between the stores.
_INDEXED = sql.SQL("document_id IN (SELECT id FROM rag.documents WHERE status = 'indexed')")
_COUNTS: LiteralString = (
    "SELECT k.point_collection, count(*) FROM rag.chunks k JOIN rag.documents d ON d.id = k.document_id"
    " WHERE d.status = 'indexed' GROUP BY 1"
)
_OF_INDEXED = """
    SELECT found.point_collection FROM rag.collections o CROSS JOIN LATERAL (
        SELECT c.point_collection FROM rag.documents d JOIN rag.chunks c ON c.document_id = d.id
        WHERE d.collection_id = o.id AND d.status = 'indexed' LIMIT 1) AS found
"""
_BY_NAME = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname || '.' || c.relname = %s
"""
_RETENTION = """
    SELECT hypertable_schema || '.' || hypertable_name FROM timescaledb_information.jobs
    WHERE proc_name = 'policy_retention'
"""


class Chunk(NamedTuple):
    """A row of rag.chunks as a point of the vector store repeats it."""

    id: UUID
    document_id: int
    position: int
    content: str
    content_hash: str
    point_collection: str

    @property
    def holds(self) -> bool:
        """Whether its content is what it was when it was stored."""
        return hashlib.sha256(self.content.encode()).hexdigest() == self.content_hash


def read_rows(endpoint: Endpoint, tables: Iterable[str]) -> list[str]:
    """Read a row of each of the tables (`schema.table`) with all of its columns; returns those that have none.

    Raises RagopsError if a table cannot be read.
    """
    empty = []
    with session(endpoint, subject=_SUBJECT) as connection:
        for table in tables:
            row = connection.execute(_BY_NAME, [table]).fetchone()  # either name may have a dot
            schema, name = row or table.split(".", 1)
            statement = sql.SQL("SELECT * FROM {} LIMIT 1").format(sql.Identifier(schema, name))
            if connection.execute(statement).fetchone() is None:
                empty.append(table)
    return empty


def find_shrinking_tables(endpoint: Endpoint) -> frozenset[str]:
    """Tables whose old rows TimescaleDB removes by itself as soon as its jobs run."""
    with session(endpoint, subject=_SUBJECT) as connection:
        found = fetch_value(connection, "SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'")
        return frozenset(fetch_column(connection, _RETENTION)) if found else frozenset()


def some_chunks(endpoint: Endpoint, limit: int) -> list[Chunk]:
    """Chunks of indexed documents from a random place on; none without a rag schema.

    Their ids are spread evenly, so that neighbours have nothing in common.
    """
    start = uuid4()
    with session(endpoint, subject=_SUBJECT) as connection:
        if not _has_chunks(connection):
            return []
        found = _page(connection, sql.SQL("id >= {}").format(sql.Literal(start)), limit)
        if len(found) < limit:
            found += _page(connection, sql.SQL("id < {}").format(sql.Literal(start)), limit - len(found))
    return found


def point_collections(endpoint: Endpoint) -> list[str]:
    """Return the collections of points that chunks refer to."""
    with session(endpoint, subject=_SUBJECT) as connection:
        if not _has_chunks(connection):
            return []
        return fetch_column(connection, "SELECT DISTINCT point_collection FROM rag.chunks ORDER BY 1")


def indexed_collections(endpoint: Endpoint, timeout: float) -> list[str]:
    """Return the collections of points that indexed documents have chunks in: they have to be there, with points.

    One document of each collection is looked at, so that a million chunks cost no more than ten.
    """
    with session(endpoint, subject=_SUBJECT, timeout=timeout, limit=timeout) as connection:
        return sorted({*fetch_column(connection, _OF_INDEXED)}) if _has_chunks(connection) else []


def chunk_counts(endpoint: Endpoint, timeout: float) -> dict[str, int]:
    """Return the number of chunks of indexed documents by collection of points; none without a rag schema."""
    with session(endpoint, subject=_SUBJECT, timeout=timeout, limit=timeout) as connection:
        if not _has_chunks(connection):
            return {}
        return dict(connection.execute(_COUNTS).fetchall())


def chunks(endpoint: Endpoint, ids: Sequence[UUID]) -> dict[UUID, Chunk]:
    """Those of the chunks that are there, by id."""
    with session(endpoint, subject=_SUBJECT) as connection:
        rows = connection.execute(sql.SQL("SELECT {} WHERE id = ANY({})").format(_COLUMNS, sql.Placeholder()), [ids])
        return {row[0]: Chunk._make(row) for row in rows.fetchall()}


def _page(connection: Connection, where: sql.Composed, limit: int) -> list[Chunk]:
    statement = sql.SQL("SELECT {} WHERE {} AND {} ORDER BY id LIMIT {}")
    rows = connection.execute(statement.format(_COLUMNS, where, _INDEXED, sql.Literal(limit))).fetchall()
    return [Chunk._make(row) for row in rows]


def _has_chunks(connection: Connection) -> bool:
    return bool(fetch_value(connection, "SELECT to_regclass('rag.chunks') IS NOT NULL"))
