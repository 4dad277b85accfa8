"""The rows of an ingestion in the metadata database, as the application role writes them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg

from ragops.adapters.postgres import translate_errors
from ragops.config.collection_names import USERS_OWN
from ragops.errors import MissingError
from ragops.ingest.jobs import SUBJECT, JobStore
from ragops.ingest.rows import ChunkRow, Collection, Document, FileVersion
from ragops.services.timescaledb.collections.rows import DELETE_PAGE
from ragops.services.timescaledb.roles import log_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from ragops.services.contract import Endpoint

_PAGE = 1000


class DocumentStore(JobStore):
    """All statements of an ingestion; every method raises RagopsError as `adapters.postgres.translate_errors`."""

    # --- collections and documents ------------------------------------------------------------------------------

    def collections(self) -> list[Collection]:
        """Return all by name, without what rebuilds keep. Raises MissingError (schema_missing)."""
        try:
            found = self._connection.execute(
                "SELECT c.id, name, directory, embedding_model, chunk_size, chunk_overlap, file_types, recursive,"  # noqa: S608
                " enabled, c.extra, coalesce(d.defaults, '{}'), j.points FROM rag.collections c"
                " LEFT JOIN rag.collection_defaults d ON c.source = 'json'"
                " LEFT JOIN LATERAL (SELECT details->'way'->>'collection' AS points FROM rag.ingestion_jobs"
                " WHERE collection_id = c.id AND details ? 'way' ORDER BY started_at DESC LIMIT 1) AS j ON true"
                f" WHERE {USERS_OWN} ORDER BY name"
            ).fetchall()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege) as error:
            hint = "run `ragops migrate up`"
            raise MissingError("schema_missing", "cannot use the database: it has no rag schema yet", hint) from error
        except psycopg.Error:
            with translate_errors(SUBJECT):
                raise
        return [Collection._make(row) for row in found]

    def copy_collection(self, live: Collection, name: str, points: str) -> Collection:
        """Return the row `name` of `points` with the settings of `live`, which no ingest of all collections reads."""
        row = self._all(
            "INSERT INTO rag.collections (name, directory, embedding_model, chunk_size, chunk_overlap, file_types,"
            " recursive, enabled, extra) SELECT %s, directory, embedding_model, chunk_size, chunk_overlap, file_types,"
            " recursive, false, jsonb_build_object('points', %s::text) FROM rag.collections WHERE id = %s"
            " ON CONFLICT (name) DO UPDATE SET directory = excluded.directory, chunk_size = excluded.chunk_size,"
            " embedding_model = excluded.embedding_model, chunk_overlap = excluded.chunk_overlap,"
            " file_types = excluded.file_types, recursive = excluded.recursive, extra = excluded.extra RETURNING id",
            [name, points, live.id],
        )[0]
        return live._replace(id=row[0], name=name, built=None)

    def switch(self, live: Collection, successor: Collection, kept: str) -> None:
        """Give `live` the documents and jobs of `successor`; its own go below a new row `kept`."""
        with self.transaction():
            row = self.copy_collection(live, kept, live.points)
            move: LiteralString = "UPDATE rag.documents SET collection_id = %s WHERE collection_id = %s"
            self._all(move, [row.id, live.id])
            self._all(move, [live.id, successor.id])
            self._all(
                "UPDATE rag.ingestion_jobs SET collection_id = %s, collection = %s WHERE collection_id = %s",
                [live.id, live.name, successor.id],
            )
            self._all("DELETE FROM rag.collections WHERE id = %s", [successor.id])

    def switch_points(self, live: Collection, target: str, kept: str, job: tuple[UUID, datetime]) -> None:
        """Have the chunks of `live` be in the collection of points `target`; a new row `kept` names those before."""
        with self.transaction():
            way = self.chunking_params(live.id) or {}
            self.copy_collection(live, kept, live.points)
            self._all(
                "UPDATE rag.chunks c SET point_collection = %s FROM rag.documents d"
                " WHERE d.id = c.document_id AND d.collection_id = %s AND c.point_collection = %s",
                [target, live.id, live.points],
            )
            self.store_detail(job, "way", {**way, "collection": target})
            self.end_job(job, "done", (0, 0, 0, 0, 0), None, {})

    def generations(self, name: str) -> list[tuple[Any, ...]]:
        """Return name, collection of points and number of documents of what rebuilds of a collection keep."""
        return self._all(
            "SELECT c.name, coalesce(c.extra->>'points', c.name), count(d.id) FROM rag.collections c"
            " LEFT JOIN rag.documents d ON d.collection_id = c.id WHERE starts_with(c.name, %s) GROUP BY c.id"
            " ORDER BY c.id",
            [f"{name}@"],
        )

    def drop_generation(self, name: str) -> None:
        """Remove a row that a rebuild keeps, with its documents and chunks, page by page."""
        while self._all(DELETE_PAGE, [name, _PAGE]):
            pass
        self._all("DELETE FROM rag.collections WHERE name = %s", [name])

    def documents(self, collection: int) -> dict[str, Document]:
        """Those of a collection by path."""
        rows = self._all(
            "SELECT id, path, content_hash, size_bytes, modified_at, status, error, indexed_at FROM rag.documents"
            " WHERE collection_id = %s",
            [collection],
        )
        return {row[1]: Document(*row) for row in rows}

    def add_pending(self, collection: int, files: Sequence[FileVersion]) -> dict[str, int]:
        """Add new documents, pending; return their ids by path."""
        rows = self._all(
            "INSERT INTO rag.documents (collection_id, path, content_hash, size_bytes, modified_at)"
            " SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::timestamptz[]) RETURNING path, id",
            [collection, *_columns(files)],
        )
        return {row[0]: row[1] for row in rows}

    def set_pending(self, documents: Sequence[int]) -> None:
        """Record that their chunks are about to be replaced."""
        self._all(
            "UPDATE rag.documents SET status = 'pending', error = NULL WHERE id = ANY(%s) AND status <> 'pending'",
            [list(documents)],
        )

    def move(self, document: int, path: str) -> list[UUID]:
        """Give a document its new path and take its chunks away; returns the ids that they had.

        Ids depend on the path: were the rows to stay, a new file at the old path could not have its own.
        """
        statement = "UPDATE rag.documents SET path = %s, status = 'pending', error = NULL WHERE id = %s"
        self._all(statement, [path, document])
        return self.drop_chunks([document])

    def set_indexed(self, documents: Sequence[tuple[int, FileVersion]], read_at: datetime) -> None:
        """Record that their chunks are those of the files as they were read, not before `read_at`."""
        self._all(
            "UPDATE rag.documents d SET status = 'indexed', error = NULL, content_hash = n.hash, size_bytes = n.size,"
            " modified_at = n.modified, indexed_at = %s"
            " FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::timestamptz[])"
            " AS n (id, path, hash, size, modified) WHERE d.id = n.id",
            [read_at, [id for id, _ in documents], *_columns([seen for _, seen in documents])],
        )

    def note_refusals(self, errors: Sequence[tuple[int, str]]) -> None:
        """Note of indexed documents which of their chunks are missing: they are done again by the next run."""
        if errors:
            documents, texts = [id for id, _ in errors], [text for _, text in errors]
            self._all(
                "UPDATE rag.documents d SET error = n.error FROM unnest(%s::bigint[], %s::text[]) AS n (id, error)"
                " WHERE d.id = n.id",
                [documents, texts],
            )

    def touch(self, documents: Sequence[tuple[int, FileVersion]]) -> None:
        """Note the new times of files whose content is the same."""
        with self.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE rag.documents SET modified_at = %s WHERE id = %s",
                [(seen.modified, document) for document, seen in documents],
            )

    def set_failed(self, collection: int, file: FileVersion, reason: str) -> None:
        """Note why a file has no chunks."""
        self._all(
            "INSERT INTO rag.documents (collection_id, path, content_hash, size_bytes, modified_at, status, error)"
            " VALUES (%s, %s, %s, %s, %s, 'failed', %s) ON CONFLICT (collection_id, path) DO UPDATE SET"
            " content_hash = excluded.content_hash, size_bytes = excluded.size_bytes,"
            " modified_at = excluded.modified_at, status = 'failed', error = excluded.error, indexed_at = NULL",
            [collection, *file, reason],
        )

    def delete_documents(self, documents: Sequence[int]) -> None:
        """Remove their rows."""
        self._all("DELETE FROM rag.documents WHERE id = ANY(%s)", [list(documents)])

    # --- chunks -------------------------------------------------------------------------------------------------

    def add_chunks(self, points: str, chunks: Iterable[ChunkRow]) -> None:
        """Add rows whose vectors are in the collection `points` of the vector store."""
        statement = "COPY rag.chunks (id, document_id, position, content, content_hash, point_collection) FROM STDIN"
        with translate_errors(SUBJECT), self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            for chunk in chunks:
                copy.write_row((*chunk, points))

    def drop_chunks(self, documents: Sequence[int]) -> list[UUID]:
        """Remove the chunks of documents; returns their ids."""
        return self._ids("DELETE FROM rag.chunks WHERE document_id = ANY(%s) RETURNING id", [list(documents)])

    def chunk_page(self, documents: Sequence[int]) -> list[UUID]:
        """Return some ids of the documents' chunks."""
        return self._ids("SELECT id FROM rag.chunks WHERE document_id = ANY(%s) LIMIT %s", [list(documents), _PAGE])

    def delete_chunks(self, chunks: Sequence[UUID]) -> None:
        """Remove chunks by id."""
        self._all("DELETE FROM rag.chunks WHERE id = ANY(%s)", [list(chunks)])

    def unknown_points(self, points: str, ids: Sequence[UUID]) -> list[UUID]:
        """Of the ids of points in the collection `points` those that no chunk has."""
        return self._ids("SELECT rag.orphan_points(%s, %s)", [points, list(ids)])

    def count_chunks(self, collection: int, points: str) -> int:
        """How many chunks of a collection have their vectors in the collection `points`."""
        statement: LiteralString = (
            "SELECT count(*) FROM rag.chunks c JOIN rag.documents d ON d.id = c.document_id"
            " WHERE d.collection_id = %s AND c.point_collection = %s"
        )
        return int(self._all(statement, [collection, points])[0][0])

    def chunk_pages(self, collection: int) -> Iterator[list[tuple[UUID, int, str]]]:
        """Id, document and point collection of every chunk of a collection, page by page."""
        after: tuple[int, int] = (0, -1)
        while True:
            page = self._all(
                "SELECT c.id, c.document_id, c.point_collection, c.position FROM rag.documents d"
                " JOIN rag.chunks c ON c.document_id = d.id WHERE d.collection_id = %s AND d.id >= %s"
                " AND (c.document_id, c.position) > (%s, %s) ORDER BY d.id, c.position LIMIT %s",
                [collection, after[0], *after, _PAGE],
            )
            if not page:
                return
            yield [(row[0], row[1], row[2]) for row in page]
            after = (page[-1][1], page[-1][3])


@contextmanager
def open_store(
    endpoint: Endpoint, role: str = "application", *, statement_timeout: float = 300
) -> Iterator[DocumentStore]:
    """Open a store with a connection of its own; `statement_timeout` in seconds."""
    with log_in(endpoint, role=role, application_name="ragops-ingest", limit=statement_timeout) as connection:
        yield DocumentStore(connection)


def _columns(files: Sequence[FileVersion]) -> list[list[Any]]:
    return [[getattr(file, name) for file in files] for name in FileVersion._fields]
