"""Locks between real processes: who excludes whom, who is named, and what a dead holder leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ragops.adapters.locks import KINDS, hold_locks
from ragops.errors import ExitCode, LockedError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

HOLDER = """
import sys, time
from pathlib import Path
from ragops.adapters.locks import hold_locks
with hold_locks(Path(sys.argv[1]), sys.argv[3:], sys.argv[2], 0, print):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def holder(folder: Path, kinds: Sequence[str], command: str = "ragops up") -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the locks until its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), command, *kinds],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout and process.stdin
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(timeout=60)
        process.stdout.close()


def take(folder: Path, kinds: Sequence[str], wait: float = 0.0) -> list[str]:
    notices: list[str] = []
    with hold_locks(folder, kinds, "ragops test", wait, notices.append):
        pass
    return notices


EXCLUSIVE, BACKUP, INGEST = KINDS, ("backup",), ("ingest",)


@pytest.mark.parametrize(
    ("first", "second"),
    [(EXCLUSIVE, EXCLUSIVE), (EXCLUSIVE, BACKUP), (EXCLUSIVE, INGEST), (BACKUP, EXCLUSIVE), (BACKUP, BACKUP)],
)
def test_these_exclude_one_another(tmp_path: Path, first: Sequence[str], second: Sequence[str]) -> None:
    with holder(tmp_path, first) as process, pytest.raises(LockedError) as caught:
        take(tmp_path, second)
    assert caught.value.exit_code == ExitCode.LOCKED
    assert f"pid {process.pid}" in caught.value.message
    assert "`ragops up`" in caught.value.message
    assert os.uname().nodename in caught.value.message
    assert "since 20" in caught.value.message
    assert "--lock-wait" in caught.value.hint


@pytest.mark.parametrize(("first", "second"), [(BACKUP, INGEST), (INGEST, BACKUP)])
def test_these_share(tmp_path: Path, first: Sequence[str], second: Sequence[str]) -> None:
    with holder(tmp_path, first):
        assert take(tmp_path, second) == []


def test_a_lock_that_was_not_got_leaves_none_of_its_kinds_held(tmp_path: Path) -> None:
    with holder(tmp_path, INGEST):
        with pytest.raises(LockedError):
            take(tmp_path, EXCLUSIVE)
        assert take(tmp_path, BACKUP) == []


def test_a_lock_is_free_when_its_holder_ended(tmp_path: Path) -> None:
    with holder(tmp_path, EXCLUSIVE):
        pass
    assert take(tmp_path, EXCLUSIVE) == []


def test_a_killed_holder_is_taken_over_with_a_word(tmp_path: Path) -> None:
    with holder(tmp_path, BACKUP, "ragops backup run") as process:
        process.kill()
        process.wait()
    (word,) = take(tmp_path, BACKUP)
    assert "took over" in word
    assert "`ragops backup run`" in word
    assert f"pid {process.pid}" in word
    assert take(tmp_path, BACKUP) == [], "said once, not for ever"


def test_a_takeover_of_all_kinds_is_said_once(tmp_path: Path) -> None:
    with holder(tmp_path, EXCLUSIVE) as process:
        process.kill()
        process.wait()
    (word,) = take(tmp_path, EXCLUSIVE)
    assert "took over" in word


@pytest.mark.fault
def test_a_full_disk_is_in_nobodys_way(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        with holder(tmp_path, BACKUP) as process:
            process.kill()
            process.wait()
        with (tmp_path / "ballast").open("wb", buffering=0) as stream, pytest.raises(OSError, match="No space"):
            while True:
                stream.write(b"x" * 4096)
        with hold_locks(tmp_path, EXCLUSIVE, "ragops down", 0, print), pytest.raises(LockedError) as caught:
            take(tmp_path, BACKUP)
        assert "another run" in caught.value.message, "not the one before"
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_holders_note_that_is_damaged_is_in_nobodys_way(tmp_path: Path) -> None:
    for text in ("", "{", "[]", '{"pid": 1}', '{"host": 1, "pid": 2, "command": 3, "since": 4, "more": 5}', "\udcff"):
        (tmp_path / "backup.holder.json").write_text(text, errors="surrogateescape")
        assert take(tmp_path, BACKUP) == []


def test_waiting_gets_the_lock_when_it_becomes_free(tmp_path: Path) -> None:
    with holder(tmp_path, BACKUP) as process:
        assert process.stdin
        waiting = subprocess.Popen(
            [sys.executable, "-c", HOLDER.replace(", 0, print", ", 60, print"), str(tmp_path), "second", "backup"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(0.5)
        assert waiting.poll() is None, "it waits"
        process.stdin.write("\n")
        process.stdin.flush()
        out, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0
    assert out == "held\n"


def test_waiting_ends(tmp_path: Path) -> None:
    with holder(tmp_path, EXCLUSIVE), pytest.raises(LockedError):
        take(tmp_path, EXCLUSIVE, wait=0.3)


@pytest.mark.parametrize("error", [BrokenPipeError(), FileNotFoundError("x"), TimeoutError(), ConnectionError("x")])
def test_what_the_command_fails_with_is_not_about_locks(tmp_path: Path, error: OSError) -> None:
    with pytest.raises(type(error)) as caught, hold_locks(tmp_path, BACKUP, "x", 0, print):
        raise error
    assert caught.value is error
    assert take(tmp_path, BACKUP) == []


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RagopsError) as caught:
        take(tmp_path / "file" / "locks", BACKUP)
    assert caught.value.code == "file_error"
