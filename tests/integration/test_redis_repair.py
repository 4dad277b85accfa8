"""Damaged data of a real Valkey: what is said of them, what is read of them, what is kept."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ragops.errors import IntegrityError, InterruptedRunError, MissingError, RagopsError, UnhealthyError, UsageError
from ragops.operations.restore import repair as operation
from ragops.runtimes.contract import LogLine, LogTail
from ragops.runtimes.embedded.control import ProcessControl
from ragops.runtimes.embedded.processes.supervisor import log_path
from ragops.services.contract import Status
from ragops.services.redis import repair as service_repair
from ragops.services.redis.aof import FOLDER, MANIFEST, PREFIX, find_command, last_time
from ragops.services.redis.health import probe
from ragops.services.redis.repair import in_log
from tests.dying import die_at, run_killed
from tests.engines import control_of
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

    from ragops.services.contract import Endpoint
    from tests.engines import Engine

pytestmark = pytest.mark.servers

BASE, INCREMENT, SNAPSHOT = f"{FOLDER}/{PREFIX}.2.base.rdb", f"{FOLDER}/{PREFIX}.2.incr.aof", "dump.rdb"
OLD, NEW = 60, 40  # keys in the base, and in the increment


def session_of(engine: Engine) -> Any:
    """What a repair needs of a session."""
    log = log_path(Path(engine.spec.run_dir), "redis")
    machine = SimpleNamespace(
        control=lambda _endpoint: engine.control,
        read_log=lambda _service, lines: LogTail(
            tuple(LogLine("redis", line) for line in log.read_text().splitlines()[-lines:]), lambda: iter(())
        ),
    )
    project = SimpleNamespace(paths=SimpleNamespace(environment="live"))
    return SimpleNamespace(
        endpoint=lambda _service: engine.endpoint, changing=contextlib.nullcontext, host=machine, project=project
    )


@pytest.fixture
def damaged(valkey: Engine) -> Iterator[Engine]:
    """Killed, with a base, one increment and no snapshot; the tests damage it."""
    shutil.rmtree(valkey.data, ignore_errors=True) if not valkey.control.is_running() else None
    valkey.start()
    with valkey.redis() as client:
        client.config_set("save", "")
        client.config_set("appendfsync", "always")
        client.flushall()
        while client.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(0.02)
    valkey.kill()
    shutil.rmtree(valkey.data)
    valkey.start()
    with valkey.redis() as client:
        client.config_set("save", "")
        client.config_set("appendfsync", "always")
        fill(client, "old", OLD)
        client.bgrewriteaof()
        while not (valkey.data / BASE).exists() or client.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(0.02)
        fill(client, "new", NEW)
    valkey.kill()
    yield valkey
    valkey.kill()
    shutil.rmtree(valkey.data, ignore_errors=True)


def fill(client: Any, name: str, count: int) -> None:
    for number in range(count):
        client.set(f"{name}:{number}", f"value {number}")


def keys(engine: Engine) -> set[str]:
    with engine.redis() as client:
        return set(client.scan_iter())


LOGGED = 4000  # writes before and after the moment that the log is whole
OLD_KEYS = {f"old:{number}" for number in range(OLD)}


def every(count: int) -> set[str]:
    return OLD_KEYS | {f"new:{number}" for number in range(count)}


def overwrite(path: Path, at: int, content: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[at : at + len(content)] = content
    path.write_bytes(data)


def begin_of(path: Path, key: str) -> int:
    """Where in an increment the command on `key` begins."""
    return path.read_bytes().index(b"\r\n" + key.encode() + b"\r\n") - len("*3\r\n$3\r\nSET\r\n$5")


def garbage(folder: Path) -> None:
    overwrite(folder / INCREMENT, begin_of(folder / INCREMENT, "new:20"), b"\xff" * 30)


def unknown(folder: Path) -> None:
    """Well formed, and no command."""
    path = folder / INCREMENT
    path.write_bytes(path.read_bytes().replace(b"SET\r\n$6\r\nnew:20\r\n", b"SAT\r\n$6\r\nnew:20\r\n"))


def truncated(folder: Path) -> None:
    path = folder / INCREMENT
    os.truncate(path, path.stat().st_size - 10)


def two_increments(folder: Path, *, whole: bool) -> None:
    """A second increment after the first, which is cut where not `whole`."""
    second = folder / f"{FOLDER}/{PREFIX}.3.incr.aof"
    second.write_bytes(b"*3\r\n$3\r\nSET\r\n$5\r\nnew:x\r\n$1\r\nx\r\n")
    with (folder / MANIFEST).open("a") as manifest:
        manifest.write(f"file {second.name} seq 3 type i\n")
    if not whole:
        truncated(folder)


def no_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def empty_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text("")


def broken_manifest(folder: Path) -> None:
    overwrite(folder / MANIFEST, 0, b"\x00\x01\x02")


def without(kind: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        lines = (folder / MANIFEST).read_text().splitlines(keepends=True)
        (folder / MANIFEST).write_text("".join(line for line in lines if not line.endswith(f"type {kind}\n")))

    return change


CASES: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "truncated tail": (truncated, every(NEW - 1)),
    "garbage in the middle": (garbage, every(20)),
    "a command that is none": (unknown, every(20)),
    "truncated before the last": (lambda folder: two_increments(folder, whole=False), every(NEW - 1)),
    "manifest missing": (no_manifest, every(NEW)),
    "manifest empty": (empty_manifest, every(NEW)),
    "manifest garbled": (broken_manifest, every(NEW)),
    "no line for the base": (without("b"), every(NEW)),
    "no line for the increment": (without("i"), every(NEW)),
    "increment missing": (lambda folder: (folder / INCREMENT).unlink(), OLD_KEYS),
}


@pytest.mark.fault
@pytest.mark.parametrize("name", CASES)
def test_what_can_be_read_comes_back_and_the_rest_is_named(damaged: Engine, name: str) -> None:
    damage, expected = CASES[name]
    damage(damaged.data)
    before = {path.name: path.read_bytes() for path in (damaged.data / FOLDER).iterdir()}
    said: list[Any] = []
    result = operation.repair(session_of(damaged), said.append)
    assert keys(damaged) == expected
    assert result.changed
    assert result.faults == said[0].faults != ()
    assert result.counts == {"keys": len(expected), "expires": 0}
    lost = len(expected) < len(every(NEW))
    assert bool(result.size) == (lost and name != "increment missing")
    assert result.seconds >= 0
    aside = Path(result.kept.split(" in ")[1].split(":")[0])
    assert {path.name: path.read_bytes() for path in (aside / FOLDER).iterdir()} == before, "the damaged data are kept"
    damaged.kill()
    damaged.start()
    assert keys(damaged) == expected
    again = operation.repair(session_of(damaged), said.append)
    assert (again.faults, again.changed) == ((), False)


@pytest.mark.fault
@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_a_lost_base_is_made_up_by_the_snapshot(damaged: Engine, how: str) -> None:
    damaged.start()
    with damaged.redis() as client:
        client.save()
        client.set("after the snapshot", 1)
    damaged.kill()
    base = damaged.data / BASE
    overwrite(base, 60, b"\xff" * 40) if how == "damaged" else base.unlink()
    assert operation.repair(session_of(damaged), lambda _found: None).source == "the snapshot dump.rdb"
    assert keys(damaged) == every(NEW)


@pytest.mark.fault
def test_without_base_and_snapshot_what_was_written_since_comes_back(damaged: Engine) -> None:
    overwrite(damaged.data / BASE, 60, b"\xff" * 40)
    result = operation.repair(session_of(damaged), lambda _found: None)
    assert "without the base" in result.source
    assert result.size
    assert keys(damaged) == every(NEW) - OLD_KEYS


@pytest.mark.fault
def test_where_nothing_can_be_read_the_way_is_a_recovery_point(damaged: Engine) -> None:
    overwrite(damaged.data / BASE, 60, b"\xff" * 40)
    (damaged.data / INCREMENT).write_bytes(b"\xff" * 100)
    with pytest.raises(IntegrityError) as caught:
        operation.repair(session_of(damaged), lambda _found: None)
    assert caught.value.code == "not_repairable"
    assert "ragops restore" in caught.value.hint
    assert (damaged.data / INCREMENT).read_bytes() == b"\xff" * 100


@pytest.mark.fault
def test_the_loss_is_told_in_seconds(damaged: Engine) -> None:
    """Times stand in the file once a second; the last command is cut off, two seconds and more after the one before."""
    damaged.start()
    with damaged.redis() as client:
        client.config_set("appendfsync", "always")
        client.set("kept", 1)
        time.sleep(2.2)
        client.set("lost", 1)
    damaged.kill()
    increment = max((damaged.data / FOLDER).glob("*.incr.aof"))
    content = increment.read_bytes()
    increment.write_bytes(content[: content.rindex(b"#TS:")] + b"garbage")
    os.utime(increment)
    result = operation.repair(session_of(damaged), lambda _found: None)
    assert 2 <= result.seconds < 60
    assert result.size == len(b"garbage")
    assert "kept" in keys(damaged)


@pytest.mark.fault
def test_nothing_is_changed_where_it_is_declined_or_only_looked_at(damaged: Engine) -> None:
    garbage(damaged.data)
    before = {path: path.read_bytes() for path in damaged.data.rglob("*") if path.is_file()}
    looked = operation.repair(session_of(damaged), lambda _found: None, dry_run=True)
    assert (looked.changed, looked.counts) == (False, {"keys": OLD + 20, "expires": 0})

    def decline(_found: Any) -> None:
        raise InterruptedRunError("declined", "nothing was changed", "")

    with pytest.raises(InterruptedRunError):
        operation.repair(session_of(damaged), decline)
    assert {path: path.read_bytes() for path in damaged.data.rglob("*") if path.is_file()} == before


@pytest.mark.fault
def test_without_room_it_is_refused_first(damaged: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    garbage(damaged.data)
    monkeypatch.setattr(service_repair, "disk_usage", lambda _path: SimpleNamespace(free=10))
    with pytest.raises(MissingError) as caught:
        operation.repair(session_of(damaged), lambda _found: pytest.fail("it was asked"))
    assert caught.value.code == "disk_full"


@pytest.mark.fault
def test_whole_data_of_a_stopped_server_are_started(damaged: Engine) -> None:
    result = operation.repair(session_of(damaged), lambda _found: pytest.fail("it was asked"))
    assert (result.faults, result.changed) == ((), False)
    assert keys(damaged) == every(NEW)


@pytest.mark.fault
@pytest.mark.parametrize("name", [name for name in CASES if name != "truncated tail"])
def test_health_says_that_a_repair_is_due(damaged: Engine, name: str) -> None:
    """Every damage but a cut tail, which the engine takes away by itself; it never begins anew over what is there."""
    CASES[name][0](damaged.data)
    before = (damaged.data / BASE).read_bytes()
    with pytest.raises(RagopsError):
        damaged.control.start()
    assert (damaged.data / BASE).read_bytes() == before
    found = operation.with_damage(session_of(damaged), probe(damaged.endpoint, 2))
    (check,) = [item for item in found.checks if item.name == "data"]
    assert check.status is Status.DOWN
    assert "`ragops repair redis --env live`" in check.hint
    with pytest.raises(RagopsError) as caught, operation.explaining(session_of(damaged)):
        raise RagopsError("service_failed", "redis ended while it started", "its log ends: …")
    assert caught.value.code == "redis_damaged"
    assert "ragops repair redis" in caught.value.hint


def test_a_service_without_a_repair_says_the_way() -> None:
    with pytest.raises(UsageError) as caught:
        operation.refuse_unrepairable("qdrant")
    assert "ragops restore latest --service qdrant" in caught.value.hint
    with pytest.raises(UsageError, match="there is no service"):
        operation.refuse_unrepairable("nope")


def test_a_log_tells_damage_of_the_last_start_alone() -> None:
    start, bad = (
        "M oO0OoO0OoO0Oo Valkey is starting oO0OoO0OoO0Oo",
        "# Bad file format reading the append only file x: y",
    )
    assert in_log([start, bad]).startswith("Bad file format")
    assert in_log([start, bad, start, "Ready to accept connections tcp"]) == ""
    assert in_log([bad, start]) == ""
    assert in_log([]) == ""


def test_times_and_commands_are_found(tmp_path: Path) -> None:
    path = tmp_path / "aof"
    one = b"#TS:1700000000\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
    path.write_bytes(one + b"#TS:1700000009\r\n*1\r\n$4\r\nNOPE\r\n")
    assert last_time(path, len(one)).timestamp() == 1700000000
    assert last_time(path, path.stat().st_size).timestamp() == 1700000009
    assert last_time(path, 3) is None
    assert find_command(path, "NOPE") == len(one) + len(b"#TS:1700000009\r\n")
    assert find_command(path, "OTHER") is None


def repair_and_die(endpoint: Endpoint, when: str) -> None:
    die_at(when, ProcessControl, "sandbox", "swap_data", "start")
    machine = SimpleNamespace(control=control_of)
    session = SimpleNamespace(endpoint=lambda _name: endpoint, changing=contextlib.nullcontext, host=machine)
    operation.repair(session, lambda _found: None)  # type: ignore[arg-type]


@pytest.mark.fault
@pytest.mark.parametrize("when", ["after sandbox", "before swap_data", "after swap_data", "after start"])
def test_a_repair_that_was_killed_is_completed_by_the_next(damaged: Engine, tmp_path: Path, when: str) -> None:
    garbage(damaged.data)
    run_killed(tmp_path, repair_and_die, damaged.endpoint, when)
    operation.repair(session_of(damaged), lambda _found: None)
    assert keys(damaged) == every(20)
    assert ProcessControl(Path(damaged.endpoint.runtime_id)).is_running()


@pytest.mark.fault
def test_a_kill_under_write_load_loses_the_end_alone(valkey: Engine) -> None:
    """What the log held before the kill is there; what is lost was written after it, with no gap before anything."""
    valkey.start()
    with valkey.redis() as client:
        client.config_set("appendfsync", "everysec")
        client.flushall()
        for number in range(LOGGED):
            client.set(f"load:{number}", "x" * 200)
        wait_until(lambda: is_logged(client), what="the write of the log")
        for number in range(LOGGED, 2 * LOGGED):
            client.set(f"load:{number}", "x" * 200)
    valkey.kill()
    valkey.start()
    found = keys(valkey)
    assert found == {f"load:{number}" for number in range(len(found))}
    assert len(found) >= LOGGED


def is_logged(client: redis.Redis) -> bool:
    """Whether all that was acknowledged is in the log and on the disk, by the server's own account."""
    found: dict[str, Any] = client.info("persistence")
    return found["aof_buffer_length"] == 0 and found["aof_pending_bio_fsync"] == 0


def test_while_it_reads_its_data_nothing_is_done(valkey: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    valkey.start()
    monkeypatch.setattr(operation, "info", lambda _client, _section: {"loading": 1})
    with pytest.raises(UnhealthyError) as caught:
        operation.repair(session_of(valkey), lambda _found: None)
    assert caught.value.code == "redis_loading"
