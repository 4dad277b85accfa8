"""No control character reaches a terminal, whoever wrote it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from ragops.cli import main
from ragops.cli.console import Console
from ragops.cli.printable import one_line, printable
from ragops.errors import InvalidInputError, Problem, RagopsError

if TYPE_CHECKING:
    from pathlib import Path

# Retitle, clear, hide, answer back, go back over what was printed, C1 forms of the same, another direction of text.
HOSTILE = [
    "\x1b]0;owned\x07", "\x1b[2J\x1b[H", "\x1b[8mhidden\x1b[0m", "\x1b[6n", "\x1bc", "safe\rEVIL", "a\x08b", "\x9b31m",
    "\x90q\x9c", "\x1b\x1b[m[2J", "\u202egnp.exe", "\u2066x\u2069", "\x00", "\x7f", "\x1b[<5;1;1M", "line\u2028line",
]  # fmt: skip


def is_harmless(text: str) -> bool:
    return all(char in "\n\t" or (char.isprintable() and ord(char) not in range(0x80, 0xA0)) for char in text)


@pytest.mark.parametrize("text", HOSTILE)
def test_control_characters_are_spelled_out(text: str) -> None:
    assert is_harmless(printable(text))
    assert is_harmless(one_line(text + "\nnext"))
    assert "\n" not in one_line(text + "\nnext")


@pytest.mark.parametrize("text", ["Grüße, 世界 — ok", "a\tb\nc", "→ run `ragops up`", "e\u0301", "👩\u200d💻", "שלום"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_colours_of_logs_are_left_out_and_windows_lines_are_lines() -> None:
    assert printable("\x1b[32mINFO\x1b[0m started\r\nnext") == "INFO started\nnext"


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("columns", [40, 200])
def test_no_way_out_of_the_console_lets_one_through(
    text: str, columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    console = Console(color=False)
    console.text(text)
    console.piece(text)
    console.table((f"NAME{text}"[:4], "DETAIL"), [(text, f"x{text}\ny")], title="t")
    console.message(text)
    console.complain(RagopsError("x", f"cannot read {text}", f"remove {text}"))
    console.complain(InvalidInputError("x", text, [Problem(text, text, text)]))
    shown = capsys.readouterr()
    assert is_harmless(shown.out)
    assert is_harmless(shown.err)
    Console(as_json=True).document({"name": text})
    document = capsys.readouterr().out
    assert is_harmless(document)
    assert json.loads(document) == {"name": text}


def test_a_traceback_lets_none_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_arguments: list[str]) -> int:
        raise ValueError("\x1b[2Jgone")

    monkeypatch.setattr(main, "_call", fail)
    monkeypatch.setattr(sys.stdout, "reconfigure", lambda **_: None, raising=False)
    monkeypatch.setattr(sys.stderr, "reconfigure", lambda **_: None, raising=False)
    assert main.run(["--verbose", "status"]) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert is_harmless(shown)


def test_an_argument_of_the_command_line_lets_none_through(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "reconfigure", lambda **_: None, raising=False)
    monkeypatch.setattr(sys.stderr, "reconfigure", lambda **_: None, raising=False)
    assert main.run(["\x1b[2J"]) == 2
    assert is_harmless(capsys.readouterr().err)
