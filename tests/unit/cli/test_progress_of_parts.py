"""Progress of parts: bars on a terminal; elsewhere the last word on each, and a line now and then about long ones."""

from __future__ import annotations

import os
import sys
import tempfile
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ragops.adapters.progress import Progress
from ragops.cli import progress as module
from ragops.cli.console import Console
from ragops.cli.progress import bars
from tests.terminal import on_terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

MIB = 1 << 20


def said(capsys: pytest.CaptureFixture[str], steps: Sequence[Progress], **console: Any) -> list[str]:
    with bars(Console(**console)) as show:
        for step in steps:
            show(step)
    captured = capsys.readouterr()
    assert captured.out == "", "data go there"
    return captured.err.splitlines()


def part(name: str) -> list[Progress]:
    """What is said of one part on its way."""
    storing = [Progress(name, "storing", done=number * MIB, total=100 * MIB) for number in range(101)]
    return [
        Progress(name, "taking", done=5 * MIB),
        *storing,
        Progress(name, "the engine reads it", done=100 * MIB, total=100 * MIB),
        Progress(name, "stored and read back", final=True, done=100 * MIB, total=100 * MIB),
    ]


def test_without_a_terminal_only_the_last_word_on_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, [*part("redis/dump.rdb"), *part("timescaledb/rag.dump")]) == [
        "redis/dump.rdb: stored and read back (100.0 MiB)",
        "timescaledb/rag.dump: stored and read back (100.0 MiB)",
    ]


def test_without_a_size_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, [Progress("redis", "restored in 1.0 s", final=True)]) == ["redis: restored in 1.0 s"]


def test_of_what_takes_long_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PART_SECONDS", 0.0)
    steps = [
        Progress("a", "taking"),
        Progress("a", "taking", done=3 * MIB),
        Progress("a", "storing", done=25 * MIB, total=100 * MIB),
        Progress("a", "stored", final=True, total=100 * MIB),
    ]
    assert said(capsys, steps) == [
        "a: taking",
        "a: taking, 3.0 MiB so far",
        "a: storing, 25 % of 100.0 MiB",
        "a: stored (100.0 MiB)",
    ]


def test_that_is_told_of_each_part_on_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 11.0, 12.0, 13.0, 22.0])
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    parts = ["a", "b", "a", "b", "a", "a"]  # a at 0, 11, 13, 22; b at 1, 12
    steps = [Progress(name, "taking", done=number * MIB) for number, name in enumerate(parts)]
    lines = ["a: taking, 2.0 MiB so far", "b: taking, 3.0 MiB so far", "a: taking, 5.0 MiB so far"]
    assert said(capsys, steps) == lines


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, part("redis/dump.rdb"), quiet=True) == []


def test_with_json_the_words_go_to_stderr_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(said(capsys, part("redis/dump.rdb"), as_json=True)) == 1


def test_several_threads_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with bars(Console()) as show:

        def work(number: int) -> None:
            for step in part(f"part {number}"):
                show(step)

        workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    lines = capsys.readouterr().err.splitlines()
    assert sorted(lines) == [f"part {number}: stored and read back (100.0 MiB)" for number in range(8)]


TERMINAL = """
    import sys
    from ragops.adapters.progress import Progress
    from ragops.cli.progress import bars
    from ragops.cli.console import Console

    with bars(Console(quiet="quiet" in sys.argv)) as show:
        show(Progress("redis/[dump].rdb", "taking", done=5))
        show(Progress("redis/[dump].rdb", "storing", done=50, total=100))
        show(Progress("redis/[dump].rdb", "stored and read back", final=True, done=100, total=100))
        show(Progress("redis", "counts match", final=True))
    print("data")
"""


def on_a_terminal(*arguments: str, columns: int = 120) -> tuple[str, str]:
    """What a real terminal got as stderr, and stdout."""
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "COLUMNS": str(columns)}
    with tempfile.TemporaryFile() as out:
        command = [sys.executable, "-c", textwrap.dedent(TERMINAL), *arguments]
        shown = on_terminal(command, environment, stdout=out)
        out.seek(0)
        return shown, out.read().decode()


def test_a_terminal_shows_a_bar_for_each() -> None:
    shown, out = on_a_terminal()
    assert out == "data\n"
    last = shown.replace("\r", "\n").split("redis/[dump].rdb")[-1]
    assert "100/100 bytes" in last
    assert "stored and read back" in last
    assert "counts match" in last


def test_a_terminal_shows_nothing_where_quiet_is_asked_for() -> None:
    assert on_a_terminal("quiet") == ("", "data\n")


def test_a_narrow_terminal_gets_lines() -> None:
    shown, _ = on_a_terminal(columns=40)
    assert "\x1b" not in shown
    assert shown.splitlines() == ["redis/[dump].rdb: stored and read back (100 B)", "redis: counts match"]
