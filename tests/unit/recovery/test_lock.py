"""The lock of a repository: never two holders, never one that nobody can take over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.process_identity import current_process
from ragops.adapters.storage.folder import FolderStore
from ragops.errors import ExitCode, LockedError, MissingError, RagopsError
from ragops.recovery.lock import Timing, hold_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

QUICK = Timing(heartbeat=0.05, stale=600, poll=0.02, tie_break=5)
HOLDER = """
import pathlib, sys, time
from ragops.adapters.storage.folder import FolderStore
from ragops.recovery.lock import Timing, hold_lock
folder, wait, seconds = pathlib.Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
timing = Timing(heartbeat=0.05, poll=0.02)
with hold_lock(FolderStore(folder), "prod", "ragops backup run", wait, print, timing) as held:
    print("held", flush=True)
    time.sleep(seconds)
    held.check()
"""
# Each adds one to a counter, in a way that loses counts when two do so at once.
COUNTER = """
import pathlib, sys, time
from ragops.adapters.storage.folder import FolderStore
from ragops.recovery.lock import Timing, hold_lock
folder, counter = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
timing = Timing(heartbeat=0.05, poll=0.01)
for _ in range(5):
    with hold_lock(FolderStore(folder), "prod", "ragops backup run", 120, print, timing) as held:
        number = int(counter.read_text())
        time.sleep(0.02)
        held.check()
        counter.write_text(str(number + 1))
