"""TimescaleDB in its official image, from the service's own specification."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from ragops.errors import IntegrityError, MissingError
from ragops.operations.backup.staging import engine_part
from ragops.operations.restore.restore import RestoreRequest
from ragops.services import by_name
from ragops.services.contract import Status
from ragops.services.timescaledb import extension
from ragops.services.timescaledb.backup.backup import TimescaleBackup
from ragops.services.timescaledb.health import probe
from ragops.services.timescaledb.roles import log_in
from ragops.services.timescaledb.schema import migrations as schema
from tests.backup_helpers import restore, take, unpack

if TYPE_CHECKING:
    from ragops.operations.session import Platform
    from ragops.recovery.repositories import Repositories

OLD = "SELECT now() - interval '1 year', 'an old question' FROM generate_series(1, 100)"


@pytest.fixture(scope="module")
def service(start: Any) -> Any:
    found = start("timescaledb", memory="512mb", cpus=2)
    by_name("timescaledb").prepare(found.endpoint)
    return found


@pytest.fixture
def platform(service: Any, tmp_path: Path) -> Platform:
    """Up, with the whole schema, and a hypertable of 20,000 rows over a year of which some are compressed."""
    if not service.control.is_running():
        service.control.start()
    by_name("timescaledb").prepare(service.endpoint)
    service.sql("DROP SCHEMA IF EXISTS rag CASCADE; DROP TABLE IF EXISTS public.readings")
    with log_in(service.endpoint, "rag") as connection:
        schema.apply(connection, application_role="rag_app")
    service.sql("INSERT INTO rag.embedding_models (name, dimensions) VALUES ('m', 3)")
    service.sql("CREATE TABLE readings (at timestamptz NOT NULL, kind int NOT NULL, value text)")
    service.sql("SELECT create_hypertable('readings', 'at', chunk_time_interval => interval '14 days')")
    service.sql(
        "INSERT INTO readings SELECT timestamptz '2026-01-01' + i * interval '25 minutes', i % 7, md5(i::text)"
        " FROM generate_series(1, 20000) i"
    )
    if service.endpoint.options["license"] == "timescale":
        service.sql("ALTER TABLE readings SET (timescaledb.compress, timescaledb.compress_segmentby = 'kind')")
        service.sql("SELECT compress_chunk(c) FROM show_chunks('readings', older_than => timestamptz '2026-06-01') c")
    yield service.platform(tmp_path / "ragops.yaml")
    for name in databases(service):
        if "_before_" in name:
            service.sql(f'DROP DATABASE "{name}" WITH (FORCE)', database="postgres")


def databases(service: Any) -> set[str]:
    return {name for (name,) in service.sql("SELECT datname FROM pg_database", database="postgres")}


def test_it_is_tuned_to_its_memory(service: Any) -> None:
    def show(name: str) -> str:
        return service.sql(f"SHOW {name}")[0][0]

    assert show("shared_buffers") == "128MB"
    assert show("effective_cache_size") == "384MB"
    assert show("max_parallel_workers") == "2"
    assert show("data_checksums") == "on"
    assert show("timescaledb.telemetry_level") == "off"
    assert show("timescaledb.license") == "timescale"
    assert int(service.sh("df -k /dev/shm | tail -1 | awk '{print $2}'")) == 256 << 10
    row = service.sql("SELECT datlocprovider, pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'rag'")
    assert row == [("b", "UTF8")]
    raw = service.docker.api.inspect_container(service.name)
    assert raw["HostConfig"]["Memory"] == 512 << 20


def test_probe(service: Any, platform: Platform) -> None:
    found = probe(service.endpoint, 10)
    assert {check.status for check in found.checks} == {Status.OK}, found
    assert found.version == service.endpoint.version


def test_being_asked_how_it_is_leaves_no_line_in_its_log(service: Any) -> None:
    check = service.docker.api.inspect_container(service.name)["Config"]["Healthcheck"]["Test"][1:]
    before = service.docker.api.logs(service.name)
    for _ in range(3):
        assert service.docker.exec(service.name, check).code == 0
    added = service.docker.api.logs(service.name)[len(before) :].decode()
    assert "FATAL" not in added


def test_who_may_come_in(service: Any) -> None:
    """Two roles by password from the network; the operator's tools inside by the socket; nobody else at all."""
    inside = "psql -h /var/run/postgresql -d postgres -Atc 'SELECT current_user'"
    assert service.sh(f"{inside} -U rag_owner").strip() == "rag_owner"
    for user, where in (
        ("rag_app", "/var/run/postgresql"),
        ("postgres", "/var/run/postgresql"),
        ("rag_owner", "127.0.0.1"),
    ):
        said = service.sh(f"psql -w -h {where} -U {user} -d postgres -c 'SELECT 1' 2>&1 || true")
        assert "pg_hba" in said or "no password" in said, said
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host="127.0.0.1", port=service.endpoint.port, user="rag_app", password="x", dbname="rag")
    assert service.sql("SELECT current_user", role="application") == [("rag_app",)]


