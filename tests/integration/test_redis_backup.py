"""Backup and restore of a real Valkey."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ragops.errors import ExitCode, IntegrityError, MissingError, RagopsError
from ragops.operations import backup
from ragops.operations.restore import RestoreRequest, restore
from ragops.recovery.manifest import FILE_NAME, Kind
from ragops.services.contract import Capability
from ragops.services.redis.backup import RedisBackup


def fill(valkey, keys: int = 500, expiring: int = 50) -> None:
    with valkey.redis() as client:
        batch = client.pipeline()
        for number in range(keys):
            batch.set(f"key:{number}", f"value {number}")
        for number in range(expiring):
            batch.set(f"soon:{number}", "x", ex=3600)
        batch.execute()


def alive(valkey) -> dict[str, str]:
    with valkey.redis() as client:
        return {key: client.get(key) for key in client.scan_iter()}


def rewrite_checksum(point) -> None:
    """Make the manifest agree with the files, as somebody who forges a recovery point would."""
    import hashlib
    import json

    path = point.folder / FILE_NAME
    values = json.loads(path.read_text())
    for part in values["parts"]:
        content = (point.folder / part["service"] / part["name"]).read_bytes()
        part["sha256"], part["size"] = hashlib.sha256(content).hexdigest(), len(content)
    path.write_text(json.dumps(values))


def test_backup_counts_what_the_file_holds(valkey, redis_platform, repository):
    fill(valkey)
    with valkey.redis() as client:
        client.move("key:0", 3)
    point = backup.run(redis_platform, repository)
    part = point.manifest.of("redis")[0]
    expected = {"keys": 550, "db0.keys": 549, "db0.expires": 50, "db3.keys": 1, "db3.expires": 0}
    assert part.counts == expected
    assert part.versions == {"valkey": "9.1.2"}
    assert [part.path for part in point.manifest.of("platform")] == ["platform/ragops.yaml"]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in point.folder.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert stat.S_IMODE(point.folder.stat().st_mode) == 0o700
    backup.verify(redis_platform, repository)


def test_backup_waits_for_a_rewrite_of_the_engine(valkey, redis_platform, repository):
    fill(valkey, keys=20_000)
    with valkey.redis() as client:
        client.bgrewriteaof()
        saves = client.info("persistence")["rdb_saves"]
    point = backup.run(redis_platform, repository)
    assert point.manifest.of("redis")[0].counts["keys"] == 20_050
    with valkey.redis() as client:
        assert client.info("persistence")["rdb_saves"] == saves + 1


def test_counts_hold_after_keys_have_expired(valkey, redis_platform, repository):
    with valkey.redis() as client:
        client.set("stays", 1)
        client.set("goes", 1, px=400)
    point = backup.run(redis_platform, repository)
    time.sleep(0.6)
    backup.verify(redis_platform, repository)
    restore(RestoreRequest(safety=False), redis_platform, repository)
    assert point.manifest.of("redis")[0].counts["keys"] == 2
    assert alive(valkey) == {"stays": "1"}


def test_restore_replaces_other_data_and_survives_a_kill(valkey, redis_platform, repository):
    fill(valkey)
    saved = alive(valkey)
    backup.run(redis_platform, repository)
    with valkey.redis() as client:
        client.flushall()
        client.set("written after", 1)
    result = restore(RestoreRequest(), redis_platform, repository)
    assert alive(valkey) == saved
    assert result.services[0].before == {"keys": 1, "db0.keys": 1, "db0.expires": 0}
    assert result.safety is not None
    assert result.safety.manifest.kind is Kind.SAFETY
    with valkey.redis() as client:
        assert client.info("persistence")["aof_enabled"] == 1
        client.set("written later", 1)
        time.sleep(1.2)  # everysec
    valkey.kill()
    valkey.start()
    assert alive(valkey) == {**saved, "written later": "1"}


def test_latest_is_not_the_safety_point(valkey, redis_platform, repository):
    fill(valkey)
    first = backup.run(redis_platform, repository)
    safety = restore(RestoreRequest(), redis_platform, repository).safety
    assert repository.get("latest").id == first.id
    assert repository.get(safety.id).manifest.kind is Kind.SAFETY


def test_restore_after_kill_and_lost_files(valkey, redis_platform, repository):
    fill(valkey)
    saved = alive(valkey)
    backup.run(redis_platform, repository)
    valkey.kill()
    shutil.rmtree(valkey.data)
    result = restore(RestoreRequest(), redis_platform, repository)
    assert result.safety is None
    assert "redis is down" in result.notes[0]
    assert alive(valkey) == saved


def test_todays_credentials_hold_after_a_restore(valkey, redis_platform, repository):
    fill(valkey)
    backup.run(redis_platform, repository)
    restore(RestoreRequest(safety=False), redis_platform, repository)
    with valkey.redis("application") as client:
        assert client.get("key:1") == "value 1"
    assert supervise_digest(valkey) == valkey.spec.digest()


def supervise_digest(valkey) -> str:
    from ragops.runtimes.embedded.observe import read_record

    return read_record(Path(valkey.spec.run_dir)).digest


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_damage_is_found_before_anything_is_touched(valkey, redis_platform, repository, damage):
    fill(valkey)
    point = backup.run(redis_platform, repository)
    path = point.folder / "redis" / "dump.rdb"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content if damage == "flipped" else content[:-20])
    if damage == "missing":
        path.unlink()
    with valkey.redis() as client:
        client.set("live", 1)
        started = client.info("server")["run_id"]
    with pytest.raises(IntegrityError) as caught:
        restore(RestoreRequest(), redis_platform, repository)
    assert caught.value.code == "recovery_point_damaged"
    assert "redis/dump.rdb" in caught.value.message
    with valkey.redis() as client:
        assert client.get("live") == "1"
        assert client.info("server")["run_id"] == started
    assert len(repository.list().points) == 1  # no safety point was needed


@pytest.mark.parametrize("keep", [-20, 200])
def test_damage_with_forged_checksums_is_found_by_the_engine(valkey, redis_platform, repository, keep):
    fill(valkey)
    point = backup.run(redis_platform, repository)
    path = point.folder / "redis" / "dump.rdb"
    path.write_bytes(path.read_bytes()[:keep])
    rewrite_checksum(point)
    with pytest.raises(IntegrityError) as caught:
        restore(RestoreRequest(), redis_platform, repository)
    assert caught.value.code == "rdb_unreadable"
    assert len(alive(valkey)) == 550


def test_wrong_counts_are_found(valkey, redis_platform, repository):
    fill(valkey)
    point = backup.run(redis_platform, repository)
    path = point.folder / FILE_NAME
    path.write_text(path.read_text().replace("550", "551"))
    with pytest.raises(IntegrityError) as caught:
        backup.verify(redis_platform, repository)
    assert caught.value.code == "counts_differ"
    assert "keys: 550, not 551" in caught.value.message
    assert caught.value.exit_code is ExitCode.INTEGRITY


def test_failed_start_brings_the_old_data_back(valkey, redis_platform, repository):
    """The new data are in place, but the server does not come up with them."""
    fill(valkey)
    point = backup.run(redis_platform, repository)
    with valkey.redis() as client:
        client.set("live", 1)
    part = backup.engine_part(point.manifest.of("redis")[0])
    with pytest.raises(RagopsError):
        RedisBackup().restore(valkey.endpoint, BrokenFirstStart(valkey.control), point.folder / "redis", [part])
    valkey.start()
    assert alive(valkey)["live"] == "1"
    assert list(valkey.data.parent.glob("redis.failed-restore-*"))


class BrokenFirstStart:
    """The real control, but the first start after the data were replaced fails as a lost server does."""

    def __init__(self, inner) -> None:
        self._inner = inner
        self._failed = False

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def start(self, extra_args=()) -> None:
        if not self._failed:
            self._failed = True
            raise RagopsError("service_failed", "it ended")
        self._inner.start(extra_args)


def test_preflight_refuses_other_engines_and_missing_rights(valkey, redis_platform, repository):
    fill(valkey)
    point = backup.run(redis_platform, repository)
    folder = point.folder / "redis"
    part = backup.engine_part(point.manifest.of("redis")[0])
    engine = RedisBackup()

    def refused(endpoint, part):
        with pytest.raises(MissingError) as caught:
            engine.preflight(endpoint, valkey.control, folder, [part])
        return caught.value

    assert refused(valkey.endpoint, replace(part, versions={"redis": "8.0.1"})).code == "engine_differs"
    assert refused(valkey.endpoint, replace(part, versions={"valkey": "10.0.0"})).code == "engine_too_old"
    bare = replace(valkey.endpoint, capabilities=frozenset({Capability.READ_FILES}))
    error = refused(bare, part)
    assert error.code == "capability_missing"
    assert "can_restart" in error.message
    assert error.exit_code is ExitCode.MISSING
    engine.preflight(valkey.endpoint, valkey.control, folder, [part])


def test_dump_without_file_access_says_what_is_missing(valkey, redis_platform, repository, tmp_path):
    bare = replace(valkey.endpoint, capabilities=frozenset())
    with pytest.raises(MissingError, match="can_read_files"):
        RedisBackup().dump(bare, valkey.control, tmp_path)


def test_dry_run_touches_nothing(valkey, redis_platform, repository):
    fill(valkey)
    backup.run(redis_platform, repository)
    with valkey.redis() as client:
        client.set("live", 1)
    result = restore(RestoreRequest(dry_run=True), redis_platform, repository)
    assert result.dry_run
    assert result.services[0].before["keys"] == 551
    assert result.services[0].counts["keys"] == 550
    assert alive(valkey)["live"] == "1"


def test_backup_of_a_dead_server_leaves_nothing(valkey, redis_platform, repository):
    valkey.kill()
    with pytest.raises(RagopsError) as caught:
        backup.run(redis_platform, repository)
    assert caught.value.code == "redis_unreachable"
    assert caught.value.exit_code is ExitCode.UNHEALTHY
    assert list(repository.folder.iterdir()) == []


KILLED_RUN = """
    import os, pickle, signal, sys
    from ragops.operations import restore as operation
    from ragops.runtimes.embedded import control as runtime
    platform, repository, point, when = pickle.load(open(sys.argv[1], "rb"))
    def dying(name):
        real = getattr(runtime.ProcessControl, name)
        def method(self, *arguments, **named):
            if when == "before " + name:
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(self, *arguments, **named)
            if when == "after " + name:
                os.kill(os.getpid(), signal.SIGKILL)
            return result
        setattr(runtime.ProcessControl, name, method)
    for name in ("stop", "replace_data", "start"):
        dying(name)
    operation.restore(operation.RestoreRequest(point, safety=False), platform, repository)
