"""Help as in gh and kubectl: headings, whole sentences within 80 columns, global options in every command."""

from __future__ import annotations

import functools
import io
import re
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest

from ragops.cli.app import app
from ragops.cli.global_options import FLAGS, VALUES, hoist
from ragops.cli.help import PANELS
from ragops.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TREE = app.tree


def walk(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    yield " ".join(words), command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, (*words, name))


EVERYTHING = dict(walk(TREE))
COMMANDS = {name: command for name, command in EVERYTHING.items() if not hasattr(command, "commands")}


@functools.cache
def shown(name: str) -> str:
    """The help as a pipe gets it."""
    output, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as environment, redirect_stdout(output), redirect_stderr(errors):
        environment.delenv("COLUMNS", raising=False)
        assert run([*name.split(), "--help"]) == 0
    assert errors.buffer.getvalue() == b""  # type: ignore[attr-defined]
    return output.buffer.getvalue().decode()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", EVERYTHING)
def test_help_fits_80_columns(name: str) -> None:
    lines = shown(name).splitlines()
    assert [line for line in lines if len(line) > 80 and "://" not in line] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_arguments_are_written_in_one_way(name: str) -> None:
    """Whatever Typer's own way is: it once was `{NAME} <str>`, and twice bracketed if optional."""
    text = shown(name)
    usage = text.splitlines()[0].removeprefix(f"Usage: ragops {name} [OPTIONS]").split()
    for word in usage:
        assert re.fullmatch(r"(?P<open>\[)?[A-Z]+(\|[a-z]+)?(?(open)\])(\.\.\.)?", word), word
        assert re.search(rf"^  {re.escape(word)}  +\S", text, flags=re.MULTILINE), word
    assert not re.search(r"^  +(-\S+ |\S+ )<", text, flags=re.MULTILINE), "a type in place of a placeholder"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["query"], "Missing argument 'TEXT'."),
        (["logs"], "Missing argument 'SERVICE'."),
        (["health", "--format", "x"], "Invalid value for '--format': 'x' is not one of"),
        (["health", "--timeout", "x"], "Invalid value for '--timeout': it has to be a valid"),
        (["query", "--limit", "x", "what"], "Invalid value for '--limit': it has to be a valid"),
        (["query", "--limit", "0", "what"], "Invalid value for '--limit': it has to be greater than or equal to 1"),
    ],
)
def test_a_wrong_use_is_named(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    assert f"error: {said}" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in EVERYTHING if name not in COMMANDS])
def test_lists_of_commands_cut_no_sentence(name: str) -> None:
    text = re.sub(r"\s+", " ", shown(name))
    for inner, command in EVERYTHING[name].commands.items():
        assert f" {inner} {command.help.splitlines()[0]}" in text, inner


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_is_one_line_that_can_be_copied(name: str) -> None:
    example = re.findall(r"^Example: (.+)$", COMMANDS[name].help, flags=re.MULTILINE)
    assert f"\n  Example: {example[0]}\n" in shown(name)


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_help_names_the_global_options(name: str) -> None:
    _, _, section = shown(name).partition("\nGlobal options:\n")
    assert set(re.findall(r"^  (--[a-z-]+)", section, flags=re.MULTILINE)) == {*FLAGS, *VALUES}


def test_commands_are_in_groups() -> None:
    text = shown("")
    headings = [line.rstrip(":") for line in text.splitlines() if re.fullmatch(r"[A-Z][a-z ]+:", line)]
    assert headings == [*PANELS, "Options", "Global options"], "no command is outside of a group"
    first = {heading: text.split(f"\n{heading}:\n")[1].split("\n\n")[0] for heading in PANELS}
    where = {"up": "Provision", "health": "Observe", "backup": "Protect", "ingest": "Data", "token": "Access"}
    for command, heading in {**where, "engine": "Tools"}.items():
        assert re.search(rf"^  {command} ", first[heading], flags=re.MULTILINE), command


@pytest.mark.parametrize("after", [True, False])
def test_global_options_are_taken_on_both_sides(
    after: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--config", str(tmp_path / "none.yaml"), "--json", "--no-color"]
    words = ["token", "list"]
    assert run([*words, *options] if after else [*options, *words]) == 2
    assert '"code": "config_not_found"' in capsys.readouterr().out


def test_the_application_takes_them_behind_a_command_without_the_entry_point(tmp_path: Path) -> None:
    from ragops.errors import UsageError

    with pytest.raises(UsageError, match=r"none\.yaml"):
        app(["token", "list", "--config", str(tmp_path / "none.yaml")], standalone_mode=False)


def test_an_option_after_two_dashes_is_an_argument() -> None:
    assert hoist(["query", "--", "--json"]) == ["query", "--", "--json"]
    assert hoist(["query", "x", "--env=live"]) == ["--env=live", "query", "x"]
