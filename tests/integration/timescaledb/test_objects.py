"""What migrations have made is missed when it is gone, each kind of object, and the list is that of the catalogue."""

from __future__ import annotations

import pytest

from ragops.errors import ExitCode, UnhealthyError
from ragops.operations.data import migrate
from ragops.services.contract import Status
from ragops.services.timescaledb.health import probe
from ragops.services.timescaledb.schema.digest import schema_digest
from ragops.services.timescaledb.schema.migration_files import load_migrations
from ragops.services.timescaledb.schema.objects import find_expected, find_missing

EVERY = frozenset(one.version for one in load_migrations())
# Made while it runs, by month: no migration's own.
RELATIONS = """
    SELECT 'rag.' || relname FROM pg_class WHERE relnamespace = 'rag'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
    AND relname !~ '_[0-9]{4}_[0-9]{2}$' ORDER BY 1
"""
COLUMNS = """
    SELECT 'rag.' || relname || '.' || attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
    WHERE relnamespace = 'rag'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND attnum > 0 ORDER BY 1
"""
FUNCTIONS = "SELECT 'rag.' || proname FROM pg_proc WHERE pronamespace = 'rag'::regnamespace ORDER BY 1"
TRIGGERS = """
    SELECT tgname, 'rag.' || relname FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid
    WHERE relnamespace = 'rag'::regnamespace AND NOT tgisinternal AND tgname !~ 'ts_' ORDER BY 1, 2
"""
WAYS = {
    "DROP TABLE rag.chunks CASCADE": "rag.chunks (table or view)",
    "DROP VIEW rag.orphans": "rag.orphans (table or view)",
    "DROP FUNCTION rag.orphan_points": "rag.orphan_points (function)",
    "DROP FUNCTION rag.audit_change CASCADE": "audit_insert on rag.collections (trigger)",
    "DROP TRIGGER touch_updated_at ON rag.documents": "touch_updated_at on rag.documents (trigger)",
    "ALTER TABLE rag.documents DROP COLUMN error": "rag.documents.error (column)",
    "ALTER TABLE rag.chunks DROP CONSTRAINT chunks_pkey": "rag.chunks (primary key)",
    "ALTER TABLE rag.chunks DROP CONSTRAINT chunks_document_id_fkey": "rag.chunks (foreign key)",
    "DROP TABLE rag.query_logs CASCADE": "rag.query_logs (table or view)",
    "DROP TABLE rag.audit_log": "rag.audit_log (table or view)",
}


def test_the_list_is_what_the_migrations_have_made(edition, edition_database, session):
    migrate.up(edition_database)
    connection, wanted = session(edition_database), find_expected(edition, EVERY)
    assert find_missing(connection, edition, EVERY).every == ()
    assert sorted(wanted.relations) == [name for (name,) in connection.execute(RELATIONS)]
    assert sorted(wanted.columns) == [name for (name,) in connection.execute(COLUMNS)]
    assert sorted(wanted.functions) == [name for (name,) in connection.execute(FUNCTIONS)]
    assert sorted(wanted.triggers) == list(connection.execute(TRIGGERS))


@pytest.mark.parametrize("statement", WAYS)
def test_what_is_gone_is_named_and_no_migration_goes_over_it(database, session, statement):
    migrate.up(database)
    session(database).execute(statement)
    assert WAYS[statement] in migrate.status(database).missing
    with pytest.raises(UnhealthyError) as caught:
        migrate.up(database, restore_command="`ragops restore GOOD`")
    assert (caught.value.code, caught.value.exit_code) == ("schema_damaged", ExitCode.UNHEALTHY)
    assert WAYS[statement] in caught.value.message
    assert "`ragops restore GOOD`" in caught.value.hint
    check = next(item for item in probe(database, 5).checks if item.name == "schema")
    assert check.status is Status.DOWN, check


def test_an_index_that_is_gone_only_makes_it_slow(database, session):
    migrate.up(database)
    session(database).execute("DROP INDEX rag.documents_path")
    assert migrate.status(database).missing == ("rag.documents_path (index)",)
    check = next(item for item in probe(database, 5).checks if item.name == "schema")
    assert check.status is Status.DEGRADED


def test_objects_of_others_are_none_of_ours(database, session):
    migrate.up(database)
    session(database).execute("CREATE TABLE public.mine (a int); DROP TABLE public.mine; CREATE TABLE rag.mine (a int)")
    assert migrate.status(database).missing == ()


def test_a_schema_that_was_there_and_is_gone_is_not_made_again_unasked(database, session):
    migrate.up(database)
    session(database).execute("DROP SCHEMA rag CASCADE")
    held = {"timescaledb": {"rag.schema_migrations": 7}}
    with pytest.raises(UnhealthyError) as caught:
        migrate.up(database, held=held, restore_command="`ragops restore GOOD`")
    assert caught.value.code == "schema_gone"
    assert "`ragops restore GOOD`" in caught.value.hint
    assert "--fresh" in caught.value.hint
    assert len(migrate.up(database, held=held, fresh=True).applied) == 8


def test_the_digest_is_that_of_the_schema_alone(database, session):
    migrate.up(database)
    connection, first = session(database), schema_digest(database)
    connection.execute("INSERT INTO rag.embedding_models (name) VALUES ('m')")
    connection.execute("SELECT rag.make_partition('query_logs', 'asked_at', now() + INTERVAL '9 months')")
    assert schema_digest(database) == first
    connection.execute("ALTER TABLE rag.documents ADD COLUMN note text")
    changed = schema_digest(database)
    assert changed != first
    connection.execute("ALTER TABLE rag.documents DROP COLUMN note")
    assert schema_digest(database) == first
    connection.execute("CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    assert schema_digest(database) != first
