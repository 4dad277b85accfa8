"""Tables fit the terminal: texts are wrapped, columns that can be missed are left out, ids and addresses stay whole."""

from __future__ import annotations

import io
import os
import re
import sys
import textwrap
from pathlib import Path

import pytest
from rich.console import Console as RichConsole

from ragops.cli.console import Console
from ragops.cli.tables import fit
from tests.terminal import on_terminal

COLUMNS = ("SERVICE", "STATE", "ENGINE", "ADDRESS", "PID", "UP", "MEMORY")
ROWS = [
    ("timescaledb", "running", "PostgreSQL 18.4", "127.0.0.1:22973", "11935", "11 min", "104.9 MiB"),
    ("qdrant", "running", "Qdrant Edge, development 0.9.0", "127.0.0.1:24012", "11866", "11 min", "52.9 MiB"),
]
OPTIONAL = ("MEMORY", "UP", "ENGINE")
DRAW = f"""
    import sys
    from ragops.cli.console import Console

    console = Console(color="plain" not in sys.argv)
    console.table({COLUMNS!r}, {ROWS!r}, "a title", optional={OPTIONAL!r})
"""


def on_a_terminal(columns: int, *arguments: str) -> str:
    """What a real terminal of that width gets, messages included."""
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "COLUMNS": str(columns)}
    environment.pop("NO_COLOR", None)
    return on_terminal([sys.executable, "-c", textwrap.dedent(DRAW), *arguments], environment)


@pytest.mark.parametrize(("columns", "left_out"), [(120, ""), (80, ""), (60, "MEMORY, UP"), (50, "MEMORY, UP, ENGINE")])
def test_a_table_fits_the_terminal(columns: int, left_out: str) -> None:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal(columns))
    assert max(map(len, plain.splitlines())) <= columns
    for service, _, _, address, pid, _, memory in ROWS:
        line = next(line for line in plain.splitlines() if line.startswith(service))
        assert {address, pid} <= set(line.split()), "addresses and numbers are whole"
        assert (memory in line) == ("MEMORY" not in left_out)
    assert (f"left out in {columns} columns: {left_out}" in plain) == bool(left_out)


def test_without_colours_a_terminal_gets_the_same_text() -> None:
    text = on_a_terminal(60, "plain")
    assert "\x1b" not in text
    assert text == re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal(60))


def test_a_pipe_gets_all_of_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    Console().table(COLUMNS, ROWS, optional=OPTIONAL)
    captured = capsys.readouterr()
    assert captured.out.splitlines()[2].split() == " ".join(ROWS[1]).split()
    assert captured.err == ""


@pytest.mark.parametrize("width", range(40, 140, 7))
def test_only_as_much_goes_as_has_to(width: int) -> None:
    table, wrapped = fit(COLUMNS, ROWS, OPTIONAL, width)
    assert table.left_out == OPTIONAL[: len(table.left_out)]
    if table.left_out:
        back = fit(COLUMNS, ROWS, OPTIONAL[: len(table.left_out) - 1], width)[0]
        assert back.width(wrapped=wrapped) > width


def test_words_stay_whole_and_long_names_are_wrapped_last() -> None:
    rows = [("ragops_secret", "applications (TIMESCALEDB_PASSWORD)")]
    table, wrapped = fit(("NAME", "USED BY"), rows, (), 60)
    assert table.least("USED BY", wrapped) == len("(TIMESCALEDB_PASSWORD)")
    assert "NAME" not in wrapped
    assert "NAME" in fit(("NAME", "USED BY"), rows, (), 30)[1]


def test_long_values_of_named_facts_are_wrapped_and_their_names_are_not() -> None:
    rows = [("folders inside", "read"), ("files", "txt, text, adoc, asciidoc, org, tex, md; all of them with --json")]
    table, wrapped = fit(("WHAT", "VALUE"), rows, (), 50)
    widths = table.widths(wrapped, 50)
    assert widths[0] == len("folders inside")
    assert sum(widths) + 2 <= 50


@pytest.mark.parametrize("width", range(30, 120, 5))
def test_no_cell_is_cut(width: int) -> None:
    rows = [("timescaledb_application", "applications (TIMESCALEDB_PASSWORD)", "ragops secrets rotate")]
    table, wrapped = fit(("NAME", "USED BY", "CHANGED BY"), rows, (), width)
    widths = table.widths(wrapped, width)
    assert widths >= [table.least(column, wrapped) for column in table.columns]
    assert sum(widths) + 4 <= max(width, table.width(wrapped=wrapped))
    pen = RichConsole(width=max(width, table.width(wrapped=wrapped)), file=io.StringIO())
    console = Console()
    console.record(pen)
    console.table(("NAME", "USED BY", "CHANGED BY"), rows)
    drawn = pen.file.getvalue()  # type: ignore[attr-defined]
    assert sorted(re.sub(r"\s", "", drawn)) == sorted(re.sub(r"\s", "", "".join(("NAMEUSEDBYCHANGEDBY", *rows[0]))))


def test_texts_that_have_no_room_beside_the_rest_stand_below() -> None:
    detail = "the last one was taken 31 h ago, the schedule asks for one every 24 h → run `ragops backup run`"
    pen = RichConsole(width=50, file=io.StringIO())
    console = Console()
    console.record(pen)
    rows = [("timescaledb", "persistence", "ok", "on"), ("platform", "recovery points", "degraded", detail)]
    console.table(("SERVICE", "CHECK", "STATUS", "DETAIL"), rows)
    lines = pen.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 50
    assert [line.split() for line in lines[:5]] == [
        ["SERVICE", "CHECK", "STATUS"], ["DETAIL"], ["timescaledb", "persistence", "ok"], ["on"],
        ["platform", "recovery", "points", "degraded"],
    ]  # fmt: skip
    assert " ".join(line.strip() for line in lines[5:]) == detail


def test_an_empty_list_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    Console().table(("ID", "NAME"), [], empty="there are no tokens")
    assert capsys.readouterr() == ("", "there are no tokens\n")
    Console(quiet=True).table(("ID", "NAME"), [], empty="there are no tokens")
    assert capsys.readouterr() == ("", "")