"""


@pytest.mark.fault
@pytest.mark.parametrize("when", ["before stop", "after stop", "after replace_data", "after start"])
def test_killed_restore_is_completed_by_the_next(valkey, redis_platform, repository, tmp_path, when):
    import pickle

    fill(valkey)
    saved = alive(valkey)
    point = backup.run(redis_platform, repository)
    with valkey.redis() as client:
        client.flushall()
        client.set("live", 1)
    handover = tmp_path / "handover"
    handover.write_bytes(pickle.dumps((redis_platform, repository, point.id, when)))
    code = textwrap.dedent(KILLED_RUN)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run([sys.executable, "-c", code, str(handover)], timeout=120, check=False, env=environment)
    assert done.returncode == -signal.SIGKILL
    if when in ("before stop", "after stop"):
        valkey.start()
        assert alive(valkey) == {"live": "1"}
    restore(RestoreRequest(point.id, safety=False), redis_platform, repository)
    assert alive(valkey) == saved


@pytest.mark.fault
def test_a_restore_killed_between_its_renames_is_finished_by_the_next_start(valkey, redis_platform, repository):
    fill(valkey)
    saved = alive(valkey)
    with valkey.redis() as client:
        client.save()
    valkey.kill()
    valkey.data.rename(valkey.data.with_name(f"{valkey.data.name}.ready"))
    valkey.start()
    assert alive(valkey) == saved
    assert not valkey.data.with_name(f"{valkey.data.name}.ready").exists()
