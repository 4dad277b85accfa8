"""Backup and restore of a real Valkey."""

from __future__ import annotations

import os
import shutil
import signal
import stat
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
    damage,
    dump,
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
from tests.dying import die_at, run_killed
from tests.waiting import wait_until

if TYPE_CHECKING:
    from ragops.adapters.progress import Progress

pytestmark = pytest.mark.servers


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


def test_backup_counts_what_the_file_holds(valkey, redis_platform, repos):
    fill(valkey)
    with valkey.redis() as client:
        client.move("key:0", 3)
    point = take(redis_platform, repos)
    part = point.manifest.parts_of("redis")[0]
    assert part.counts == {"keys": 550, "expires": 50}
    assert part.versions == {"valkey": "9.1.2"}
    assert [part.path for part in point.manifest.parts_of("platform")] == ["platform/ragops.yaml"]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder_of(point).rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert stat.S_IMODE(folder_of(point).stat().st_mode) == 0o700
    verify(redis_platform, repos)


def test_an_empty_server_comes_back_empty(valkey, redis_platform, repos):
    point = take(redis_platform, repos)
    assert point.manifest.parts_of("redis")[0].counts == {"keys": 0, "expires": 0}
    fill(valkey)
    restore(RestoreRequest(safety=False), redis_platform, repos)
    assert alive(valkey) == {}


def test_backup_waits_for_a_rewrite_of_the_engine(valkey, redis_platform, repos):
    fill(valkey, keys=20_000)
    with valkey.redis() as client:
        client.bgrewriteaof()
    point = take(redis_platform, repos)
    assert point.manifest.parts_of("redis")[0].counts["keys"] == 20_050


def test_a_backup_neither_waits_for_replicas_nor_writes_to_the_servers_disk(valkey, redis_platform, repos):
    """A server waits five seconds for more replicas before it sends its data, unless it is told not to."""
    fill(valkey)
    with valkey.redis() as client:
        client.config_set("repl-diskless-sync-delay", 30)
        before = client.info("persistence")["rdb_saves"]
    take(redis_platform, repos)
    with valkey.redis() as client:
        assert client.info("persistence")["rdb_saves"] == before
        assert client.config_get("repl-diskless-sync-delay") == {"repl-diskless-sync-delay": "0"}
        assert client.info("replication")["connected_slaves"] == 0


def test_a_server_that_saves_to_its_disk_first_is_backed_up_too(valkey, redis_platform, repos):
    """It states the size of the file instead of a mark after it."""
    fill(valkey)
    with valkey.redis() as client:
        client.config_set("repl-diskless-sync", "no")
    try:
        point = take(redis_platform, repos)
    finally:
        with valkey.redis() as client:
            client.config_set("repl-diskless-sync", "yes")
    assert point.manifest.parts_of("redis")[0].counts == {"keys": 550, "expires": 50}
    verify(redis_platform, repos)


@pytest.fixture
def slow(valkey, redis_platform):
    """A server that takes three seconds to send what it holds."""
    noise = os.urandom(3000).hex()  # the engine's own compression leaves it as long as it is
    with valkey.redis() as client:
        with client.pipeline() as batch:
            for number in range(3000):
                batch.set(f"key:{number}", noise[number:] + str(number))
            batch.execute()
        client.config_set("rdb-key-save-delay", 1000)  # microseconds
    yield valkey
    with valkey.redis() as client:
        client.config_set("rdb-key-save-delay", 0)


def test_the_file_is_stored_while_the_engine_writes_it(slow, redis_platform, repos):
    seen: list[bool] = []

    def look(progress: Progress) -> None:
        if progress.resource == "redis/dump.rdb" and progress.text == "storing" and not seen:
            with slow.redis() as other:
                seen.append(bool(other.info("persistence")["rdb_bgsave_in_progress"]))

    point = take(redis_platform, repos, on_progress=look)
    assert seen == [True]
    assert point.manifest.parts_of("redis")[0].counts == {"keys": 3000, "expires": 0}
    assert files_of(repos.staging) == []
    verify(redis_platform, repos)


def test_writes_after_the_instant_are_not_in_the_file(slow, redis_platform, repos):
    """What comes after this service may begin once its instant is fixed: it is, when it is said to be."""
    written: list[bool] = []

    def look(_progress: Progress) -> None:
        if not written:
            written.append(True)
            with slow.redis() as other:
                other.set("key:0", "written later")
                other.set("one more", 1)

    point = take(redis_platform, repos, on_progress=look)
    assert point.manifest.parts_of("redis")[0].counts == {"keys": 3000, "expires": 0}
    restore(RestoreRequest(safety=False), redis_platform, repos)
    assert alive(slow)["key:0"] != "written later"


