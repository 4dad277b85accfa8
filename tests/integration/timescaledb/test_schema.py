"""The rag schema on real servers: applied once, refused where it must be, whole after every fault."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

from ragops.errors import ExitCode, IntegrityError, LockedError, MissingError, RagopsError, UnhealthyError
from ragops.operations.data import migrate
from ragops.services.timescaledb.schema import migrations as schema
from ragops.services.timescaledb.schema.migrations import Edition, Migration, MigrationState
from tests.waiting import wait_until

ROLE = "rag_app"
ALL = schema.load_migrations()
TABLES = {"embedding_models", "collections", "documents", "chunks", "ingestion_jobs", "query_logs"}
SHA = "0" * 64


def one(connection, query, parameters=None):
    return connection.execute(query, parameters).fetchone()[0]


def tables(connection):
    return {name for (name,) in connection.execute("SELECT relname::text FROM pg_class c WHERE relkind IN ('r','p') "
            "AND relnamespace = to_regnamespace('rag')")}  # fmt: skip


def test_every_edition_gets_the_whole_schema_and_a_second_run_nothing(edition, edition_database):
    first = migrate.up(edition_database)
    assert [migration.version for migration in first.applied] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert first.status.edition == Edition(edition)
    assert {row.state for row in first.status.migrations} == {MigrationState.APPLIED}
    assert migrate.up(edition_database).applied == ()
    assert bool(first.status.extension_version) == (edition != "postgresql")


def test_status_of_an_empty_database_says_what_it_would_be_made_for(edition, edition_database):
    before = migrate.status(edition_database)
    assert (before.edition, before.pending) == (Edition(edition), 8)
    assert migrate.status(edition_database) == before


def test_what_grows_is_cut_by_time_in_every_edition(edition, edition_database, session):
    migrate.up(edition_database)
    connection = session(edition_database)
    assert tables(connection) >= TABLES
    if edition == "postgresql":
        parts = one(connection, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'rag.query_logs'::regclass")
        assert parts == 5  # this month, three ahead, the default
        return
    names = connection.execute("SELECT hypertable_name FROM timescaledb_information.hypertables ORDER BY 1 LIMIT 2")
    assert [name for (name,) in names] == ["ingestion_jobs", "query_logs"]
    aggregates = one(connection, "SELECT count(*) FROM timescaledb_information.continuous_aggregates")
    assert aggregates == (2 if edition == "community" else 0)
    policies = connection.execute(
        "SELECT config->>'drop_after' FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'"
    ).fetchall()
    assert policies == ([("90 days",)] if edition == "community" else [])


def test_recorded_checksums_do_not_depend_on_the_edition(edition, edition_database, session):
    migrate.up(edition_database)
    recorded = session(edition_database).execute("SELECT checksum FROM rag.schema_migrations ORDER BY version")
    assert [checksum for (checksum,) in recorded] == [migration.checksum for migration in ALL]


def test_an_edited_applied_file_is_refused(database, session):
    connection = session(database)
    schema.apply(connection, application_role=ROLE, migrations=ALL[:3])
    edited = (ALL[0], replace(ALL[1], text=ALL[1].text + "-- a word more\n"), *ALL[2:])
    with pytest.raises(IntegrityError) as caught:
        schema.apply(connection, application_role=ROLE, migrations=edited)
    assert (caught.value.code, caught.value.exit_code) == ("migration_edited", ExitCode.INTEGRITY)
    assert "002_embedding_models.sql" in caught.value.message
    assert caught.value.hint
    assert one(connection, "SELECT max(version) FROM rag.schema_migrations") == 3
    states = [row.state for row in schema.status(connection, edited).migrations]
    assert states[:4] == ["applied", "edited", "applied", "pending"]


def test_what_a_newer_ragops_applied_is_refused(database, session):
    connection = session(database)
    newer = (*ALL, Migration(9, "from_the_future", "SELECT 1;"))
    schema.apply(connection, application_role=ROLE, migrations=newer)
    with pytest.raises(IntegrityError) as caught:
        schema.apply(connection, application_role=ROLE)
    assert caught.value.code == "migration_unknown"
    assert schema.status(connection).migrations[-1].state is MigrationState.UNKNOWN


def test_a_schema_made_for_more_than_the_server_can_do_is_refused(database, session):
    connection = session(database)
    migrate.up(database)
    connection.execute("UPDATE rag.schema_migrations SET edition = 'community'")
    with pytest.raises(MissingError) as caught:
        schema.apply(connection, application_role=ROLE)
    assert caught.value.code == "edition_changed"


@pytest.mark.parametrize(
    ("text", "line", "state"),
    [
        ("CREATE TABLE rag.half ();\n\n-- why\nSELECT 1 / 0;\n", 4, "22012"),
        ("CREATE TABLE rag.half ();\nSELECT\n  1,\n  nowhere\nFROM rag.half;\n", 4, "42703"),
        ("CREATE TABLE rag.half ();\n{% if edition == 'apache' %}\nSELECT 1;\n{% endif %}\nFOO;\n", 5, "42601"),
        ("CREATE TABLE rag.half ();\nDO $$ BEGIN\n RAISE EXCEPTION 'a; b';\nEND $$;\n", 2, "P0001"),
    ],
)
def test_a_failing_migration_rolls_back_whole_and_says_where(database, session, text, line, state):
    connection = session(database)
    with pytest.raises(RagopsError) as caught:
        schema.apply(connection, application_role=ROLE, migrations=(*ALL, Migration(9, "bad", text)))
    assert (caught.value.code, caught.value.exit_code) == ("migration_failed", ExitCode.FAILED)
    assert f"009_bad.sql line {line}:" in caught.value.message
    assert state in caught.value.message
    assert "half" not in tables(connection)
    assert [row.version for row in schema.status(connection).migrations if row.applied_at] == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("version", [1, 4, 8])
def test_a_connection_killed_in_the_middle_leaves_nothing_and_the_next_run_completes(database, session, version):
    slow = [replace(m, text=m.text + "\nSELECT pg_sleep(60);\n") if m.version == version else m for m in ALL]
    observer = session(database)
    with ThreadPoolExecutor() as pool:
        run = pool.submit(schema.apply, session(database), application_role=ROLE, migrations=slow)
        wait_for_backend(observer, "SELECT pg_sleep%")
        kill_backends(observer, "SELECT pg_sleep%")
        with pytest.raises(UnhealthyError) as caught:
            run.result(timeout=30)
    assert caught.value.code == "database_connection_lost"
    applied = [row.version for row in schema.status(observer).migrations if row.applied_at]
    assert applied == list(range(1, version))
    assert [done.version for done in migrate.up(database).applied] == list(range(version, 9))
    assert tables(observer) >= TABLES


def wait_for_backend(observer, pattern):
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s AND state = 'active'"
        " AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    wait_until(lambda: one(observer, query, [pattern]), what="that statement")


def kill_backends(observer, pattern):
    observer.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE %s"
                     " AND datname = current_database() AND pid <> pg_backend_pid()", [pattern])  # fmt: skip


def test_two_runs_at_once_both_succeed_and_apply_everything_once(edition, edition_database, session):
    gate = threading.Barrier(2)

    def run():
        connection = session(edition_database)
        gate.wait(60)
        return schema.apply(connection, application_role=ROLE)

    with ThreadPoolExecutor() as pool:
        results = [future.result(60) for future in [pool.submit(run), pool.submit(run)]]
    assert sorted(done.version for result in results for done in result) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_lock_that_is_not_had_in_time_is_said(database, session):
    holder = session(database)
    holder.execute("SELECT pg_advisory_lock(%s)", [int.from_bytes(b"ragops", "big")])
    with pytest.raises(LockedError) as caught:
        schema.apply(session(database), application_role=ROLE, lock_timeout=0.2)
    assert (caught.value.code, caught.value.exit_code) == ("migration_locked", ExitCode.LOCKED)
    assert tables(holder) == set()


def test_a_locked_table_does_not_hold_a_migration_for_ever(database, session):
    migrate.up(database)
    holder = session(database)
    change = Migration(9, "add", "ALTER TABLE rag.chunks ADD COLUMN more text;")
    with holder.transaction():
        holder.execute("LOCK TABLE rag.chunks")
        with pytest.raises(LockedError) as caught:
            schema.apply(session(database), application_role=ROLE, migrations=(*ALL, change), lock_timeout=0.2)
    assert "009_add.sql line 1" in caught.value.message
    assert len(schema.apply(session(database), application_role=ROLE, migrations=(*ALL, change))) == 1


def test_a_missing_application_role_is_named_before_anything_is_made(database, session):
    connection = session(database)
    with pytest.raises(MissingError, match='no role "nobody_here"'):
        schema.apply(connection, application_role="nobody_here")
    assert tables(connection) == set()


def test_a_connection_in_a_transaction_is_a_fault_of_the_caller(database, session):
    connection = session(database)
    with connection.transaction(), pytest.raises(ValueError, match="idle autocommit"):
        schema.apply(connection, application_role=ROLE)


@pytest.fixture
def filled(edition_database, session):
    """A collection, a document and two chunks, written by the application itself."""
    migrate.up(edition_database)
    application = session(edition_database, "application")
    fill(application)
    return edition_database


def fill(connection, name="docs"):
    connection.execute("INSERT INTO rag.embedding_models (name) VALUES ('nomic') ON CONFLICT DO NOTHING")
    collection = one(
        connection,
        "INSERT INTO rag.collections (name, directory, embedding_model, chunk_size, chunk_overlap, file_types)"
        " VALUES (%s, '/d', 'nomic', 512, 50, '{md}') RETURNING id",
        [name],
    )
    document = one(
        connection,
        "INSERT INTO rag.documents (collection_id, path, content_hash, size_bytes, modified_at, status)"
        " VALUES (%s, 'a.md', %s, 10, now(), 'indexed') RETURNING id",
        [collection, SHA],
    )
    connection.execute(
        "INSERT INTO rag.chunks (document_id, position, content, content_hash, point_collection)"
        " SELECT %s, n, 'häuser', %s, 'docs' FROM generate_series(0, 1) n",
        [document, SHA],
    )
    return collection, document


def test_the_application_writes_data_but_neither_schema_nor_its_records(filled, session):
    application = session(filled, "application")
    assert one(application, "SELECT char_count FROM rag.chunks LIMIT 1") == 6
    application.execute("INSERT INTO rag.query_logs (collection, duration_ms) VALUES ('docs', 3)")
    application.execute("INSERT INTO rag.ingestion_jobs (collection) VALUES ('docs')")
    assert one(application, "SELECT count(*) FROM rag.query_stats_hourly") >= 0
    for forbidden in (
        "CREATE TABLE rag.mine ()",
        "CREATE TABLE public.mine ()",
        "ALTER TABLE rag.chunks ADD COLUMN mine int",
        "DROP TABLE rag.chunks",
        "TRUNCATE rag.chunks",
        "DELETE FROM rag.audit_log",
        "UPDATE rag.schema_migrations SET version = 99",
        "SELECT rag.grant_application('rag_app')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            application.execute(forbidden)


def test_tables_of_later_migrations_are_open_to_the_application(database, session):
    later = Migration(9, "more", "CREATE TABLE rag.more (id int);")
    schema.apply(session(database), application_role=ROLE, migrations=(*ALL, later))
    session(database, "application").execute("INSERT INTO rag.more VALUES (1)")


def test_rights_are_given_again_to_another_role(filled, session):
    connection = session(filled)
    connection.execute("DROP ROLE IF EXISTS rag_other")
    connection.execute("CREATE ROLE rag_other")
    schema.grant_application(connection, "rag_other")
    assert one(connection, "SELECT has_table_privilege('rag_other', 'rag.chunks', 'DELETE')")
    assert not one(connection, "SELECT has_table_privilege('rag_other', 'rag.audit_log', 'INSERT')")
    connection.execute("DROP OWNED BY rag_other")
    connection.execute("DROP ROLE rag_other")


def test_changes_are_witnessed_with_who_and_what(filled, session):
    application = session(filled, "application")
    application.execute("SET ragops.actor = 'alice'")
    application.execute("UPDATE rag.collections SET chunk_size = 600")
    application.execute("UPDATE rag.collections SET chunk_size = 600")
    application.execute("RESET ragops.actor")
    application.execute("DELETE FROM rag.documents")
    rows = application.execute(
        "SELECT table_name, action, actor, login, old_row->>'chunk_size', new_row->>'chunk_size'"
        " FROM rag.audit_log WHERE at IS NOT NULL ORDER BY id"
    ).fetchall()
    assert rows == [
        ("embedding_models", "insert", "rag_app", "rag_app", None, None),
        ("collections", "insert", "rag_app", "rag_app", None, "512"),
        ("collections", "update", "alice", "rag_app", "512", "600"),
        ("documents", "delete", "rag_app", "rag_app", None, None),
    ]


def test_a_collection_with_documents_is_not_removed_by_accident(filled, session):
    with pytest.raises(psycopg.errors.IntegrityError):
        session(filled).execute("DELETE FROM rag.collections")


def test_what_lost_its_counterpart_is_found(filled, session):
    connection = session(filled)
    assert connection.execute("SELECT kind FROM rag.orphans").fetchall() == []
    known, *_ = (chunk for (chunk,) in connection.execute("SELECT id FROM rag.chunks"))
    stranger = one(connection, "SELECT gen_random_uuid()")
    lost = connection.execute("SELECT rag.orphan_points('docs', %s)", [[known, stranger]]).fetchall()
    assert lost == [(stranger,)]
    assert connection.execute("SELECT rag.orphan_points('other', %s)", [[known]]).fetchall() == [(known,)]
    connection.execute("INSERT INTO rag.embedding_models (name) VALUES ('unused')")
    connection.execute(
        "INSERT INTO rag.ingestion_jobs (collection, started_at) VALUES ('docs', now() - INTERVAL '2 d')"
    )
    connection.execute("DELETE FROM rag.chunks")
    kinds = {kind for (kind,) in connection.execute("SELECT kind FROM rag.orphans")}
    assert kinds == {"document without chunks", "model without collection", "job that never ended"}


def test_lookups_use_an_index(filled, session):
    connection = session(filled)
    collection, _ = fill(connection, "more")
    connection.execute(
        "INSERT INTO rag.collections (name, directory, embedding_model, chunk_size, chunk_overlap, file_types)"
        " SELECT 'c' || n, '/d', 'nomic', 512, 50, '{md}' FROM generate_series(1, 2000) n"
    )
    connection.execute(
        "INSERT INTO rag.documents (collection_id, path, content_hash, size_bytes, modified_at)"
        " SELECT %s, 'p' || n, %s, 1, now() FROM generate_series(1, 2000) n",
        [collection, SHA],
    )
    connection.execute(
        "INSERT INTO rag.chunks (document_id, position, content, content_hash, point_collection)"
        " SELECT id, 0, 'x', content_hash, 'docs' FROM rag.documents WHERE path LIKE 'p%'"
    )
    connection.execute("ANALYZE rag.collections, rag.documents, rag.chunks")
    for query in (
        "SELECT * FROM rag.collections WHERE name = 'c77'",
        f"SELECT * FROM rag.documents WHERE collection_id = {collection} AND path = 'p77'",
        "SELECT * FROM rag.documents WHERE path = 'p77'",
        "SELECT * FROM rag.chunks WHERE id = gen_random_uuid()".replace("gen_random_uuid()", f"'{'0' * 32}'::uuid"),
    ):
        plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {query}"))
        assert "Index" in plan, plan
        assert "Seq Scan" not in plan, plan


def test_old_query_logs_are_dropped_by_maintenance_or_policy_and_new_ones_kept(edition, filled, session):
    connection = session(filled)
    connection.execute(
        "INSERT INTO rag.query_logs (asked_at, collection, duration_ms)"
        " SELECT now() - n * INTERVAL '10 days', 'docs', 5 FROM generate_series(-20, 20) n"
    )
    connection.execute("INSERT INTO rag.ingestion_jobs (started_at, collection) VALUES (now() - INTERVAL '2 y', 'old')")
    report = migrate.maintain(filled)
    oldest = one(connection, "SELECT now() - min(asked_at) < INTERVAL '130 days' FROM rag.query_logs")
    kept = one(connection, "SELECT count(*) FROM rag.query_logs WHERE asked_at > now() - INTERVAL '90 days'")
    assert kept == 29
    assert one(connection, "SELECT count(*) FROM rag.ingestion_jobs") == 1
    assert bool(report.dropped) == (edition != "community") == oldest
    assert ("retention of query_logs" in report.by_policy) == (edition == "community")
    assert one(connection, "SELECT sum(queries) FROM rag.query_stats_daily") == one(
        connection, "SELECT count(*) FROM rag.query_logs"
    )
    again = migrate.maintain(filled)
    assert (again.partitions_made, again.dropped) == ((), ())


def test_rows_that_no_month_was_there_for_leave_the_default_partition(database, session):
    migrate.up(database)
    connection = session(database)
    connection.execute("INSERT INTO rag.query_logs (asked_at, duration_ms) VALUES ('2099-07-15 12:00+00', 1)")
    assert one(connection, "SELECT count(*) FROM rag.query_logs_default") == 1
    assert "query_logs_2099_07" in migrate.maintain(database).partitions_made
    assert one(connection, "SELECT count(*) FROM rag.query_logs_default") == 0
    assert one(connection, "SELECT count(*) FROM rag.query_logs_2099_07") == 1


def test_maintenance_without_a_schema_says_what_to_run(database):
    with pytest.raises(MissingError, match="no rag schema"):
        migrate.maintain(database)


def test_wrong_password_missing_database_and_nobody_there(database):
    operator = database.logins["operator"]
    wrong = replace(
        database, logins={**database.logins, "operator": replace(operator, password=type(operator.password)("no"))}
    )
    with pytest.raises(RagopsError) as refused:
        migrate.status(wrong)
    assert (refused.value.code, refused.value.exit_code) == ("database_login_refused", ExitCode.FAILED)
    with pytest.raises(MissingError) as missing:
        migrate.status(replace(database, options={"database": "nowhere"}))
    assert missing.value.code == "database_missing"
    with pytest.raises(UnhealthyError) as away:
        migrate.status(replace(database, port=1))
    assert away.value.code == "database_unreachable"
    assert all(error.value.hint for error in (refused, missing, away))
