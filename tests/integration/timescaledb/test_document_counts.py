"""The numbers of documents that triggers keep are those that counting gives, and lookups read by index."""

from __future__ import annotations

import pytest

from ragops.ingest.document_store import DocumentStore
from ragops.operations.data import migrate
from ragops.services.timescaledb.collections import rows
from ragops.services.timescaledb.schema.migration_files import load_migrations
from ragops.services.timescaledb.schema.migrations import apply

_COUNTED = "SELECT collection_id, status, count(*) FROM rag.documents GROUP BY 1, 2 ORDER BY 1, 2"
_KEPT = "SELECT collection_id, status, documents FROM rag.document_counts WHERE documents <> 0 ORDER BY 1, 2"


def _collections(connection, *names):
    connection.execute("INSERT INTO rag.embedding_models (name) VALUES ('m') ON CONFLICT DO NOTHING")
    for name in names:
        connection.execute(
            "INSERT INTO rag.collections (name, directory, embedding_model, chunk_size, chunk_overlap, file_types)"
            " VALUES (%s, '/srv', 'm', 800, 100, '{md}')",
            [name],
        )
    return [row[0] for row in connection.execute("SELECT id FROM rag.collections ORDER BY id")]


def _documents(connection, collection, number, status="pending", prefix="a"):
    connection.execute(
        "INSERT INTO rag.documents (collection_id, path, content_hash, size_bytes, modified_at, status)"
        " SELECT %s, %s || n, repeat('0', 64), 1, now(), %s FROM generate_series(1, %s::int) AS n",
        [collection, prefix, status, number],
    )


def _agree(connection):
    assert connection.execute(_KEPT).fetchall() == connection.execute(_COUNTED).fetchall()


@pytest.fixture
def connection(database, session):
    migrate.up(database)
    return session(database)


def test_counts_follow_every_kind_of_change(connection):
    first, second = _collections(connection, "one", "two")
    _documents(connection, first, 50)
    _documents(connection, second, 7, "failed", prefix="b")
    _agree(connection)
    connection.execute("UPDATE rag.documents SET status = 'indexed', indexed_at = now() WHERE mod(id, 2) = 0")
    _agree(connection)
    connection.execute("UPDATE rag.documents SET modified_at = now()")
    _agree(connection)
    connection.execute("UPDATE rag.documents SET collection_id = %s WHERE mod(id, 3) = 0", [second])
    _agree(connection)
    connection.execute("DELETE FROM rag.documents WHERE mod(id, 5) = 0")
    _agree(connection)
    with connection.transaction(force_rollback=True):
        connection.execute("DELETE FROM rag.documents")
    _agree(connection)
    connection.execute(
        "INSERT INTO rag.documents (collection_id, path, content_hash, size_bytes, modified_at)"
        " VALUES (%s, 'a1', repeat('1', 64), 1, now())"
        " ON CONFLICT (collection_id, path) DO UPDATE SET status = 'failed'",
        [first],
    )
    _agree(connection)


def test_a_collection_that_goes_takes_its_counts(connection):
    first, _second = _collections(connection, "one", "two")
    _documents(connection, first, 2500)
    assert rows.delete(connection, "one", "test") == 2500
    assert connection.execute("SELECT count(*) FROM rag.document_counts").fetchone() == (0,)


def test_documents_of_before_the_migration_are_counted(database, session):
    connection = session(database)
    role = database.logins["application"].user
    apply(connection, application_role=role, migrations=load_migrations()[:7])
    (only,) = _collections(connection, "one")
    _documents(connection, only, 30, "indexed")
    apply(connection, application_role=role)
    _agree(connection)
    [row] = rows.list_rows(connection, ["one"])
    assert (row.indexed, row.failed, row.pending) == (30, 0, 0)


def test_the_application_may_change_documents_that_triggers_count(database, connection, session):
    (only,) = _collections(connection, "one")
    application = session(database, role="application")
    _documents(application, only, 3)
    _agree(connection)


def test_pages_of_chunks_read_the_documents_of_their_collection_alone(connection):
    first, second = _collections(connection, "one", "two")
    for number in range(40):  # collections that were filled in turn
        _documents(connection, (first, second)[number % 2], 50, prefix=f"{number}-")
    connection.execute(
        "INSERT INTO rag.chunks (document_id, position, content, content_hash, point_collection)"
        " SELECT d.id, n, 'text', repeat('0', 64), 'p' FROM rag.documents d CROSS JOIN generate_series(0, 2) AS n"
    )
    pages = list(DocumentStore(connection).chunk_pages(second))
    wanted = connection.execute(
        "SELECT c.id, c.document_id, c.point_collection FROM rag.chunks c JOIN rag.documents d ON d.id = c.document_id"
        " WHERE d.collection_id = %s ORDER BY c.document_id, c.position",
        [second],
    ).fetchall()
    assert [len(page) for page in pages] == [1000, 1000, 1000]
    assert [one for page in pages for one in page] == wanted