def test_no_secret_in_what_docker_shows(service: Any) -> None:
    assert "hunter2" not in str(service.docker.api.inspect_container(service.name))
    assert "hunter2" not in "\n".join(service.docker.logs(service.name, 5000))


def test_parallel_queries_have_room(service: Any, platform: Platform) -> None:
    with log_in(service.endpoint, "rag") as connection:
        for setting in (
            "max_parallel_workers_per_gather = 2", "parallel_setup_cost = 0", "parallel_tuple_cost = 0",
            "min_parallel_table_scan_size = 0", "work_mem = '32MB'", "enable_mergejoin = off", "enable_nestloop = off",
        ):  # fmt: skip
            connection.execute(f"SET {setting}")
        query = "SELECT count(*) FROM readings a JOIN readings b USING (at) JOIN readings c USING (at)"
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {query}"))
        assert "Parallel Hash" in plan
        assert connection.execute(query).fetchone() == (20000,)


def test_prepare_again_changes_nothing(service: Any, platform: Platform) -> None:
    before = service.sql("SELECT extname, extversion FROM pg_extension ORDER BY 1")
    by_name("timescaledb").prepare(service.endpoint)
    assert service.sql("SELECT extname, extversion FROM pg_extension ORDER BY 1") == before
    assert ("timescaledb", service.endpoint.version.partition("-")[0]) in before


def test_backup_and_restore(service: Any, platform: Platform, repos: Repositories) -> None:
    before = TimescaleBackup().counts(service.endpoint)
    assert before["public.readings"] == 20000
    point = take(platform, repos)
    part = point.manifest.parts_of("timescaledb")[0]
    assert part.counts == before
    assert list(part.versions)[:2] == ["timescaledb", "postgresql"]
    assert part.versions["extension.timescaledb"] == part.versions["timescaledb"]
    assert "linux" in part.versions["build"]
    service.sql("DELETE FROM rag.embedding_models; DROP TABLE readings")
    result = restore(RestoreRequest(), platform, repos)
    assert result.services[0].counts == before
    assert TimescaleBackup().counts(service.endpoint) == before
    chunks = service.sql("SELECT count(*), count(*) FILTER (WHERE is_compressed) FROM timescaledb_information.chunks")
    assert chunks[0][0] > 20
    assert chunks[0][1] > 5
    service.sql("INSERT INTO readings VALUES (now(), 1, 'new')")
    with log_in(service.endpoint, "rag") as connection:
        assert schema.status(connection).pending == 0
        assert schema.status(connection).edition is schema.Edition.COMMUNITY
    assert {name for name in databases(service) if "_restore_" in name} == set()


def retention_runs(service: Any) -> bool:
    """Have the job that empties `old` run, and whether it did.

    Told to run while it runs, the engine lets it fail, and tries again after five minutes: so it is told again.
    """
    for _ in range(6):
        service.sql(
            "SELECT alter_job(job_id, next_start => now()) FROM timescaledb_information.jobs"
            " WHERE hypertable_name = 'old'"
        )
        time.sleep(10)
        if service.sql("SELECT count(*) FROM old") == [(0,)]:
            return True
    return False


