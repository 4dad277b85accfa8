"""The probes on real engines: what they find, and that they never raise nor hang."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from ragops.runtimes.embedded.processes.state import read_record
from ragops.services.contract import Capability, Login, Status
from ragops.services.contract.probe import SCHEMA_MISSING
from ragops.services.redis.health import probe as probe_redis
from ragops.services.timescaledb.health import probe as probe_postgres
from ragops.services.timescaledb.roles import log_in
from ragops.services.timescaledb.schema import migrations as schema
from tests.waiting import wait_until

PATIENT = 20.0  # seconds: on a busy machine an answer takes longer than an operator would wait


def found(result) -> dict[str, Status]:
    return {check.name: check.status for check in result.checks}


def hint(result, name: str) -> str:
    return next(check.hint for check in result.checks if check.name == name)


def with_password(endpoint, role: str, password: str):
    login = endpoint.logins[role]
    return replace(endpoint, logins={**endpoint.logins, role: Login(login.user, login.secret, SecretStr(password))})


def test_a_healthy_redis(valkey, redis_platform):
    result = probe_redis(valkey.endpoint, PATIENT)
    assert result.status is Status.OK
    assert result.version == "9.1.2"
    assert list(found(result)) == [
        "reachable", "write", "application login", "persistence", "memory", "replication", "disk",
    ]  # fmt: skip
    with valkey.redis() as client:
        assert client.dbsize() == 0  # the probe leaves nothing


def is_down(result: Any) -> None:
    assert found(result) == {"reachable": Status.DOWN}
    assert "ragops up" in hint(result, "reachable")


def test_redis_is_down(valkey, redis_platform):
    valkey.kill()
    is_down(probe_redis(valkey.endpoint, PATIENT))


def refuses_logins(probe: Any, endpoint: Any) -> None:
    result = probe(with_password(endpoint, "operator", "wrong"), PATIENT)
    assert found(result) == {"reachable": Status.DOWN}
    assert "wrong" not in str(result)
    result = probe(with_password(endpoint, "application", "wrong"), PATIENT)
    assert found(result)["application login"] is Status.DOWN
    assert found(result)["write"] is Status.OK


def test_redis_refuses_logins(valkey, redis_platform):
    refuses_logins(probe_redis, valkey.endpoint)


def test_redis_hangs(valkey, redis_platform):
    pid = read_record(Path(valkey.spec.run_dir)).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        result = probe_redis(valkey.endpoint, 1)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert found(result) == {"reachable": Status.DOWN}


@pytest.mark.parametrize(
    ("setting", "value", "check", "status"),
    [
        ("appendonly", "no", "persistence", Status.DEGRADED),
        ("min-replicas-to-write", "3", "write", Status.DOWN),
        ("maxmemory", "0", "memory", Status.DEGRADED),
    ],
)
def test_redis_settings_changed_by_hand(valkey, redis_platform, setting, value, check, status):
    with valkey.redis() as client:
        before = client.config_get(setting)[setting]
        client.config_set(setting, value)
        try:
            result = probe_redis(valkey.endpoint, PATIENT)
        finally:
            client.config_set(setting, before)
    assert found(result)[check] is status
    assert hint(result, check)


def test_redis_that_cannot_save(valkey, redis_platform):
    """A folder in the place of its file: the snapshot cannot be renamed, and writes are refused from then on."""
    with valkey.redis() as client:
        blocked = valkey.data / "dump.rdb"
        blocked.unlink(missing_ok=True)
        blocked.mkdir()
        (blocked / "x").touch()
        client.set("a", 1)
        wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
        client.bgsave()
        wait_until(lambda: not client.info("persistence")["rdb_bgsave_in_progress"])
        result = probe_redis(valkey.endpoint, PATIENT)
        shutil.rmtree(blocked)
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "ok")
    assert found(result)["write"] is Status.DOWN
    assert found(result)["snapshot"] is Status.DEGRADED
    assert "disk" in hint(result, "write")


def test_redis_replica(valkey, redis_platform):
    with valkey.redis() as client:
        client.replicaof("127.0.0.1", "1")
        result = probe_redis(valkey.endpoint, PATIENT)
        client.replicaof("NO", "ONE")
    assert found(result)["replication"] is Status.DOWN
    assert found(result)["write"] is Status.DOWN
    assert "replica" in hint(result, "write")


def test_files_are_not_looked_at_without_the_right(valkey, postgres, redis_platform, postgres_platform):
    bare = frozenset({Capability.EXEC})
    assert "disk" not in found(probe_redis(replace(valkey.endpoint, capabilities=bare), PATIENT))
    assert "disk" not in found(probe_postgres(replace(postgres.endpoint, capabilities=bare), PATIENT))


def test_postgres_without_a_schema_is_degraded(postgres, postgres_platform):
    postgres.sql("DROP SCHEMA rag CASCADE")
    result = probe_postgres(postgres.endpoint, PATIENT)
    assert result.status is Status.DEGRADED
    assert [name for name, status in found(result).items() if status is not Status.OK] == ["schema"]
    assert hint(result, "schema") == "run `ragops migrate up`"
    assert [check.code for check in result.checks if check.code] == [SCHEMA_MISSING]


def test_a_healthy_postgres(postgres, postgres_platform):
    postgres.sql("DROP SCHEMA rag CASCADE")
    with log_in(postgres.endpoint, "rag") as connection:
        schema.apply(connection, application_role="rag_app")
    before = postgres.sql("SELECT count(*) FROM pg_class")
    result = probe_postgres(postgres.endpoint, PATIENT)
    assert result.status is Status.OK, result
    assert result.version == "18.4"
    assert list(found(result)) == [
        "reachable", "write", "schema", "connections", "transactions", "wraparound", "replication",
        "indexes", "restorable", "application login", "disk",
    ]  # fmt: skip
    assert postgres.sql("SELECT count(*) FROM pg_class") == before


def test_postgres_is_down_or_lost_its_database(postgres, postgres_platform):
    postgres.sql("DROP DATABASE rag WITH (FORCE)", database="postgres")
    assert found(probe_postgres(postgres.endpoint, PATIENT)) == {"reachable": Status.DOWN}
    postgres.kill()
    is_down(probe_postgres(postgres.endpoint, PATIENT))


def test_postgres_refuses_logins(postgres, postgres_platform):
    refuses_logins(probe_postgres, postgres.endpoint)


def test_postgres_read_only(postgres, postgres_platform):
    postgres.sql("ALTER DATABASE rag SET default_transaction_read_only = on", database="postgres")
    try:
        result = probe_postgres(postgres.endpoint, PATIENT)
    finally:
        postgres.sql("ALTER DATABASE rag RESET default_transaction_read_only", database="postgres")
    assert found(result)["write"] is Status.DOWN
    assert "read-only" in next(check.detail for check in result.checks if check.name == "write")


def test_postgres_hangs_at_login(postgres, postgres_platform):
    pid = read_record(Path(postgres.spec.run_dir)).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        result = probe_postgres(postgres.endpoint, 2)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert found(result) == {"reachable": Status.DOWN}


def test_postgres_hangs_after_login(postgres, postgres_platform, monkeypatch):
    """The session itself is stopped by the kernel: only our own deadline ends the wait."""
    from ragops.services.timescaledb.backup import counts

    stopped = []
    real = counts.server_version

    def stopping(connection):
        stopped.append(connection.info.backend_pid)
        os.kill(stopped[0], signal.SIGSTOP)
        return real(connection)

    monkeypatch.setattr(counts, "server_version", stopping)
    try:
        result = probe_postgres(postgres.endpoint, 1)
    finally:
        os.kill(stopped[0], signal.SIGCONT)
    assert found(result)["answer"] is Status.DOWN


def test_an_open_transaction_of_others_is_seen(postgres, postgres_platform, monkeypatch):
    from ragops.services.timescaledb import health

    monkeypatch.setattr(health, "_IDLE_SECONDS", 0)
    with log_in(postgres.endpoint, "rag") as other:
        other.execute("BEGIN; SELECT 1")
        result = probe_postgres(postgres.endpoint, PATIENT)
    assert found(result)["transactions"] is Status.DEGRADED
    assert "pg_terminate_backend" in hint(result, "transactions")
