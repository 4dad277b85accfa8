"""Redis in its official image, from the service's own specification."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import NoPermissionError

from ragops.errors import IntegrityError, MissingError
from ragops.operations.backup.staging import engine_part
from ragops.operations.restore.restore import RestoreRequest
from ragops.recovery.manifest import Kind
from ragops.services import backup_engine
from ragops.services.contract import Status
from ragops.services.redis.backup import put_in_place
from ragops.services.redis.health import probe
from ragops.services.redis.repair import rescue
from tests.backup_helpers import damage, restore, take, unpack

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.adapters.progress import Progress
    from ragops.operations.session import Platform
    from ragops.recovery.repositories import Repositories


@pytest.fixture(scope="module")
def service(start: Any) -> Any:
    return start("redis", maxmemory="32mb")


@pytest.fixture
def platform(service: Any, tmp_path: Path) -> Platform:
    """Up, with 500 keys and 50 that expire."""
    if not service.control.is_running():
        service.control.start()
    with service.redis() as client:
        client.flushall()
        batch = client.pipeline()
        for number in range(500):
            batch.set(f"key:{number}", f"value {number}")
        for number in range(50):
            batch.set(f"soon:{number}", "x", ex=3600)
        batch.execute()
        client.move("key:0", 3)
    return service.platform(tmp_path / "ragops.yaml")


COUNTS = {"keys": 550, "expires": 50}


def test_nothing_that_backups_run_beside_it_is_left_to_the_engine(
    service: Any, platform: Platform, repos: Repositories
) -> None:
    """A small save is over before it is seen; what was to print it ends, and what that had started too."""
    before = len(service.control._host.api.top(service.endpoint.runtime_id, ps_args="-eo pid,args")["Processes"])
    for _ in range(3):
        take(platform, repos)
    rows = service.control._host.api.top(service.endpoint.runtime_id, ps_args="-eo pid,stat,args")["Processes"]
    assert len(rows) <= before, rows


def test_the_file_is_stored_while_the_engine_writes_it(service: Any, platform: Platform, repos: Repositories) -> None:
    """A slow save: what it has written is in the repository before it ends."""
    noise, seen = os.urandom(3000).hex(), set()
    with service.redis() as client:
        for number in range(3000):
            client.set(f"noise:{number}", noise[number:])
        client.config_set("rdb-key-save-delay", 1000)  # microseconds: three seconds

    def look(progress: Progress) -> None:
        if progress.resource == "redis/dump.rdb" and progress.text == "storing":
            with service.redis() as other:
                seen.add(bool(other.info("persistence")["rdb_bgsave_in_progress"]))

    try:
        point = take(platform, repos, on_progress=look)
    finally:
        with service.redis() as client:
            client.config_set("rdb-key-save-delay", 0)
            client.flushall()
    assert True in seen
    assert point.manifest.parts_of("redis")[0].counts["keys"] == 3550


def test_it_is_what_was_asked_for(service: Any) -> None:
    with service.redis() as client:
        info = client.info()
        config = client.config_get("appendonly", "appendfsync", "aof-use-rdb-preamble", "save", "dir")
    assert info["redis_version"] == service.endpoint.version
    assert config == {
        "appendonly": "yes", "appendfsync": "everysec", "aof-use-rdb-preamble": "yes",
        "save": "900 1 300 10 60 10000", "dir": "/data/current",
    }  # fmt: skip
    assert info["maxmemory"] == 32 << 20


def test_probe(service: Any) -> None:
    found = probe(service.endpoint, 5)
    assert {check.status for check in found.checks} == {Status.OK}, found
    assert found.version == service.endpoint.version
    assert "disk" not in {check.name for check in found.checks}, "the folder that it names is not this machine's"


def test_the_health_login_may_do_nothing_but_ping(service: Any) -> None:
    ask = "redis-cli --user health --pass none --no-auth-warning"
    assert service.sh(f"{ask} PING").strip() == "PONG"
    for command in ("GET x", "INFO", "ACL WHOAMI", "KEYS '*'", "CONFIG GET dir", "SUBSCRIBE x"):
        assert "NOPERM" in service.sh(f"{ask} {command}"), command
    for login in ("", "--user default --pass '' --no-auth-warning", "--user default --pass x --no-auth-warning"):
        assert "NOAUTH" in service.sh(f"redis-cli {login} PING 2>&1"), login


def test_no_secret_in_what_docker_shows(service: Any) -> None:
    assert "hunter2" not in str(service.docker.api.inspect_container(service.name))
    assert "hunter2" not in service.sh("cat /etc/ragops/*")
    assert "hunter2" not in "\n".join(service.docker.logs(service.name, 1000))


def test_backup_and_restore(service: Any, platform: Platform, repos: Repositories) -> None:
    point = take(platform, repos)
    (part,) = point.manifest.parts_of("redis")
    assert part.counts == COUNTS
    assert part.versions == {"redis": service.endpoint.version}
    with service.redis() as client:
        client.flushall()
        client.set("later", "1")
    result = restore(RestoreRequest(), platform, repos)
    assert repos.primary.get(result.safety).manifest.kind is Kind.SAFETY
    assert f"{service.name}-data:current.before-restore-" in result.services[0].notes[0]
    with service.redis() as client:
        assert client.get("key:7") == "value 7"
        assert client.dbsize() == 549
        client.set("after", "1")
    # The append-only files are the restored ones too: they win at the next start.
    service.control.stop()
    service.control.start()
    with service.redis() as client:
        assert (client.get("key:7"), client.get("after"), client.get("later")) == ("value 7", "1", None)


def test_a_restore_brings_a_stopped_service_up(service: Any, platform: Platform, repos: Repositories) -> None:
    take(platform, repos)
    service.control.stop()
    restore(RestoreRequest(), platform, repos)
    with service.redis() as client:
        assert client.dbsize() == 549


def test_damage_that_the_engine_reads_is_found(
    service: Any, platform: Platform, repos: Repositories, tmp_path: Path
) -> None:
    point = take(platform, repos)
    path = unpack(repos, point, "redis", tmp_path / "plain") / "dump.rdb"
    damage(path, "flipped")
    part = engine_part(point.manifest.parts_of("redis")[0])
    with pytest.raises(IntegrityError) as caught:
        backup_engine("redis").verify(path.parent, part, service.control)
    assert caught.value.code == "rdb_unreadable"
    # A value or a length, as it comes: keys lie in no order.
    assert "CRC" in caught.value.message or "rdb file reading failure" in caught.value.message


def test_a_file_of_the_embedded_engine_is_refused_in_words(
    service: Any, platform: Platform, repos: Repositories, tmp_path: Path
) -> None:
    from dataclasses import replace

    point = take(platform, repos)
    part = replace(engine_part(point.manifest.parts_of("redis")[0]), versions={"valkey": "9.1.2"})
    with pytest.raises(MissingError) as caught:
        backup_engine("redis").verify(unpack(repos, point, "redis", tmp_path / "plain"), part, service.control)
    assert caught.value.code == "engine_differs"


@pytest.mark.fault
def test_a_killed_server_has_lost_no_more_than_a_second(service: Any, platform: Platform) -> None:
    with service.redis() as client:
        client.set("before", "1")
        time.sleep(2.5)  # appendfsync everysec
    service.docker.api.kill(service.name)
    service.control.stop()
    service.control.start()
    with service.redis() as client:
        assert client.get("before") == "1"
        assert client.dbsize() == 550, "what was written in transactions is there too"


def damaged(service: Any, script: str) -> None:
    """Kill it and run `script` in its data folder, as root."""
    host, name = service.control._host, service.endpoint.runtime_id
    service.control.stop()
    container = host.container(name)
    mount = next(mount for mount in container.mounts if mount.kind == "volume" and not mount.read_only)
    done = host.run_once(
        f"{name}.damage", container.image_id, ("sh", "-ec", f"cd /v/current/appendonlydir; {script}"),
        mounts={mount.source: "/v"}, capabilities=["DAC_OVERRIDE", "FOWNER"],
    )  # fmt: skip
    assert done.code == 0, done.error_text


DAMAGES = {
    "garbage": "for file in *.incr.aof; do printf garbage >> $file; printf more >> $file; done",
    "no manifest": "rm *.manifest",
    "no line for the base": "sed -i '/type b/d' *.manifest",
}


@pytest.mark.fault
@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_data_are_repaired(service: Any, platform: Platform, name: str) -> None:
    damaged(service, DAMAGES[name])
    with rescue(service.control, "redis") as found:
        assert found.faults
        assert found.counts == COUNTS
        kept = put_in_place(service.endpoint, service.control, found.rdb, found.counts, "before-repair")
    assert "before-repair" in kept
    with service.redis() as client:
        assert client.dbsize() == 549  # one is in another database
        assert client.get("key:7") == "value 7"


def test_users_are_taken_over_without_a_restart(service: Any, platform: Platform) -> None:
    with service.redis() as client:
        assert "rag" in client.acl_users()
        assert client.acl_load() == "OK" or client.acl_load() is True


def test_the_application_has_the_documented_rights(service: Any, platform: Platform) -> None:
    with service.redis("application") as client:
        client.keys("nothing*")
        client.flushdb()
        for command in (("FLUSHALL",), ("CLIENT", "LIST"), ("CONFIG", "GET", "*")):
            with pytest.raises(NoPermissionError):
                client.execute_command(*command)
