"""Logs: bounded, followed through rotations, read from the end."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.logs import cut_start, follow, read_tail, rotate, tail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITER = """
import sys, time
with open(sys.argv[1], "ab", buffering=0) as stream:
    for number in range(int(sys.argv[2])):
        stream.write(b"%06d\\n" % number)
        time.sleep(0.0005)
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "service.log"


def numbers(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


# --- rotation ------------------------------------------------------------------------------------------------------


def test_a_small_log_stays(log: Path) -> None:
    log.write_text("x" * 10)
    assert rotate(log, max_bytes=10) is False
    assert log.read_text() == "x" * 10


def test_no_log_is_nothing_to_rotate(log: Path) -> None:
    assert rotate(log, max_bytes=0) is False


def test_older_logs_move_on_and_the_oldest_goes(log: Path) -> None:
    for name in "abcde":
        log.write_text(name * 20)
        assert rotate(log, max_bytes=10, keep=3) is True
    kept = sorted(path.name for path in log.parent.iterdir())
    assert kept == ["service.log", "service.log.1", "service.log.2", "service.log.3"]
    assert [(log.with_name(f"service.log.{n}")).read_text()[0] for n in (1, 2, 3)] == ["e", "d", "c"]
    assert log.read_text() == ""


BUSY = """
import sys
with open(sys.argv[1], "ab", buffering=0) as stream:
    for number in range(int(sys.argv[2])):
        stream.write(b"%09d\\n" % number)
"""


def cuts_at_the_start(folder: Path) -> bool:
    """Whether the file system can (ext4, XFS)."""
    probe = folder / "probe"
    probe.write_bytes(b"x" * 100_000)
    with probe.open("r+b") as stream:
        return cut_start(stream.fileno(), 99_999) > 0


def test_a_process_goes_on_writing_and_no_line_is_lost(log: Path) -> None:
    """It never waits: some of its lines come between the end of the copy and the end of the rotation."""
    if not cuts_at_the_start(log.parent):
        pytest.skip("this file system cuts no start off a file: lines written during a rotation were not checked")
    lines = 200_000
    writer = subprocess.Popen([sys.executable, "-c", BUSY, str(log), str(lines)])
    rotations, found = 0, b""
    while writer.poll() is None:
        if rotate(log, max_bytes=50_000, keep=1):
            rotations += 1
            found += log.with_name("service.log.1").read_bytes()
    assert (writer.returncode, rotations > 1) == (0, True)
    found += log.read_bytes()
    assert found == b"".join(b"%09d\n" % number for number in range(lines))


def test_lines_that_are_written_during_a_rotation_are_in_one_of_both_files(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the rotation does in between, nothing lies between the end of the copy and emptying the file."""
    log.write_text("before\n" * 10)
    real = shutil.copystat

    def slow(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        with log.open("a") as stream:
            stream.write("during\n")

    monkeypatch.setattr(shutil, "copystat", slow)
    assert rotate(log, max_bytes=10)
    assert log.with_name("service.log.1").read_text() + log.read_text() == "before\n" * 10 + "during\n"


# --- the end -------------------------------------------------------------------------------------------------------


def test_the_last_lines(log: Path) -> None:
    log.write_text("a\nb\nc\n")
    assert tail(log, 2) == ["b", "c"]
    assert tail(log, 10) == ["a", "b", "c"]


def test_no_lines_are_no_lines(log: Path) -> None:
    log.write_text("a\nb\n")
    assert tail(log, 0) == []


def test_the_end_of_a_large_log_that_is_no_utf8(log: Path) -> None:
    log.write_bytes("ü".encode() * 100_000 + b"\n\xff\xfe end\n")
    assert tail(log, 1) == ["\ufffd\ufffd end"]


def test_lines_that_were_rotated_away_are_read_too(log: Path) -> None:
    log.write_text("c\nd\n")
    log.with_name("service.log.1").write_text("b\n" * 100_000)
    log.with_name("service.log.2").write_text("a\n")
    assert tail(log, 3) == ["b", "c", "d"]
    assert (len(tail(log, 500_000)), tail(log, 500_000)[0]) == (100_003, "a")


def test_no_log_has_no_lines(log: Path) -> None:
    assert tail(log, 5) == []


# --- following -----------------------------------------------------------------------------------------------------


class Follower:
    """Follows in a thread until it has as many lines as are waited for."""

    def __init__(self, path: Path, position: int | None = None) -> None:
        self.lines: list[str] = []
        self._wanted = threading.Condition()
        self._source: Iterator[str] = follow(path, position, poll=0.01)
        self._stopped = False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        for line in self._source:
            with self._wanted:
                self.lines.append(line)
                self._wanted.notify_all()
            if self._stopped:
                return

    def wait_for(self, count: int) -> list[str]:
        with self._wanted:
            assert self._wanted.wait_for(lambda: len(self.lines) >= count, timeout=20), self.lines
            return list(self.lines)


def add(log: Path, text: str) -> None:
    with log.open("a") as stream:
        stream.write(text)


def test_what_is_appended_comes_by_whole_lines(log: Path) -> None:
    follower = Follower(log, 0)
    add(log, "one\ntw")
    assert follower.wait_for(1) == ["one"]
    add(log, "o\n\nthree\n")
    assert follower.wait_for(4) == ["one", "two", "", "three"]


def test_between_the_end_and_following_nothing_is_lost(log: Path) -> None:
    log.write_text("old\n")
    last, position = read_tail(log, 5)
    add(log, "between\n")
    follower = Follower(log, position)
    add(log, "after\n")
    assert [*last, *follower.wait_for(2)] == ["old", "between", "after"]


def test_following_goes_through_a_rotation(log: Path) -> None:
    log.write_text("0" * 100 + "\n")
    follower = Follower(log, 0)
    follower.wait_for(1)
    rotate(log, max_bytes=10)
    add(log, "new\n")
    assert follower.wait_for(2)[1:] == ["new"]


def test_lines_just_before_a_rotation_are_read_from_the_copy(log: Path) -> None:
    log.write_text("0" * 100 + "\n")
    position = read_tail(log, 0)[1]
    add(log, "before\n")
    rotate(log, max_bytes=10)
    add(log, "after\n")
    assert Follower(log, position).wait_for(2) == ["before", "after"]


def test_a_line_that_a_rotation_divides_is_followed_whole(log: Path) -> None:
    lines = [f"{number:09d}" for number in range(2000)]
    log.write_text("\n".join(lines[:1000]) + "\n")
    follower = Follower(log, 0)
    follower.wait_for(1000)
    add(log, "\n".join(lines[1000:]) + "\n")
    rotate(log, max_bytes=10)
    add(log, "after\n")
    assert follower.wait_for(2001) == [*lines, "after"]


def test_a_log_that_comes_later_is_followed(log: Path) -> None:
    follower = Follower(log, 0)
    add(log, "first\n")
    assert follower.wait_for(1) == ["first"]
