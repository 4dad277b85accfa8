"""Every command in a message acts where the command did that shows it: all texts of the source are tried."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ragops import hints
from ragops.cli.app import app
from ragops.cli.console import Console
from ragops.cli.main import hoist
from ragops.errors import RagopsError
from ragops.hints import COMMANDS, CommandOptions, complete_commands

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parents[3] / "ragops"
LIVE = CommandOptions("live", "/srv/my rag/ragops.yaml")
WITHOUT = ("init", "engine")  # they act on a folder and on this machine


_ADVISES = re.compile(r"`[^`\n]*ragops ")


def texts() -> Iterator[tuple[str, str]]:
    """Every string of the source that is no docstring, with its place; what is put into it as X."""
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text()
        if not _ADVISES.search(text):  # to parse all of the source takes seconds, in each worker
            continue
        nodes = list(ast.walk(ast.parse(text)))
        skipped: set[int] = set()
        for node in nodes:
            if isinstance(node, ast.JoinedStr):
                skipped |= {id(part) for part in node.values}
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                skipped.add(id(node.value))
        name = path.relative_to(SOURCE)
        for node in nodes:
            if isinstance(node, ast.JoinedStr):
                values = [str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values]
                yield f"{name}:{node.lineno}", "".join(values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
                yield f"{name}:{node.lineno}", node.value


# In a text that a shell prints the mark has a backslash before it; one that is put in whole comes from elsewhere.
COMMANDS_SHOWN = [
    (where, command.rstrip("\\"))
    for where, text in texts()
    for command in re.findall(r"`((?:\S+ )*?ragops [^`]+)`", text)
    if command != "sudo ragops --as-owner X"
]


def environment_of(command: str) -> tuple[str | None, list[str]]:
    """The environment that a command line acts on, and the rest of its words, as the command line is read."""
    words = shlex.split(command.partition("&&")[0])
    ordered = hoist(words[words.index("ragops") + 1 :])
    if "--env" in ordered:
        at = ordered.index("--env")
        return ordered[at + 1], ordered[:at] + ordered[at + 2 :]
    return None, ordered


def test_there_are_commands_to_look_at() -> None:
    assert len(COMMANDS_SHOWN) > 100


@pytest.mark.parametrize(("where", "command"), COMMANDS_SHOWN)
def test_every_command_of_a_hint_names_the_environment(where: str, command: str) -> None:
    if "--help" in command or "--env" in command:
        return
    shown = complete_commands(f"do this: `{command}`", LIVE)
    environment, rest = environment_of(shown.partition("`")[2].rpartition("`")[0])
    first = next((word for word in rest if not word.startswith("-") and word != LIVE.config), "")
    assert environment == ("live" if first not in WITHOUT else None), where
    assert ("--config" in rest) == (first not in WITHOUT)
    assert first in app.tree.commands, f"{where}: there is no command {first!r}"
    assert [word for word in shlex.split(command) if word not in shlex.split(shown.replace("`", ""))] == []


def test_no_command_is_left_out_of_the_list() -> None:
    names = set(app.tree.commands)
    assert names - set(WITHOUT) <= set(COMMANDS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run `ragops up`", "run `ragops --env live up`"),
        ("`ragops down && ragops up`", "`ragops --env live down && ragops --env live up`"),
        ("start it: ragops up", "start it: ragops --env live up"),
        ("`ragops up --env other`", "`ragops up --env other`"),
        ("`ragops --env other up`; `ragops up`", "`ragops --env other up`; `ragops --env live up`"),
        ("see `ragops up --help`", "see `ragops up --help`"),
        ("`ragops init my-rag`, `ragops engine install`", "`ragops init my-rag`, `ragops engine install`"),
        ("a container that ragops did not make", "a container that ragops did not make"),
        ("journalctl -u ragops-rag-live", "journalctl -u ragops-rag-live"),
        ("`sudo ragops --as-owner up`", "`sudo ragops --env live --as-owner up`"),
    ],
)
def test_what_is_completed_and_what_is_not(text: str, expected: str) -> None:
    assert complete_commands(text, CommandOptions("live")) == expected
    assert complete_commands(text, CommandOptions()) == text


@pytest.fixture
def live() -> Iterator[None]:
    hints.set_options_of(["--env=live", "plan"])
    yield
    hints.set_options(None, None)


def test_every_way_of_showing_completes(live: None, capsys: pytest.CaptureFixture[str]) -> None:
    error = RagopsError("x", "see `ragops status`", "run `ragops up`")
    console = Console(color=False)
    console.error(error)
    console.message("next: `ragops migrate up`")
    console.table(("CHECK", "DETAIL"), [("`ragops up`", "down → `ragops up`")])
    Console(as_json=True).error(error)
    shown = capsys.readouterr()
    assert "see `ragops --env live status`" in shown.err
    assert "run `ragops --env live up`" in shown.err
    assert "next: `ragops --env live migrate up`" in shown.err
    assert "`ragops up`  " in shown.out, "a name is no advice"
    assert "down → `ragops --env live up`" in shown.out
    document: dict[str, Any] = json.loads(shown.out.splitlines()[-1])
    assert document["error"]["hint"] == "run `ragops --env live up`"


def test_data_are_never_changed(live: None, capsys: pytest.CaptureFixture[str]) -> None:
    passage = {"passages": [{"text": "`ragops up`", "metadata": {"note": "`ragops up`"}}], "detail": "`ragops up`"}
    Console(as_json=True).document(passage)
    Console().text("`ragops up`")
    document, text = capsys.readouterr().out.splitlines()
    assert json.loads(document) == {**passage, "detail": "`ragops --env live up`"}
    assert text == "`ragops up`"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--env", "live", "up"], CommandOptions("live")),
        (["--config=a.yaml", "--env=live", "plan"], CommandOptions("live", "a.yaml")),
        (["up", "--", "--env", "x"], CommandOptions()),
        (["--env"], CommandOptions()),
    ],
)
def test_the_aim_is_that_of_the_command_line(arguments: list[str], expected: CommandOptions) -> None:
    hints.set_options_of(arguments)
    try:
        assert complete_commands("ragops up") == complete_commands("ragops up", expected)
    finally:
        hints.set_options(None, None)