def test_a_save_that_dies_is_told_and_nothing_of_it_is_left(slow, redis_platform, repos):
    """The process that the server forked for it is killed, as by the kernel if there is too little memory."""
    killed: list[int] = []

    def look(progress: Progress) -> None:
        if progress.text == "storing" and not killed:
            with slow.redis() as other:
                server = other.info("server")["process_id"]
            killed.extend(map(int, Path(f"/proc/{server}/task/{server}/children").read_text().split()))
            os.kill(killed[0], signal.SIGKILL)

    with pytest.raises(RagopsError) as failed:
        take(redis_platform, repos, on_progress=look)
    assert failed.value.code == "redis_save_failed"
    assert nothing_left(repos)


def test_counts_hold_after_keys_have_expired(valkey, redis_platform, repos):
    begun = time.monotonic()
    take(redis_platform, repos)  # to see how long one takes on this machine: it must be over before the key expires
    milliseconds = 400 + int(3000 * (time.monotonic() - begun))
    with valkey.redis() as client:
        client.set("stays", 1)
        client.set("goes", 1, px=milliseconds)
        point = take(redis_platform, repos)
        wait_until(lambda: client.pttl("goes") < 0, what="the end of the key")
    verify(redis_platform, repos)
    restore(RestoreRequest(safety=False), redis_platform, repos)
    assert point.manifest.parts_of("redis")[0].counts["keys"] == 2
    assert alive(valkey) == {"stays": "1"}


def test_restore_replaces_other_data_and_survives_a_kill(valkey, redis_platform, repos):
    fill(valkey)
    saved = alive(valkey)
    take(redis_platform, repos)
    with valkey.redis() as client:
        client.flushall()
        client.set("written after", 1)
    result = restore(RestoreRequest(), redis_platform, repos)
    assert alive(valkey) == saved
    assert result.services[0].before == {"keys": 1, "expires": 0}
    assert repos.primary.get(result.safety).manifest.kind is Kind.SAFETY
    with valkey.redis() as client:
        assert client.info("persistence")["aof_enabled"] == 1
        client.set("written later", 1)
        time.sleep(1.2)  # everysec
    valkey.kill()
    valkey.start()
    assert alive(valkey) == {**saved, "written later": "1"}


def test_latest_is_not_the_safety_point(valkey, redis_platform, repos):
    fill(valkey)
    first = take(redis_platform, repos)
    safety = restore(RestoreRequest(), redis_platform, repos).safety
    assert repos.primary.get("latest").id == first.id
    assert repos.primary.get(safety).manifest.kind is Kind.SAFETY


def test_restore_after_kill_and_lost_files(valkey, redis_platform, repos):
    fill(valkey)
    saved = alive(valkey)
    take(redis_platform, repos)
    valkey.kill()
    shutil.rmtree(valkey.data)
    result = restore(RestoreRequest(), redis_platform, repos)
    assert result.safety == ""
    assert "redis is down" in result.notes[0]
    assert alive(valkey) == saved


def test_todays_credentials_hold_after_a_restore(valkey, redis_platform, repos):
    fill(valkey)
    take(redis_platform, repos)
    restore(RestoreRequest(safety=False), redis_platform, repos)
    with valkey.redis("application") as client:
        assert client.get("key:1") == "value 1"
    assert supervise_digest(valkey) == valkey.spec.digest()


def supervise_digest(valkey) -> str:
    from ragops.runtimes.embedded.processes.state import read_record

    return read_record(Path(valkey.spec.run_dir)).digest


@pytest.mark.parametrize("how", ["truncated", "flipped", "missing"])
def test_damage_is_found_before_anything_is_touched(valkey, redis_platform, repos, how):
    fill(valkey)
    point = take(redis_platform, repos)
    damage(stored(point, "redis/dump.rdb"), how)
    with valkey.redis() as client:
        client.set("live", 1)
        started = client.info("server")["run_id"]
    with pytest.raises(IntegrityError) as caught:
        restore(RestoreRequest(), redis_platform, repos)
    assert caught.value.code == "recovery_point_damaged"
    assert "redis/dump.rdb" in caught.value.message
    with valkey.redis() as client:
        assert client.get("live") == "1"
        assert client.info("server")["run_id"] == started
    assert len(repos.primary.list().points) == 1  # no safety point was needed


