"""A schema `rag` of somebody else is left alone, and it is said whose it is."""

from __future__ import annotations

import pytest

from ragops.errors import RagopsError
from ragops.operations.data import migrate
from ragops.services.timescaledb import health
from ragops.services.timescaledb.schema.detection import foreign_schema

OTHERS = {
    "empty": ("CREATE SCHEMA rag", "is empty"),
    "tables": ("CREATE SCHEMA rag; CREATE TABLE rag.chunks (id int); CREATE VIEW rag.seen AS SELECT 1", "chunks, seen"),
    "record of the same name": ("CREATE SCHEMA rag; CREATE TABLE rag.schema_migrations (version text)", "schema_migr"),
    "many": (
        "CREATE SCHEMA rag; " + "; ".join(f"CREATE TABLE rag.t{number} ()" for number in range(1, 10)),
        "t1, t2, t3, t4, t5 and 4 more",
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_it_is_refused_with_its_owner_and_both_ways_out(database, session, kind):
    statement, holds = OTHERS[kind]
    connection = session(database)
    connection.execute(statement)
    with pytest.raises(RagopsError) as refused:
        migrate.up(database)
    assert refused.value.code == "schema_foreign"
    assert holds in refused.value.message
    assert "belongs to the role operator" in refused.value.message
    for way in ("ALTER SCHEMA rag RENAME", "timescaledb.database"):
        assert way in refused.value.hint
    assert migrate.status(database).pending == 8
    check = health._schema(connection)
    assert (check.status.value, check.hint) == ("down", refused.value.hint)


def test_the_first_way_out_works(database, session):
    session(database).execute("CREATE SCHEMA rag; CREATE TABLE rag.chunks (id int); INSERT INTO rag.chunks VALUES (7)")
    session(database).execute("ALTER SCHEMA rag RENAME TO rag_before")
    assert len(migrate.up(database).applied) == 8
    assert session(database).execute("SELECT id FROM rag_before.chunks").fetchone() == (7,)


def test_a_schema_of_ours_that_lost_its_record_is_to_be_restored(database, session):
    migrate.up(database)
    connection = session(database)
    connection.execute("DROP TABLE rag.schema_migrations CASCADE")
    assert foreign_schema(connection)[0] == "the schema rag has lost its record of migrations (rag.schema_migrations)"
    with pytest.raises(RagopsError) as refused:
        migrate.up(database)
    assert "ragops restore" in refused.value.hint


@pytest.mark.parametrize("migrated", [True, False])
def test_a_database_of_ours_is_not_foreign(database, session, migrated):
    if migrated:
        migrate.up(database)
    assert foreign_schema(session(database)) == ("", "")
