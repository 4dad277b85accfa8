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
from typing import TYPE_CHECKING

import pytest

from ragops.errors import ExitCode, IntegrityError, MissingError, RagopsError
from ragops.operations.backup.staging import engine_part
from ragops.operations.backup.verify import verify
from ragops.operations.restore.restore import RestoreRequest
from ragops.recovery.manifest import Kind
from ragops.runtimes.embedded.control import ProcessControl
from ragops.services.contract import Capability
from ragops.services.redis.backup import RedisBackup
from tests.backup_helpers import (
    KeepingWriter,
    damage,
    files_of,
    folder_of,
    forge_counts,
    forge_part,
    nothing_left,
    restore,
    stored,
    take,
    unpack,
)

if TYPE_CHECKING:
    from ragops.adapters.progress import Progress


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


def test_backup_counts_what_the_file_holds(valkey, redis_platform, vault):
    fill(valkey)
    with valkey.redis() as client:
        client.move("key:0", 3)
    point = take(redis_platform, vault)
    part = point.manifest.parts_of("redis")[0]
    assert part.counts == {"keys": 550, "expires": 50}
    assert part.versions == {"valkey": "9.1.2"}
    assert [part.path for part in point.manifest.parts_of("platform")] == ["platform/ragops.yaml"]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder_of(point).rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert stat.S_IMODE(folder_of(point).stat().st_mode) == 0o700
    verify(redis_platform, vault)


def test_an_empty_server_comes_back_empty(valkey, redis_platform, vault):
    point = take(redis_platform, vault)
    assert point.manifest.parts_of("redis")[0].counts == {"keys": 0, "expires": 0}
    fill(valkey)
    restore(RestoreRequest(safety=False), redis_platform, vault)
    assert alive(valkey) == {}


def test_backup_waits_for_a_rewrite_of_the_engine(valkey, redis_platform, vault):
    fill(valkey, keys=20_000)
    with valkey.redis() as client:
        client.bgrewriteaof()
        saves = client.info("persistence")["rdb_saves"]
    point = take(redis_platform, vault)
    assert point.manifest.parts_of("redis")[0].counts["keys"] == 20_050
    with valkey.redis() as client:
        assert client.info("persistence")["rdb_saves"] == saves + 1


def elsewhere(monkeypatch: pytest.MonkeyPatch, *instead: str) -> None:
    """Let the data folder be one that this machine does not see, and `instead` run in place of what prints its file."""
    printing = ProcessControl.run_to_file
    monkeypatch.setattr(ProcessControl, "local_data", None)
    monkeypatch.setattr(
        ProcessControl,
        "run_to_file",
        lambda self, command, *rest: printing(self, (*instead, *command) if instead else command, *rest),
    )


@pytest.mark.parametrize("way", ["shared", "printed"])
def test_the_file_is_stored_while_the_engine_writes_it(valkey, redis_platform, vault, way, monkeypatch):
    """A slow save: what it has written is in the repository before it ends, uncopied where we see the folder."""
    if way == "printed":
        elsewhere(monkeypatch)
    noise = os.urandom(3000).hex()  # the engine's own compression leaves it as long as it is
    with valkey.redis() as client:
        with client.pipeline() as batch:
            for number in range(3000):
                batch.set(f"key:{number}", noise[number:] + str(number))
            batch.execute()
        client.config_set("rdb-key-save-delay", 1000)  # microseconds: three seconds
    staged = vault.staging
    seen: dict[str, bool] = {}

    def look(progress: Progress) -> None:
        if progress.resource == "redis/dump.rdb" and progress.text == "storing" and not seen:
            (part,) = staged.rglob("dump.rdb")
            with valkey.redis() as other:
                running = bool(other.info("persistence")["rdb_bgsave_in_progress"])
            seen.update(running=running, linked=part.stat().st_nlink == 2)

    try:
        point = take(redis_platform, vault, on_progress=look)
    finally:
        with valkey.redis() as client:
            client.config_set("rdb-key-save-delay", 0)
    assert seen == {"running": True, "linked": way == "shared"}
    assert point.manifest.parts_of("redis")[0].counts == {"keys": 3000, "expires": 0}
    assert files_of(vault.staging) == []
    verify(redis_platform, vault)


@pytest.mark.parametrize("instead", ["exit 1", "exec sleep 600", 'sleep 1; exec "$@"'])
def test_a_file_that_is_not_seen_in_time_is_copied_when_it_is_whole(
    valkey, redis_platform, vault, instead, monkeypatch
) -> None:
    """Three keys are saved in no time; what prints may fail, hang, or come too late."""
    fill(valkey, keys=3, expiring=0)
    elsewhere(monkeypatch, "sh", "-c", instead, "sh")
    point = take(redis_platform, vault)
    assert point.manifest.parts_of("redis")[0].counts == {"keys": 3, "expires": 0}
    assert files_of(vault.staging) == []
    verify(redis_platform, vault)


