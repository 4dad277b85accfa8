"""What a dump of one database lacks or cannot bring back by itself, on a real PostgreSQL: taken, restored, named."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import replace

import psycopg
import pytest

from ragops.errors import IntegrityError
from ragops.services.contract import Extent, NotRestored, Status
from ragops.services.timescaledb.backup import proof
from ragops.services.timescaledb.backup.backup import TimescaleBackup
from ragops.services.timescaledb.backup.server_globals import PART
from ragops.services.timescaledb.health import probe
from ragops.services.timescaledb.restore import database_builder, pg_restore
from tests.backup_helpers import KeepingWriter

pytestmark = pytest.mark.servers

ENGINE = TimescaleBackup()


@pytest.fixture
def database(postgres, postgres_platform):
    """Up with one table; what tests make beside it is removed at the end."""
    yield postgres
    for (name,) in postgres.sql("SELECT datname FROM pg_database WHERE datname ~ '^rag_'", database="postgres"):
        postgres.sql(f'DROP DATABASE "{name}" WITH (FORCE)', database="postgres")
    postgres.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public; ALTER DATABASE rag RESET ALL")
    if postgres.sql("SELECT 1 FROM pg_roles WHERE rolname = 'grafana'"):
        postgres.sql("ALTER DATABASE rag OWNER TO rag_owner")
        postgres.sql("DROP OWNED BY grafana CASCADE; DROP ROLE grafana")


def dumped(postgres, folder, *, encrypted=False):
    writer = KeepingWriter(folder)
    writer.encrypted = encrypted
    ENGINE.dump(postgres.endpoint, postgres.control, writer)
    return writer.parts


def notes_of(parts) -> str:
    return "\n".join(note for part in parts for note in part.notes)


def restored(postgres, folder, parts) -> str:
    ENGINE.preflight(postgres.endpoint, postgres.control, folder, parts)
    return "\n".join(ENGINE.restore(postgres.endpoint, postgres.control, folder, parts))


def test_roles_come_back_with_what_they_own_and_may(database, tmp_path):
    database.sql("CREATE ROLE grafana LOGIN CONNECTION LIMIT 4 PASSWORD 'geheim'; GRANT pg_monitor TO grafana")
    database.sql("GRANT USAGE ON SCHEMA rag TO grafana; GRANT SELECT ON ALL TABLES IN SCHEMA rag TO grafana")
    database.sql("CREATE TABLE public.notes (a int); ALTER TABLE public.notes OWNER TO grafana")
    parts = dumped(database, tmp_path)
    assert "the passwords of the roles grafana" in notes_of(parts)
    assert "SCRAM" not in (tmp_path / PART).read_text()
    database.sql("DROP OWNED BY grafana CASCADE; DROP ROLE grafana")
    told = restored(database, tmp_path, parts)
    assert "made the missing roles: grafana" in told
    assert "grafana in pg_monitor" in told
    assert "no password" in told
    owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'notes'"
    assert database.sql(owner) == [("grafana",)]
    rights = "SELECT has_table_privilege('grafana', 'rag.documents', 'SELECT'), rolconnlimit FROM pg_roles"
    assert database.sql(f"{rights} WHERE rolname = 'grafana'") == [(True, 4)]


def test_passwords_are_in_an_encrypted_point_and_roles_that_are_there_stay(database, tmp_path):
    database.sql("CREATE ROLE grafana LOGIN PASSWORD 'geheim'")
    before = database.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'grafana'")
    parts = dumped(database, tmp_path, encrypted=True)
    assert "passwords" not in notes_of(parts)
    database.sql("ALTER ROLE grafana NOLOGIN CREATEDB")
    told = restored(database, tmp_path, parts)
    assert "role grafana is here already and stays as it is" in told
    assert "LOGIN was on" in told
    assert database.sql("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'grafana'") == [(False,)]
    database.sql("DROP ROLE grafana")
    restored(database, tmp_path, parts)
    assert database.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'grafana'") == before


def test_an_invalid_index_is_named_and_in_the_way_of_nothing(database, tmp_path):
    database.sql("CREATE TABLE public.twice (x int); INSERT INTO public.twice VALUES (1), (1)")
    with suppress(psycopg.errors.UniqueViolation):
        database.sql("CREATE UNIQUE INDEX CONCURRENTLY broken ON public.twice (x)")
    check = next(check for check in probe(database.endpoint, 10).checks if check.name == "indexes")
    assert (check.status, "public.broken" in check.detail) == (Status.DEGRADED, True)
    assert "REINDEX INDEX CONCURRENTLY public.broken" in check.hint
    parts = dumped(database, tmp_path)
    assert "public.broken" in notes_of(parts)
    old = [replace(parts[0], counts={**parts[0].counts, "indexes": parts[0].counts["indexes"] + 1})]
    assert "invalid ones are in no dump" in restored(database, tmp_path, old), "as older versions counted"
    restored(database, tmp_path, parts)
    with pytest.raises(IntegrityError, match="indexes"):
        restored(database, tmp_path, [*old, parts[1]])


def test_what_cannot_be_made_again_is_named_and_no_proof(database, tmp_path):
    database.sql(
        "CREATE FUNCTION public.here(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN"
        " IF current_database() <> 'rag' THEN RAISE EXCEPTION 'not here'; END IF; RETURN x; END $$;"
        "CREATE TABLE public.items (x int); INSERT INTO public.items VALUES (1), (2);"
        "CREATE INDEX on_here ON public.items (public.here(x)); CREATE INDEX plain ON public.items (x)"
    )
    parts = dumped(database, tmp_path)
    with pytest.raises(IntegrityError, match="not here") as caught:
        proof.prove(database.endpoint, database.control, tmp_path, parts, 0.0)
    assert caught.value.code == "restore_incomplete"
    database.sql("DELETE FROM public.items")
    notes = ENGINE.restore(database.endpoint, database.control, tmp_path, parts)
    missing = [note for note in notes if isinstance(note, NotRestored)]
    assert any("not here" in note for note in missing), notes
    assert any("indexes came back" in note for note in missing), notes
    assert database.sql("SELECT count(*) FROM public.items") == [(2,)]
    assert database.sql("SELECT indexname FROM pg_indexes WHERE tablename = 'items'") == [("plain",)]


def test_a_check_with_names_without_a_schema_comes_back_as_it_was(database, tmp_path):
    database.sql("CREATE TABLE public.kinds (name text); INSERT INTO public.kinds VALUES ('a')")
    database.sql(
        "CREATE FUNCTION public.known(k text) RETURNS boolean LANGUAGE sql AS"
        " 'SELECT EXISTS (SELECT FROM kinds WHERE name = k)'"
    )
    database.sql(
        "CREATE TABLE public.items (kind text CHECK (public.known(kind))); INSERT INTO public.items VALUES ('a')"
    )
    parts = dumped(database, tmp_path)
    assert "the check items_kind_check of public.items depends on the search_path" in notes_of(parts)
    restored(database, tmp_path, parts)
    assert database.sql("SELECT * FROM public.items") == [("a",)]
    state = "SELECT convalidated, (SELECT proconfig FROM pg_proc WHERE proname = 'known') FROM pg_constraint"
    assert database.sql(f"{state} WHERE conname = 'items_kind_check'") == [(True, None)]
    with pytest.raises(psycopg.errors.CheckViolation):
        database.sql("INSERT INTO public.items VALUES ('b')")
    told = restored(database, tmp_path, parts[:1])  # of an older version: the second attempt finds the way
    assert database.sql("SELECT * FROM public.items") == [("a",)], told


def test_properties_of_the_database_come_back(database, tmp_path):
    database.sql("CREATE ROLE grafana; GRANT CONNECT ON DATABASE rag TO grafana")
    database.sql("ALTER DATABASE rag SET work_mem = '7MB'; ALTER ROLE grafana IN DATABASE rag SET search_path = a, b")
    database.sql("COMMENT ON DATABASE rag IS 'ours'; ALTER DATABASE rag CONNECTION LIMIT 50")
    query = (
        "SELECT datacl::text, datconnlimit, shobj_description(d.oid, 'pg_database'), pg_get_userbyid(datdba),"
        " (SELECT array_agg(s.setconfig::text ORDER BY 1) FROM pg_db_role_setting s WHERE s.setdatabase = d.oid)"
        " FROM pg_database d WHERE datname = 'rag'"
    )
    before = database.sql(query)
    parts = dumped(database, tmp_path)
    database.sql("ALTER DATABASE rag RESET ALL; COMMENT ON DATABASE rag IS NULL; ALTER DATABASE rag CONNECTION LIMIT 9")
    database.sql("REVOKE ALL ON DATABASE rag FROM grafana; ALTER ROLE grafana IN DATABASE rag RESET ALL")
    restored(database, tmp_path, parts)
    assert database.sql(query) == before
    database.sql("COMMENT ON DATABASE rag IS NULL; ALTER DATABASE rag CONNECTION LIMIT -1")


def test_other_databases_are_named(database, tmp_path):
    database.sql("CREATE DATABASE shop", database="postgres")
    try:
        parts = dumped(database, tmp_path)
    finally:
        database.sql("DROP DATABASE shop", database="postgres")
    assert "the other databases of the server, shop" in notes_of(parts)
    assert json.loads((tmp_path / PART).read_text())["other_databases"] == ["shop"]
    assert "other databases of the server, shop" in restored(database, tmp_path, parts)


def test_objects_that_no_dump_contains_are_refused(database, tmp_path):
    database.sql("CREATE FUNCTION pg_catalog.of_ours() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    try:
        with pytest.raises(IntegrityError, match=r"pg_catalog\.of_ours") as caught:
            dumped(database, tmp_path)
    finally:
        database.sql("SET allow_system_table_mods = on; DROP FUNCTION pg_catalog.of_ours()")
    assert caught.value.code == "not_restorable"


# --- proofs ----------------------------------------------------------------------------------------------------------


def scratch(postgres) -> list[tuple]:
    return postgres.sql("SELECT datname FROM pg_database WHERE datname LIKE 'rag_restore_%'", database="postgres")


def test_a_proof_restores_everything_and_leaves_nothing(database, tmp_path):
    database.sql("CREATE ROLE grafana; CREATE TABLE public.notes (a int); ALTER TABLE public.notes OWNER TO grafana")
    parts = dumped(database, tmp_path)
    database.sql("DROP OWNED BY grafana CASCADE; DROP ROLE grafana")
    found = ENGINE.prove(database.endpoint, database.control, tmp_path, parts, 600)
    assert (found.extent, found.left) == (Extent.RESTORED, ())
    assert set(found.proven) == {"rag.documents", "public.notes"}
    assert scratch(database) == []
    assert database.sql("SELECT 1 FROM pg_roles WHERE rolname = 'grafana'") == []
    wrong = [replace(parts[0], counts={**parts[0].counts, "rag.documents": 99}), parts[1]]
    with pytest.raises(IntegrityError, match="100, not 99"):
        ENGINE.prove(database.endpoint, database.control, tmp_path, wrong)
    assert scratch(database) == []


def test_a_proof_says_what_it_had_no_time_for(database, tmp_path, monkeypatch):
    database.sql("CREATE TABLE public.notes (a int); INSERT INTO public.notes VALUES (1)")
    parts = dumped(database, tmp_path)
    monkeypatch.setattr(proof, "_LEAST", 0.001)
    found = ENGINE.prove(database.endpoint, database.control, tmp_path, parts, 0.001)
    assert (found.extent, found.proven) == (Extent.SAMPLED, ())
    assert set(found.left) == {"rag.documents", "public.notes"}
    assert "the schema and 0 of 2 tables" in found.detail
    assert scratch(database) == []


def test_a_sample_counts_each_table(database, tmp_path):
    parts = dumped(database, tmp_path)
    part, wanted = database_builder.dump_of(parts), database_builder.globals_of(tmp_path, parts)
    with database_builder.new_database(database.endpoint, wanted) as fresh:
        order = pg_restore.RestoreJob(database.endpoint, database.control, fresh, tmp_path / part.name, part, wanted)
        now = time.monotonic()
        found = proof._sample(order, now, now + 600)
        assert (found.extent, found.proven, found.left) == (Extent.SAMPLED, ("rag.documents",), ())
        wrong = replace(order, part=replace(part, counts={**part.counts, "rag.documents": 7}))
        with pytest.raises(IntegrityError, match="100 rows after a restore, not 7"):
            proof._sample(wrong, now, now + 600)
        database_builder.drop(database.endpoint, fresh)


def test_a_server_that_is_down_is_read_only_proof(database, tmp_path):
    parts = dumped(database, tmp_path)
    database.control.stop()
    try:
        found = ENGINE.prove(database.endpoint, database.control, tmp_path, parts)
    finally:
        database.control.start()
    assert found.extent is Extent.READ
    assert "the server is down" in found.detail