def test_jobs_run_in_the_restored_database_and_rest_in_the_old(
    service: Any, platform: Platform, repos: Repositories, wait_until: Any
) -> None:
    """Retention would remove old rows: not before they were counted, and never from what is kept."""
    service.sql("CREATE TABLE old (at timestamptz NOT NULL, q text); SELECT create_hypertable('old', 'at')")
    service.sql(f"INSERT INTO old {OLD}")
    take(platform, repos)
    try:
        # Its next start lies in the past as soon as it is there: it runs whenever a scheduler does.
        service.sql("SELECT add_retention_policy('old', interval '90 days')")
        wait_until(lambda: service.sql("SELECT count(*) FROM old") == [(0,)], 60)
        service.sql(f"INSERT INTO old {OLD}")
        point = take(platform, repos)
        assert point.manifest.parts_of("timescaledb")[0].counts["public.old"] == 100
        assert retention_runs(service), "the job did not run in the database from before"
        service.sql(f"INSERT INTO old {OLD}")
        restore(RestoreRequest(safety=False), platform, repos)  # compares every count
        assert retention_runs(service), "the job never ran in the restored database"
        (kept,) = [name for name in databases(service) if "_before_" in name]
        assert service.sql("SELECT count(*) FROM old", database=kept) == [(100,)]
        rows = service.sql(
            "SELECT datname, application_name FROM pg_stat_activity WHERE backend_type ILIKE '%timescale%'"
            " AND datname IS NOT NULL"
        )
        assert kept not in {name for name, _ in rows}, rows
        assert "rag" in {name for name, _ in rows}, rows
    finally:
        service.sql("DROP TABLE IF EXISTS old")


def test_what_is_kept_rests_from_the_swap_on(
    service: Any, platform: Platform, repos: Repositories, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed right after it, retention would go on in the database from before."""
    take(platform, repos)
    monkeypatch.setattr(extension, "stop_background_jobs", lambda *_: None)
    restore(RestoreRequest(safety=False), platform, repos)
    (kept,) = [name for name in databases(service) if "_before_" in name]
    assert service.sql("SHOW timescaledb.restoring", database=kept) == [("on",)]
    assert service.sql("SHOW timescaledb.restoring") == [("off",)]


def test_damage_is_found(service: Any, platform: Platform, repos: Repositories, tmp_path: Path) -> None:
    point = take(platform, repos)
    path = unpack(repos, point, "timescaledb", tmp_path / "plain") / "rag.dump"
    part = engine_part(point.manifest.parts_of("timescaledb")[0])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    with pytest.raises(IntegrityError) as caught:
        TimescaleBackup().verify(path.parent, part, service.control)
    assert caught.value.code == "archive_unreadable"


def test_preflight_refuses_what_does_not_fit(
    service: Any, platform: Platform, repos: Repositories, tmp_path: Path
) -> None:
    point = take(platform, repos)
    part = engine_part(point.manifest.parts_of("timescaledb")[0])
    folder = unpack(repos, point, "timescaledb", tmp_path / "plain")

    def refused(**changed: str) -> str:
        other = replace(part, versions={**part.versions, **changed})
        with pytest.raises(MissingError) as caught:
            TimescaleBackup().preflight(service.endpoint, service.control, folder, [other])
        return caught.value.code

    assert refused(postgresql="18.1") == "engine_too_old"
    assert refused(**{"extension.timescaledb": "2.99.0"}) == "extension_missing"
    embedded = replace(part, versions={"postgresql": "17.1"})
    with pytest.raises(MissingError, match="this is timescaledb") as caught:
        TimescaleBackup().preflight(service.endpoint, service.control, folder, [embedded])
    assert caught.value.code == "engine_differs"


@pytest.mark.fault
def test_a_restore_on_data_that_cannot_be_opened(service: Any, platform: Platform, repos: Repositories) -> None:
    take(platform, repos)
    counts = TimescaleBackup().counts(service.endpoint)
    service.sh("rm /var/lib/postgresql/data/current/global/pg_control")
    service.docker.api.kill(service.name)
    result = restore(RestoreRequest(), platform, repos)
    assert "could not start on its old data" in result.services[0].notes[0]
    assert f"{service.name}-data:current.before-restore-" in result.services[0].notes[0]
    assert TimescaleBackup().counts(service.endpoint) == counts


KILLED_RUN = """
    import os, pickle, signal, sys, threading
    from ragops.adapters import subprocess_tool as child
    from ragops.operations.restore import restore as operation
    from tests.backup_helpers import restore
    platform, repos = pickle.load(open(sys.argv[1], "rb"))
    real = child.run_tool
    def run(arguments, *rest, **named):
        if "--exit-on-error" in arguments:
            threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGKILL]).start()
        real(arguments, *rest, **named)
    child.run_tool = run
    restore(operation.RestoreRequest(safety=False), platform, repos)