def test_a_save_that_fails_is_told_and_its_half_file_is_nowhere(valkey, redis_platform, vault, monkeypatch) -> None:
    """A folder lies where the whole file is to be called."""
    fill(valkey, keys=3000)
    elsewhere(monkeypatch)
    with valkey.redis() as client:
        place = Path(client.config_get("dir")["dir"]) / "dump.rdb"
        client.config_set("rdb-key-save-delay", 1000)
    place.unlink(missing_ok=True)
    place.mkdir()
    try:
        with pytest.raises(RagopsError) as failed:
            take(redis_platform, vault)
    finally:
        place.rmdir()
        with valkey.redis() as client:
            client.config_set("rdb-key-save-delay", 0)
            client.save()  # or it takes no more writes
    assert failed.value.code == "redis_save_failed"
    assert nothing_left(vault)


def test_counts_hold_after_keys_have_expired(valkey, redis_platform, vault):
    with valkey.redis() as client:
        client.set("stays", 1)
        client.set("goes", 1, px=400)
    point = take(redis_platform, vault)
    time.sleep(0.6)
    verify(redis_platform, vault)
    restore(RestoreRequest(safety=False), redis_platform, vault)
    assert point.manifest.parts_of("redis")[0].counts["keys"] == 2
    assert alive(valkey) == {"stays": "1"}


def test_restore_replaces_other_data_and_survives_a_kill(valkey, redis_platform, vault):
    fill(valkey)
    saved = alive(valkey)
    take(redis_platform, vault)
    with valkey.redis() as client:
        client.flushall()
        client.set("written after", 1)
    result = restore(RestoreRequest(), redis_platform, vault)
    assert alive(valkey) == saved
    assert result.services[0].before == {"keys": 1, "expires": 0}
    assert vault.primary.get(result.safety).manifest.kind is Kind.SAFETY
    with valkey.redis() as client:
        assert client.info("persistence")["aof_enabled"] == 1
        client.set("written later", 1)
        time.sleep(1.2)  # everysec
    valkey.kill()
    valkey.start()
    assert alive(valkey) == {**saved, "written later": "1"}


def test_latest_is_not_the_safety_point(valkey, redis_platform, vault):
    fill(valkey)
    first = take(redis_platform, vault)
    safety = restore(RestoreRequest(), redis_platform, vault).safety
    assert vault.primary.get("latest").id == first.id
    assert vault.primary.get(safety).manifest.kind is Kind.SAFETY


def test_restore_after_kill_and_lost_files(valkey, redis_platform, vault):
    fill(valkey)
    saved = alive(valkey)
    take(redis_platform, vault)
    valkey.kill()
    shutil.rmtree(valkey.data)
    result = restore(RestoreRequest(), redis_platform, vault)
    assert result.safety == ""
    assert "redis is down" in result.notes[0]
    assert alive(valkey) == saved


def test_todays_credentials_hold_after_a_restore(valkey, redis_platform, vault):
    fill(valkey)
    take(redis_platform, vault)
    restore(RestoreRequest(safety=False), redis_platform, vault)
    with valkey.redis("application") as client:
        assert client.get("key:1") == "value 1"
    assert supervise_digest(valkey) == valkey.spec.digest()


def supervise_digest(valkey) -> str:
    from ragops.runtimes.embedded.processes.state import read_record

    return read_record(Path(valkey.spec.run_dir)).digest


@pytest.mark.parametrize("how", ["truncated", "flipped", "missing"])
def test_damage_is_found_before_anything_is_touched(valkey, redis_platform, vault, how):
    fill(valkey)
    point = take(redis_platform, vault)
    damage(stored(point, "redis/dump.rdb"), how)
    with valkey.redis() as client:
        client.set("live", 1)
        started = client.info("server")["run_id"]
    with pytest.raises(IntegrityError) as caught:
        restore(RestoreRequest(), redis_platform, vault)
    assert caught.value.code == "recovery_point_damaged"
    assert "redis/dump.rdb" in caught.value.message
    with valkey.redis() as client:
        assert client.get("live") == "1"
        assert client.info("server")["run_id"] == started
    assert len(vault.primary.list().points) == 1  # no safety point was needed


