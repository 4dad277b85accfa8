"""Backup and restore of a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from ragops.errors import ExitCode, IntegrityError, MissingError, RagopsError
from ragops.operations.backup.staging import engine_part
from ragops.operations.backup.verify import verify
from ragops.operations.restore.restore import RestoreRequest
from ragops.recovery.manifest import Kind
from ragops.services.contract import Login
from ragops.services.timescaledb.backup.backup import TimescaleBackup
from ragops.services.timescaledb.restore import database_builder, swap
from ragops.services.timescaledb.roles import log_in, prepare
from ragops.services.timescaledb.schema import migrations as schema
from tests.backup_helpers import (
    damage,
    forge_counts,
    forge_part,
    nothing_left,
    restore,
    stored,
    take,
    unpack,
)
from tests.dying import die_at, run_killed

pytestmark = pytest.mark.servers


def rows(postgres) -> int:
    return postgres.sql("SELECT count(*) FROM rag.documents")[0][0]


def databases(postgres) -> set[str]:
    return {name for (name,) in postgres.sql("SELECT datname FROM pg_database", database="postgres")}


def drop_kept(postgres) -> None:
    for name in databases(postgres):
        if "_before_" in name:
            postgres.sql(f'DROP DATABASE "{name}"', database="postgres")


@pytest.fixture(autouse=True)
def tidy(postgres):
    yield
    if postgres.control.is_running():
        drop_kept(postgres)


def test_backup_counts_rows_in_its_own_snapshot(postgres, postgres_platform, repos):
    postgres.sql('CREATE TABLE rag."a table" (x int); INSERT INTO rag."a table" VALUES (1), (2)')
    postgres.sql("CREATE TABLE rag.log (at timestamptz NOT NULL) PARTITION BY RANGE (at)")
    postgres.sql("CREATE TABLE rag.log_1 PARTITION OF rag.log FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')")
    postgres.sql("INSERT INTO rag.log SELECT '2020-05-01'::timestamptz FROM generate_series(1, 7)")
    point = take(postgres_platform, repos)
    part = point.manifest.parts_of("timescaledb")[0]
    assert part.name == "rag.dump"
    assert part.counts == {
        "rag.a table": 2, "rag.documents": 100, "rag.log": 7, "indexes": 1, "constraints": 1,
    }  # fmt: skip
    assert part.versions == {"postgresql": "18.4", "extension.plpgsql": "1.0"}
    verify(postgres_platform, repos)
    restore(RestoreRequest(safety=False), postgres_platform, repos)
    assert postgres.sql("SELECT count(*) FROM rag.log")[0][0] == 7


def test_counts_are_true_while_others_write(postgres, postgres_platform, repos):
    stop = threading.Event()

    def write() -> None:
        login = postgres.endpoint.logins["operator"]
        with log_in(postgres.endpoint, "rag") as connection:
            number = 1000
            while not stop.is_set():
                connection.execute("INSERT INTO rag.documents VALUES (%s, %s)", [number, login.user])
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        points = [take(postgres_platform, repos) for _ in range(3)]
    finally:
        stop.set()
        writer.join()
    for point in points:
        restore(RestoreRequest(point.id, safety=False), postgres_platform, repos)  # compares every count
        assert rows(postgres) == point.manifest.parts_of("timescaledb")[0].counts["rag.documents"]
        drop_kept(postgres)


@pytest.mark.parametrize(
    ("made", "stays"),
    [("", False), ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", True), ("SELECT lo_create(0)", True)],
)
def test_an_empty_database_is_not_kept_and_one_with_anything_in_it_is(postgres, postgres_platform, repos, made, stays):
    take(postgres_platform, repos)
    postgres.sql("DROP DATABASE rag WITH (FORCE)", database="postgres")
    postgres.sql("CREATE DATABASE rag", database="postgres")
    if made:
        postgres.sql(made)
    result = restore(RestoreRequest(safety=False), postgres_platform, repos)
    assert rows(postgres) == 100
    assert bool([name for name in databases(postgres) if "_before_" in name]) is stays
    assert bool(result.services[0].notes) is stays
    drop_kept(postgres)


def test_restore_replaces_other_data_and_keeps_the_old(postgres, postgres_platform, repos):
    take(postgres_platform, repos)
    postgres.sql("DELETE FROM rag.documents WHERE id > 10; CREATE TABLE rag.later (x int)")
    result = restore(RestoreRequest(), postgres_platform, repos)
    assert rows(postgres) == 100
    assert postgres.sql("SELECT to_regclass('rag.later')") == [(None,)]
    assert result.services[0].before["rag.documents"] == 10
    assert repos.primary.get(result.safety).manifest.kind is Kind.SAFETY
    assert postgres.sql("SELECT count(*) FROM rag.documents", role="application") == [(100,)]
    (kept,) = [name for name in databases(postgres) if "_before_" in name]
    assert postgres.sql("SELECT count(*) FROM rag.documents", database=kept) == [(10,)]
    assert result.services[0].notes == (f'the database from before is kept; to drop it: DROP DATABASE "{kept}";',)
    assert not [name for name in databases(postgres) if "_restore_" in name]
    acl = postgres.sql("SELECT datacl::text FROM pg_database WHERE datname = 'rag'", database="postgres")[0][0]
    assert "rag_app=Tc" in acl
    assert "{=" not in acl
    assert ",=" not in acl


def test_restore_wins_against_clients_that_come_back_at_once(postgres, postgres_platform, repos):
    take(postgres_platform, repos)
    stop, errors, seen = threading.Event(), [], []

    def hammer() -> None:
        while not stop.is_set():
            try:
                seen.append(postgres.sql("SELECT count(*) FROM rag.documents", role="application")[0][0])
            except psycopg.OperationalError as error:
                errors.append(str(error))

    clients = [threading.Thread(target=hammer) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        restore(RestoreRequest(safety=False), postgres_platform, repos)
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert set(seen) == {100}
    # Ended, or just waiting for the name at the instant of the swap: the next attempt gets the new one.
    expected = ("terminating", "dropped or renamed", "closed the connection")
    assert [error for error in errors if not any(words in error for words in expected)] == []
    assert rows(postgres) == 100


def test_restore_of_the_whole_schema(postgres, postgres_platform, repos):
    postgres.sql("DROP SCHEMA rag CASCADE")
    with log_in(postgres.endpoint, "rag") as connection:
        schema.apply(connection, application_role="rag_app")
    postgres.sql("INSERT INTO rag.embedding_models (name, dimensions) VALUES ('m', 3)")
    before = TimescaleBackup().counts(postgres.endpoint)
    take(postgres_platform, repos)
    postgres.sql("DROP SCHEMA rag CASCADE")
    restore(RestoreRequest(safety=False), postgres_platform, repos)
    assert TimescaleBackup().counts(postgres.endpoint) == before
    with log_in(postgres.endpoint, "rag") as connection:
        assert schema.status(connection).pending == 0


def test_restore_after_the_database_was_dropped(postgres, postgres_platform, repos):
    take(postgres_platform, repos)
    postgres.sql("DROP DATABASE rag WITH (FORCE)", database="postgres")
    result = restore(RestoreRequest(), postgres_platform, repos)
    assert rows(postgres) == 100
    assert result.safety == ""


def test_restore_after_kill_and_lost_files(postgres, postgres_platform, repos):
    take(postgres_platform, repos)
    postgres.kill()
    shutil.rmtree(postgres.data)
    restore(RestoreRequest(), postgres_platform, repos)
    assert rows(postgres) == 100
    assert postgres.sql("SELECT count(*) FROM rag.documents", role="application") == [(100,)]


def test_a_restore_waits_for_the_recovery_of_good_data(postgres, postgres_platform, repos):
    """Its port answers while it recovers; that is no reason to set its data aside."""
    take(postgres_platform, repos)
    postgres.sql("INSERT INTO rag.documents SELECT i, repeat('x', 500) FROM generate_series(1000, 150000) i")
    postgres.kill()
    result = restore(RestoreRequest(), postgres_platform, repos)
    assert "could not start" not in str(result.services[0].notes)
    (kept,) = [name for name in databases(postgres) if "_before_" in name]
    assert postgres.sql("SELECT count(*) FROM rag.documents", database=kept) == [(149101,)]


def test_restore_on_a_damaged_data_folder_keeps_it(postgres, postgres_platform, repos):
    take(postgres_platform, repos)
    postgres.kill()
    (postgres.data / "global" / "pg_control").unlink()
    result = restore(RestoreRequest(), postgres_platform, repos)
    assert rows(postgres) == 100
    assert "could not start on its old data" in result.services[0].notes[0]
    (aside,) = postgres.data.parent.glob("timescaledb.before-restore-*")
    assert (aside / "PG_VERSION").exists()
    shutil.rmtree(aside)


def test_restore_after_files_were_removed_under_a_running_server(postgres, postgres_platform, repos):
    take(postgres_platform, repos)
    shutil.rmtree(postgres.data / "global")
    restore(RestoreRequest(), postgres_platform, repos)
    assert rows(postgres) == 100


@pytest.mark.parametrize("kind", ["flipped", "truncated"])
def test_damage_is_found_before_anything_is_touched(postgres, postgres_platform, repos, kind):
    point = take(postgres_platform, repos)
    damage(stored(point, "timescaledb/rag.dump"), kind)
    with pytest.raises(IntegrityError) as caught:
        restore(RestoreRequest(), postgres_platform, repos)
    assert caught.value.code == "recovery_point_damaged"
    assert databases(postgres) == {"rag", "postgres", "template0", "template1"}


def test_truncation_with_forged_checksum_is_found_by_the_engine(postgres, postgres_platform, repos, tmp_path):
    postgres.sql("INSERT INTO rag.documents SELECT i, md5(i::text) FROM generate_series(1000, 30000) i")
    point = take(postgres_platform, repos)
    content = (unpack(repos, point, "timescaledb", tmp_path / "plain") / "rag.dump").read_bytes()
    forge_part(repos, point, "timescaledb/rag.dump", content[: len(content) * 6 // 10])
    verify(None, repos)  # to whom has the key, and no engine, all is well
    for attempt in (
        lambda: verify(postgres_platform, repos),
        lambda: restore(RestoreRequest(dry_run=True), postgres_platform, repos),
    ):
        with pytest.raises(IntegrityError) as caught:
            attempt()
        assert caught.value.code == "archive_unreadable"
    postgres.sql("INSERT INTO rag.documents VALUES (101, 'live')")
    with pytest.raises(RagopsError, match="pg_restore"):
        restore(RestoreRequest(), postgres_platform, repos)
    assert rows(postgres) == 29102
    assert databases(postgres) == {"rag", "postgres", "template0", "template1"}


def test_wrong_counts_leave_the_old_database_serving(postgres, postgres_platform, repos):
    point = take(postgres_platform, repos)
    forge_counts(repos, point, "timescaledb/rag.dump", **{"rag.documents": 99})
    postgres.sql("INSERT INTO rag.documents VALUES (101, 'live')")
    with pytest.raises(IntegrityError) as caught:
        restore(RestoreRequest(safety=False), postgres_platform, repos)
    assert caught.value.code == "counts_differ"
    assert caught.value.exit_code is ExitCode.INTEGRITY
    assert "rag.documents: 100, not 99" in caught.value.message
    assert rows(postgres) == 101
    assert databases(postgres) == {"rag", "postgres", "template0", "template1"}


def test_a_table_that_the_archive_lacks_is_found(postgres, postgres_platform, repos):
    point = take(postgres_platform, repos)
    forge_counts(repos, point, "timescaledb/rag.dump", **{"rag.chunks": 5})
    with pytest.raises(IntegrityError, match=r"rag\.chunks") as caught:
        verify(postgres_platform, repos)
    assert caught.value.code == "tables_missing"


def test_preflight_refuses_newer_versions_and_missing_extensions(postgres, postgres_platform, repos, tmp_path):
    point = take(postgres_platform, repos)
    folder = unpack(repos, point, "timescaledb", tmp_path / "plain")
    part = engine_part(point.manifest.parts_of("timescaledb")[0])

    def refused(versions) -> str:
        with pytest.raises(MissingError) as caught:
            TimescaleBackup().preflight(postgres.endpoint, postgres.control, folder, [replace(part, versions=versions)])
        return caught.value.code

    assert refused({"timescaledb": "2.19"}) == "engine_differs"
    assert refused({"postgresql": "19.1"}) == "engine_too_old"
    assert refused({"postgresql": "18.4", "extension.timescaledb": "2.19.3"}) == "extension_missing"


def test_failed_dump_leaves_nothing(postgres, postgres_platform, repos):
    """A lock that pg_dump waits for in vain, cut short by an interrupt."""
    with log_in(postgres.endpoint, "rag") as blocker:
        blocker.execute("BEGIN; LOCK TABLE rag.documents IN ACCESS EXCLUSIVE MODE")
        threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            take(postgres_platform, repos)
        blocker.execute("ROLLBACK")
    assert nothing_left(repos)
    time.sleep(0.2)
    assert postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ragops'") == [(0,)]
    take(postgres_platform, repos)


def test_leftovers_of_killed_runs_are_cleared(postgres, postgres_platform, repos):
    take(postgres_platform, repos)
    left = repos.primary.store.folder / "default" / "20200101T000000Z-abcdef" / "redis"
    left.mkdir(parents=True)
    (left / "dump.rdb.zst").write_bytes(b"half of it")
    postgres.sql("CREATE DATABASE rag_restore_20200101t000000123", database="postgres")
    restore(RestoreRequest(), postgres_platform, repos)
    assert not left.exists()
    assert "rag_restore_20200101t000000123" not in databases(postgres)


def restore_and_die(platform, repos, point: str, when: str) -> None:
    die_at(when, database_builder, "fill")
    die_at(when, swap, "swap_databases")
    restore(RestoreRequest(point, safety=False), platform, repos)


@pytest.mark.fault
@pytest.mark.parametrize("when", ["in fill", "before swap_databases", "in swap_databases", "after swap_databases"])
def test_killed_restore_is_completed_by_the_next(postgres, postgres_platform, repos, tmp_path, when):
    postgres.sql("INSERT INTO rag.documents SELECT i, md5(i::text) FROM generate_series(1000, 100000) i")
    point = take(postgres_platform, repos)
    postgres.sql("DELETE FROM rag.documents WHERE id > 10")
    run_killed(tmp_path, restore_and_die, postgres_platform, repos, point.id, when)
    serving = rows(postgres)
    assert serving in (10, 99101)  # the old or the new, whole, under its own name
    if when in ("in fill", "before swap_databases"):
        assert serving == 10
    restore(RestoreRequest(point.id, safety=False), postgres_platform, repos)
    assert rows(postgres) == 99101
    assert not [name for name in databases(postgres) if "_restore_" in name]


def test_prepare_is_idempotent_and_sends_no_password(postgres, postgres_platform):
    postgres.sql("ALTER DATABASE postgres SET log_statement = 'all'", database="postgres")
    try:
        changed = "rotated-password-of-the-application"
        login = postgres.endpoint.logins["application"]
        logins = {**postgres.endpoint.logins, "application": Login(login.user, login.secret, SecretStr(changed))}
        endpoint = replace(postgres.endpoint, logins=logins)
        prepare(endpoint)
        query = "SELECT rolpassword FROM pg_authid WHERE rolname = 'rag_app'"
        verifier = postgres.sql(query)
        prepare(endpoint)
        assert postgres.sql(query) == verifier
        log = (Path(postgres.spec.run_dir) / "timescaledb.log").read_text()
        assert "ALTER ROLE" in log
        assert changed not in log
    finally:
        postgres.sql("ALTER DATABASE postgres RESET log_statement", database="postgres")
        prepare(postgres.endpoint)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        postgres.sql("CREATE DATABASE x", role="application")


def test_wrong_password_is_said_and_not_repaired(postgres, postgres_platform, repos):
    take(postgres_platform, repos)
    login = postgres.endpoint.logins["operator"]
    logins = {**postgres.endpoint.logins, "operator": Login(login.user, login.secret, SecretStr("wrong"))}
    endpoint = replace(postgres.endpoint, logins=logins)
    with pytest.raises(RagopsError) as caught:
        restore(RestoreRequest(), replace(postgres_platform, endpoints={"timescaledb": endpoint}), repos)
    assert caught.value.code == "database_login_refused"
    assert rows(postgres) == 100