"""


@pytest.mark.fault
def test_a_killed_restore_is_completed_by_the_next(
    service: Any, platform: Platform, repos: Repositories, tmp_path: Path, wait_until: Any
) -> None:
    service.sql("INSERT INTO readings SELECT at + interval '1 s', kind, value || repeat('x', 300) FROM readings")
    counts = TimescaleBackup().counts(service.endpoint)
    take(platform, repos)
    service.sql("DELETE FROM readings WHERE kind = 3")
    left = service.sql("SELECT count(*) FROM readings")
    handover = tmp_path / "handover"
    handover.write_bytes(pickle.dumps((platform, repos)))
    code = textwrap.dedent(KILLED_RUN)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run([sys.executable, "-c", code, str(handover)], timeout=120, check=False, env=environment)
    assert done.returncode == -signal.SIGKILL
    assert service.sql("SELECT count(*) FROM readings") == left, "the old database serves"
    tools = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_restore'"
    wait_until(lambda: service.sql(tools) == [(0,)], 60, "the end of the orphaned pg_restore")
    restore(RestoreRequest(safety=False), platform, repos)
    assert TimescaleBackup().counts(service.endpoint) == counts
    assert {name for name in databases(service) if "_restore_" in name} == set()


@pytest.mark.fault
def test_a_killed_server_has_lost_nothing(service: Any, platform: Platform, wait_until: Any) -> None:
    acknowledged, stop = [], threading.Event()

    def write() -> None:
        with log_in(service.endpoint, "rag") as connection:
            number = 0
            while not stop.is_set():
                connection.execute("INSERT INTO rag.embedding_models (name, dimensions) VALUES (%s, 3)", [f"k{number}"])
                acknowledged.append(number)
                number += 1

    def quietly() -> None:
        with contextlib.suppress(Exception):  # it is killed while it writes
            write()

    writer = threading.Thread(target=quietly)
    writer.start()
    wait_until(lambda: len(acknowledged) >= 50)
    service.docker.api.kill(service.name)
    stop.set()
    writer.join()
    service.control.start()
    rows = service.sql("SELECT count(*) FROM rag.embedding_models WHERE name LIKE 'k%'")[0][0]
    assert rows >= len(acknowledged)


def test_the_apache_edition_is_told_apart(start: Any) -> None:
    image = "timescale/timescaledb:2.19.3-pg17-oss"
    other = replace(start, names=replace(start.names, environment="oss"))
    service = other("timescaledb", image=image, memory="256mb", cpus=1)
    with pytest.raises(MissingError, match="Apache edition") as caught:
        by_name("timescaledb").prepare(service.endpoint)
    assert caught.value.code == "edition_missing"
    assert "license: apache" in caught.value.hint
    service.docker.remove(service.name, force=True)
    asked = other("timescaledb", image=image, memory="256mb", cpus=1, license="apache", port=service.endpoint.port)
    by_name("timescaledb").prepare(asked.endpoint)
    with log_in(asked.endpoint, "rag") as connection:
        schema.apply(connection, application_role="rag_app")
        assert schema.status(connection).edition is schema.Edition.APACHE