@pytest.mark.parametrize("keep", [-20, 200])
def test_damage_with_forged_checksums_is_found_by_the_engine(valkey, redis_platform, vault, tmp_path, keep):
    fill(valkey)
    point = take(redis_platform, vault)
    content = (unpack(vault, point, "redis", tmp_path / "plain") / "dump.rdb").read_bytes()
    forge_part(vault, point, "redis/dump.rdb", content[:keep])
    with pytest.raises(IntegrityError) as caught:
        restore(RestoreRequest(), redis_platform, vault)
    assert caught.value.code == "rdb_unreadable"
    assert len(alive(valkey)) == 550


def test_wrong_counts_are_found(valkey, redis_platform, vault):
    fill(valkey)
    point = take(redis_platform, vault)
    forge_counts(vault, point, "redis/dump.rdb", keys=551)
    with pytest.raises(IntegrityError) as caught:
        verify(redis_platform, vault)
    assert caught.value.code == "counts_differ"
    assert "keys: 550, not 551" in caught.value.message
    assert caught.value.exit_code is ExitCode.INTEGRITY


def test_failed_start_brings_the_old_data_back(valkey, redis_platform, vault, tmp_path):
    """The new data are in place, but the server does not come up with them."""
    fill(valkey)
    point = take(redis_platform, vault)
    with valkey.redis() as client:
        client.set("live", 1)
    part = engine_part(point.manifest.parts_of("redis")[0])
    folder = unpack(vault, point, "redis", tmp_path / "plain")
    with pytest.raises(RagopsError):
        RedisBackup().restore(valkey.endpoint, BrokenFirstStart(valkey.control), folder, [part])
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


def test_preflight_refuses_other_engines_and_missing_rights(valkey, redis_platform, vault, tmp_path):
    fill(valkey)
    point = take(redis_platform, vault)
    folder = unpack(vault, point, "redis", tmp_path / "plain")
    part = engine_part(point.manifest.parts_of("redis")[0])
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


def test_dump_without_file_access_says_what_is_missing(valkey, redis_platform, tmp_path):
    bare = replace(valkey.endpoint, capabilities=frozenset())
    with pytest.raises(MissingError, match="can_read_files"):
        RedisBackup().dump(bare, valkey.control, KeepingWriter(tmp_path / "dump"))


def test_dry_run_touches_nothing(valkey, redis_platform, vault):
    fill(valkey)
    take(redis_platform, vault)
    with valkey.redis() as client:
        client.set("live", 1)
    result = restore(RestoreRequest(dry_run=True), redis_platform, vault)
    assert result.dry_run
    assert result.services[0].before["keys"] == 551
    assert result.services[0].counts["keys"] == 550
    assert alive(valkey)["live"] == "1"


def test_backup_of_a_dead_server_leaves_nothing(valkey, redis_platform, vault):
    valkey.kill()
    with pytest.raises(RagopsError) as caught:
        take(redis_platform, vault)
    assert caught.value.code == "redis_unreachable"
    assert caught.value.exit_code is ExitCode.UNHEALTHY
    assert nothing_left(vault)


KILLED_RUN = """
    import os, pickle, signal, sys
    from ragops.operations.restore import restore as operation
    from ragops.runtimes.embedded import control as runtime
    from tests.backup_helpers import restore
    platform, vault, point, when = pickle.load(open(sys.argv[1], "rb"))
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
    for name in ("stop", "swap_data", "start"):
        dying(name)
    restore(operation.RestoreRequest(point, safety=False), platform, vault)
"""


@pytest.mark.fault
@pytest.mark.parametrize("when", ["before stop", "after stop", "after swap_data", "after start"])
def test_killed_restore_is_completed_by_the_next(valkey, redis_platform, vault, tmp_path, when):
    import pickle

    fill(valkey)
    saved = alive(valkey)
    point = take(redis_platform, vault)
    with valkey.redis() as client:
        client.flushall()
        client.set("live", 1)
    handover = tmp_path / "handover"
    handover.write_bytes(pickle.dumps((redis_platform, vault, point.id, when)))
    code = textwrap.dedent(KILLED_RUN)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run([sys.executable, "-c", code, str(handover)], timeout=120, check=False, env=environment)
    assert done.returncode == -signal.SIGKILL
    if when in ("before stop", "after stop"):
        valkey.start()
        assert alive(valkey) == {"live": "1"}
    restore(RestoreRequest(point.id, safety=False), redis_platform, vault)
    assert alive(valkey) == saved


@pytest.mark.fault
def test_a_restore_killed_between_its_renames_is_finished_by_the_next_start(valkey, redis_platform, vault):
    fill(valkey)
    saved = alive(valkey)
    with valkey.redis() as client:
        client.save()
    valkey.kill()
    valkey.data.rename(valkey.data.with_name(f"{valkey.data.name}.ready"))
    valkey.start()
    assert alive(valkey) == saved
    assert not valkey.data.with_name(f"{valkey.data.name}.ready").exists()
