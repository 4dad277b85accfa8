"""A pid that another process has by now belongs to nobody: start times, boots and machines are compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

import pytest

from ragops.adapters import locks, temp_dirs
from ragops.adapters.process_identity import MARK, format_mark, is_mark_gone
from ragops.adapters.storage.temp_files import is_leftover
from ragops.operations.schedule.last_run import last_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG_AGO = 1_000_000_000.0


@pytest.fixture
def living() -> Iterator[int]:
    """Another process that runs."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


def of(text: str, **changes: str) -> str:
    """The mark of this process with other parts."""
    found = MARK.fullmatch(text)
    assert found
    parts = found.groupdict() | changes
    return f"{parts['pid']}-{parts['place']}{parts['boot']}{parts['space']}-{parts['started']}"


def test_a_living_process_is_not_gone_and_a_dead_one_is() -> None:
    assert not is_mark_gone(format_mark() + "-0a1b2c")
    code = "from ragops.adapters.process_identity import format_mark; print(format_mark())"
    dead = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert MARK.fullmatch(dead)
    assert is_mark_gone(dead)


def test_another_process_with_its_pid_is_not_it(living: int) -> None:
    assert is_mark_gone(of(format_mark(), pid=str(living)))
    assert is_mark_gone(of(format_mark(), started="1"))


def test_after_a_reboot_every_process_is_gone_and_of_other_machines_nothing_is_known() -> None:
    assert is_mark_gone(of(format_mark(), boot="beef"))
    assert not is_mark_gone(of(format_mark(), place="deadbeef", started="1"))
    assert not is_mark_gone(of(format_mark(), space="beef", started="1")), "the pids of another container"


def test_of_what_an_older_version_left_the_time_is_compared(living: int) -> None:
    assert not is_mark_gone(f"{living}-0a1b2c3d", time.time())
    assert is_mark_gone(f"{living}-0a1b2c3d", LONG_AGO)
    assert not is_mark_gone("mine", LONG_AGO)


def test_a_scratch_folder_of_a_reused_pid_is_cleared(
    living: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temp_dirs.private_temp_dir() as used:
        left = tmp_path / f"ragops-scratch-{of(format_mark(), pid=str(living))}-x"
        older = tmp_path / f"ragops-scratch-{living}-y"
        left.mkdir()
        older.mkdir()
        os.utime(older, (LONG_AGO, LONG_AGO))
        temp_dirs.clear_leftovers()
        assert [path for path in (left, older) if path.exists()] == []
        assert used.exists()


def test_a_partial_file_of_a_reused_pid_is_left_over(living: int) -> None:
    assert is_leftover(f".partial-{of(format_mark(), pid=str(living))}-0a1b2c", 60.0)
    assert not is_leftover(f".partial-{format_mark()}-0a1b2c", 60.0)
    assert not is_leftover(f".partial-{of(format_mark(), place='deadbeef')}-0a1b2c", 60.0)
    assert is_leftover(f".partial-{of(format_mark(), place='deadbeef')}-0a1b2c", 100_000.0), "after a day"


def test_the_holder_of_a_lock_is_a_process_and_no_pid(living: int, tmp_path: Path) -> None:
    with locks.hold_locks(tmp_path, ("backup",), "ragops up", 0, print):
        note = tmp_path / "backup.holder.json"
        values = json.loads(note.read_text())
        assert locks.find_holder(tmp_path, "backup") is not None
        note.write_text(json.dumps({**values, "pid": living, "process": of(format_mark(), pid=str(living))}))
        assert locks.find_holder(tmp_path, "backup") is None
        older = {**values, "pid": living, "since": "2001-09-09T01:46:40Z"}
        del older["process"]
        note.write_text(json.dumps(older))
        assert locks.find_holder(tmp_path, "backup") is None


def test_a_nightly_run_whose_pid_another_process_has_was_killed(living: int, tmp_path: Path) -> None:
    record = tmp_path / "default.jsonl"
    start = "2026-01-01T02:00:00.000+00:00"
    for more, state in (
        ({}, "killed"),
        ({"process": format_mark()}, "running"),
        ({"process": of(format_mark(), started="1")}, "killed"),
    ):
        record.write_text(json.dumps({"pid": living, "start": start, **more}) + "\n")
        found = last_run(record)
        assert found is not None
        assert found.state == state