"""


@contextmanager
def holder(folder: Path, wait: float = 0, seconds: float = 600) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    arguments = [sys.executable, "-c", HOLDER, str(folder), str(wait), str(seconds)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout and process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def take(folder: Path, wait: float = 0, timing: Timing = QUICK) -> list[str]:
    """Take the lock and give it back; what was said meanwhile."""
    notices: list[str] = []
    with hold_lock(FolderStore(folder), "prod", "ragops test", wait, notices.append, timing) as held:
        held.check()
    return notices


def locks(folder: Path) -> list[Path]:
    return sorted((folder / "prod/locks").glob("*.json"))


def leave(folder: Path, name: str = "20200101T000000000000Z-abc.json", **changes: Any) -> Path:
    """A lock that somebody left."""
    owner = {
        **vars(current_process()),
        **{key: changes.pop(key) for key in list(changes) if key in vars(current_process())},
    }
    note = {
        "owner": owner, "command": "ragops backup run", "since": "2020-01-01T00:00:00Z", "held": True, "count": 7,
        "time": time.time(), "every": 0.1, **changes,
    }  # fmt: skip
    path = folder / "prod/locks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(note))
    return path


FOREIGN = {"host": "elsewhere", "machine": "0123", "boot": "4567", "space": ""}


@contextmanager
def counting(path: Path, **changes: Any) -> Iterator[None]:
    """A holder on another machine that lives."""
    stop = threading.Event()

    def beat() -> None:
        count = 0
        while not stop.wait(0.02):
            count += 1
            with FolderStore(path.parents[2]).open_write("prod/locks/" + path.name) as stream:
                stream.write(json.dumps({**json.loads(path.read_text()), **changes, "count": count}).encode())

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


# --- two at once ----------------------------------------------------------------------------------------------------


def test_a_second_run_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with holder(tmp_path) as process, pytest.raises(LockedError) as caught:
        take(tmp_path)
    assert (caught.value.code, caught.value.exit_code) == ("repository_locked", ExitCode.LOCKED)
    for word in (f"pid {process.pid}", "`ragops backup run`", os.uname().nodename, "since 20", str(tmp_path)):
        assert word in caught.value.message
    assert "--lock-wait" in caught.value.hint
    assert "prod/locks/20" in caught.value.hint


def test_it_is_refused_within_one_process_too(tmp_path: Path) -> None:
    with hold_lock(FolderStore(tmp_path), "prod", "ragops test", 0, print, QUICK), pytest.raises(LockedError):
        take(tmp_path)
    assert take(tmp_path) == []


def test_other_environments_are_other_locks(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with (
        holder(tmp_path),
        hold_lock(store, "staging", "x", 0, print, QUICK),
        hold_lock(store, "", "x", 0, print, QUICK) as held,
    ):
        assert held.path.startswith("locks/")


def test_who_waits_gets_it_when_it_is_free(tmp_path: Path) -> None:
    with holder(tmp_path, seconds=1):
        assert take(tmp_path, wait=120) == []


def test_it_is_given_back(tmp_path: Path) -> None:
    take(tmp_path)
    assert locks(tmp_path) == []
    with suppress(ZeroDivisionError), hold_lock(FolderStore(tmp_path), "prod", "ragops test", 0, print, QUICK):
        raise ZeroDivisionError
    assert locks(tmp_path) == []


def test_a_refused_run_leaves_nothing(tmp_path: Path) -> None:
    with holder(tmp_path):
        for wait in (0, 0.3):
            with pytest.raises(LockedError):
                take(tmp_path, wait)
        assert len(locks(tmp_path)) == 1


def test_processes_that_contend_never_hold_it_at_once(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    arguments = [sys.executable, "-c", COUNTER, str(tmp_path / "repository"), str(counter)]
    runs = [subprocess.Popen(arguments, stderr=subprocess.PIPE) for _ in range(4)]
    errors = [run.communicate(timeout=200)[1] for run in runs]
    assert [run.returncode for run in runs] == [0] * 4, errors
    assert counter.read_text() == "20"
    assert locks(tmp_path / "repository") == []


def test_of_two_who_ask_at_once_the_first_by_name_goes_on(tmp_path: Path) -> None:
    later = leave(tmp_path, "29990101T000000000000Z-later.json", held=False, **FOREIGN)
    threading.Timer(0.3, later.unlink).start()  # it sees us, and steps back
    assert take(tmp_path, wait=60) == []
    leave(tmp_path, "20000101T000000000000Z-sooner.json", held=False, **FOREIGN)
    with pytest.raises(LockedError):
        take(tmp_path)


# --- left behind on this machine ------------------------------------------------------------------------------------


@pytest.mark.fault
def test_a_holder_that_was_killed_is_taken_over_at_once(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        (notice,) = take(tmp_path)
    assert f"pid {process.pid}" in notice
    assert "took over" in notice
    assert locks(tmp_path) == []


@pytest.mark.parametrize("when", [0, -86_400, 86_400])
def test_of_this_machine_the_process_counts_and_not_the_clock(tmp_path: Path, when: float) -> None:
    leave(tmp_path, time=time.time() + when)
    with pytest.raises(LockedError):
        take(tmp_path)
    leave(tmp_path, time=time.time() + when, started="12")  # its pid is another process's by now
    assert len(take(tmp_path)) == 1


def test_a_machine_that_was_started_again_holds_nothing(tmp_path: Path) -> None:
    leave(tmp_path, boot="another", pid=1)
    assert len(take(tmp_path)) == 1


def test_pids_of_another_container_say_nothing(tmp_path: Path) -> None:
    leave(tmp_path, space="pid:[1]", pid=999_999_999)
    with pytest.raises(LockedError):
        take(tmp_path)


# --- left behind on another machine ---------------------------------------------------------------------------------


def test_another_machine_that_beat_lately_is_believed(tmp_path: Path) -> None:
    leave(tmp_path, **FOREIGN)
    with pytest.raises(LockedError, match="elsewhere"):
        take(tmp_path)


@pytest.mark.parametrize("when", [-700, 700, 10 * 365 * 86_400])
def test_another_machine_that_is_gone_is_taken_over_whatever_the_clocks_say(tmp_path: Path, when: float) -> None:
    leave(tmp_path, time=time.time() + when, **FOREIGN)
    watching, took = take(tmp_path)
    assert "watching it" in watching
    assert "took over" in took


@pytest.mark.parametrize("when", [-700, 700, -10 * 365 * 86_400])
def test_another_machine_that_lives_keeps_it_whatever_the_clocks_say(tmp_path: Path, when: float) -> None:
    path = leave(tmp_path, time=time.time() + when, every=1, **FOREIGN)
    with counting(path), pytest.raises(LockedError):
        take(tmp_path)
    assert locks(tmp_path) == [path]


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"owner": 1}', b"\xff"])
def test_a_lock_that_says_nothing_is_watched_and_removed(tmp_path: Path, content: bytes) -> None:
    leave(tmp_path).write_bytes(content)
    assert "took over" in take(tmp_path)[-1]


# --- kept, and lost -------------------------------------------------------------------------------------------------


def test_the_heart_beats(tmp_path: Path, wait_until: Callable[..., None]) -> None:
    with hold_lock(FolderStore(tmp_path), "prod", "ragops test", 0, print, QUICK) as held:
        path = tmp_path / held.path
        first = json.loads(path.read_text())
        wait_until(lambda: json.loads(path.read_text())["count"] > first["count"] + 2)
        assert json.loads(path.read_text())["time"] > first["time"]
        assert path.stat().st_mode & 0o777 == 0o600
        held.check()


def lost(held: Any) -> str:
    with pytest.raises(RagopsError) as caught:
        held.check()
    assert caught.value.code == "repository_lock_lost"
    return caught.value.message


def test_a_lock_that_was_removed_is_noticed_and_does_not_come_back(tmp_path: Path) -> None:
    with hold_lock(FolderStore(tmp_path), "prod", "ragops test", 0, print, QUICK) as held:
        with held._turn:  # between two beats
            (tmp_path / held.path).unlink()
        time.sleep(0.3)  # some beats
        assert locks(tmp_path) == []
        assert "removed" in lost(held)


def test_another_holder_is_noticed(tmp_path: Path) -> None:
    with hold_lock(FolderStore(tmp_path), "prod", "ragops test", 0, print, QUICK) as held:
        leave(tmp_path, **FOREIGN)
        assert "elsewhere" in lost(held)


@pytest.mark.fault
def test_a_holder_that_was_stopped_for_long_finds_it_taken(tmp_path: Path) -> None:
    with holder(tmp_path, seconds=2) as process:
        process.send_signal(signal.SIGSTOP)
        (path,) = locks(tmp_path)
        note = json.loads(path.read_text())
        path.write_text(json.dumps({**note, "time": note["time"] - 700, "owner": {**note["owner"], **FOREIGN}}))
        assert "took over" in take(tmp_path)[-1]
        process.send_signal(signal.SIGCONT)
        assert process.wait(60) == 1  # its own check before it commits
    assert locks(tmp_path) == []


class Broken(FolderStore):
    """A repository whose server goes away."""

    gone = False

    def open_write(self, path: str) -> Any:
        if self.gone:
            raise MissingError("repository_unreachable", "the server is gone")
        return super().open_write(path)

    def remove(self, paths: Any) -> None:
        if self.gone:
            raise MissingError("repository_unreachable", "the server is gone")
        super().remove(paths)


def test_a_heart_that_does_not_beat_for_half_the_limit_is_noticed(
    tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    store = Broken(tmp_path)
    timing = Timing(heartbeat=0.05, stale=1, poll=0.02)
    with hold_lock(store, "prod", "ragops test", 0, print, timing) as held:
        held.check()
        store.gone = True

        def noticed() -> bool:
            try:
                held.check()
            except RagopsError as error:
                assert "renewed" in error.message
                return error.code == "repository_lock_lost"
            return False

        wait_until(noticed)


def test_a_store_that_vanished_does_not_hide_the_first_error(tmp_path: Path) -> None:
    store, notices = Broken(tmp_path), list[str]()
    with pytest.raises(ZeroDivisionError), hold_lock(store, "prod", "ragops test", 0, notices.append, QUICK):
        store.gone = True
        raise ZeroDivisionError
    assert "the server is gone" in notices[-1]


def test_a_store_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    store = Broken(tmp_path)
    store.gone = True
    with pytest.raises(MissingError, match="the server is gone"), hold_lock(store, "prod", "x", 0, print, QUICK):
        pass