@pytest.mark.parametrize("keep", [-20, 200])
def test_damage_with_forged_checksums_is_found_by_the_engine(valkey, redis_platform, repos, tmp_path, keep):
    fill(valkey)
    point = take(redis_platform, repos)
    content = (unpack(repos, point, "redis", tmp_path / "plain") / "dump.rdb").read_bytes()
    forge_part(repos, point, "redis/dump.rdb", content[:keep])
    with pytest.raises(IntegrityError) as caught:
        restore(RestoreRequest(), redis_platform, repos)
    assert caught.value.code == "rdb_unreadable"
    assert len(alive(valkey)) == 550


def test_wrong_counts_are_found(valkey, redis_platform, repos):
    fill(valkey)
    point = take(redis_platform, repos)
    forge_counts(repos, point, "redis/dump.rdb", keys=551)
    with pytest.raises(IntegrityError) as caught:
        verify(redis_platform, repos)
    assert caught.value.code == "counts_differ"
    assert "keys: 550, not 551" in caught.value.message
    assert caught.value.exit_code is ExitCode.INTEGRITY


def test_failed_start_brings_the_old_data_back(valkey, redis_platform, repos, tmp_path):
    """The new data are in place, but the server does not come up with them."""
    fill(valkey)
    point = take(redis_platform, repos)
    with valkey.redis() as client:
        client.set("live", 1)
    part = engine_part(point.manifest.parts_of("redis")[0])
    folder = unpack(repos, point, "redis", tmp_path / "plain")
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


def test_preflight_refuses_other_engines_and_missing_rights(valkey, redis_platform, repos, tmp_path):
    fill(valkey)
    point = take(redis_platform, repos)
    folder = unpack(repos, point, "redis", tmp_path / "plain")
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


def test_a_dump_needs_no_access_to_the_files_of_the_server(valkey, redis_platform, tmp_path):
    fill(valkey)
    bare = replace(valkey.endpoint, capabilities=frozenset())
    (part,) = dump(RedisBackup(), bare, valkey.control, tmp_path / "dump")
    assert part.counts == {"keys": 550, "expires": 50}


def test_dry_run_touches_nothing(valkey, redis_platform, repos):
    fill(valkey)
    take(redis_platform, repos)
    with valkey.redis() as client:
        client.set("live", 1)
    result = restore(RestoreRequest(dry_run=True), redis_platform, repos)
    assert result.dry_run
    assert result.services[0].before["keys"] == 551
    assert result.services[0].counts["keys"] == 550
    assert alive(valkey)["live"] == "1"


def test_backup_of_a_dead_server_leaves_nothing(valkey, redis_platform, repos):
    valkey.kill()
    with pytest.raises(RagopsError) as caught:
        take(redis_platform, repos)
    assert caught.value.code == "redis_unreachable"
    assert caught.value.exit_code is ExitCode.UNHEALTHY
    assert nothing_left(repos)


def restore_and_die(platform, repos, point: str, when: str) -> None:
    die_at(when, ProcessControl, "stop", "swap_data", "start")
    restore(RestoreRequest(point, safety=False), platform, repos)


@pytest.mark.fault
@pytest.mark.parametrize("when", ["before stop", "after stop", "after swap_data", "after start"])
def test_killed_restore_is_completed_by_the_next(valkey, redis_platform, repos, tmp_path, when):
    fill(valkey)
    saved = alive(valkey)
    point = take(redis_platform, repos)
    with valkey.redis() as client:
        client.flushall()
        client.set("live", 1)
    run_killed(tmp_path, restore_and_die, redis_platform, repos, point.id, when)
    if when in ("before stop", "after stop"):
        valkey.start()
        assert alive(valkey) == {"live": "1"}
    restore(RestoreRequest(point.id, safety=False), redis_platform, repos)
    assert alive(valkey) == saved


@pytest.mark.fault
def test_a_restore_killed_between_its_renames_is_finished_by_the_next_start(valkey, redis_platform, repos):
    fill(valkey)
    saved = alive(valkey)
    with valkey.redis() as client:
        client.save()
    valkey.kill()
    valkey.data.rename(valkey.data.with_name(f"{valkey.data.name}.ready"))
    valkey.start()
    assert alive(valkey) == saved
    assert not valkey.data.with_name(f"{valkey.data.name}.ready").exists()
