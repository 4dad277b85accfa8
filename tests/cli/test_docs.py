"""The documentation is true: every command has help and an example that runs, and no text names what is not there."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ragops.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TREE = app.tree
GLOBAL = {"--help", "-h"} | {option for parameter in TREE.params for option in parameter.opts}
COLLECTIONS = """{"collections": [{"name": "manuals", "directory": "manuals", "embeddingModel": "hashing-384-v1",
 "chunkSize": 100, "chunkOverlap": 10, "fileTypes": ["md"], "recursive": true, "enabled": true}]}"""


def walk(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command and group below, by what is typed."""
    for name, inner in getattr(command, "commands", {}).items():
        yield " ".join((*words, name)), inner
        yield from walk(inner, (*words, name))


EVERYTHING = dict(walk(TREE))
COMMANDS = {name: command for name, command in EVERYTHING.items() if not hasattr(command, "commands")}


def example(command: Any) -> str:
    found = re.findall(r"^Example: (ragops .+)$", command.help or "", flags=re.MULTILINE)
    assert len(found) == 1, f"{command.name} needs one line that begins with `Example: ragops`"
    return found[0]


# --- help --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_command_and_group_has_help(name: str) -> None:
    command = EVERYTHING[name]
    first = (command.help or "").splitlines()[0]
    assert re.fullmatch(r"[A-Z].{8,}\.", first), "the first line is what lists show"
    for parameter in command.params:
        if parameter.param_type_name == "option":
            assert parameter.help, f"{name} {parameter.opts[0]}"


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_is_of_its_command(name: str) -> None:
    assert example(COMMANDS[name]).startswith(f"ragops {name}")


@pytest.mark.parametrize("name", ["", *EVERYTHING])
def test_help_is_shown(name: str, ragops: Any, tmp_path: Path) -> None:
    done = ragops(*name.split(), "--help", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Usage: ragops")


# --- examples run ------------------------------------------------------------------------------------------------

# In the order of the help, but documents come after the schema, a question after a token, a restore after a recovery
# point; a token that is revoked opens nothing, nothing is up after down, and only then another platform can have its
# ports.
ON_COLLECTIONS = dict.fromkeys((f"collection {verb}" for verb in ("list", "create", "show", "set", "remove")), 1)
LATE = {**ON_COLLECTIONS, "ingest": 1, "query": 2, "restore": 3, "token revoke": 4, "down": 5, "recover": 6}
ORDER = sorted(COMMANDS, key=lambda name: LATE.get(name, 0))
# Where their exit code is an answer, not a failure.
ANSWERS = {"plan": {0, 4}, "drift": {0, 4}, "health": {0, 1, 2, 3}, "slo": {0, 7}}
# Only Docker runs a cluster of Qdrant; here the examples are refused (exit code 2).
ANSWERS |= {name: {2} for name in COMMANDS if name.startswith("cluster ") and name != "cluster cancel"}


@pytest.mark.engine
@pytest.mark.campaign(sample=0)  # a platform goes through all of them: minutes
def test_every_example_runs(module_project: Path, ragops: Any) -> None:
    (module_project / "collections-config.json").write_text(COLLECTIONS)
    (module_project / "manuals").mkdir()
    (module_project / "manuals" / "secrets.md").write_text("# Rotating a secret\n\nUse the rotate command.\n")
    try:
        before_documents = [name for name in ORDER if LATE.get(name, 0) == 0]
        failures = [answer for name in before_documents if (answer := run_example(name, module_project, ragops))]
        imported = ragops("migrate", "json-to-db", "collections-config.json", cwd=module_project)
        token = ragops("token", "issue", "reader", cwd=module_project).out.strip()
        assert imported.code == 0
        late = ORDER[len(before_documents) :]
        failures += [answer for name in late if (answer := run_example(name, module_project, ragops, token))]
    finally:
        ragops("down", "--yes", cwd=module_project)
        ragops("down", "--yes", "--config", "new/ragops.yaml", cwd=module_project)
    assert not failures, "\n".join(failures)


def crontab_of_nobody(project: Path) -> Path:
    """The folder of a program `crontab` that keeps a file: no example changes that of whoever runs the tests."""
    program = project / "bin" / "crontab"
    if not program.exists():
        program.parent.mkdir()
        program.write_text(
            '#!/bin/sh\ncd "$(dirname "$0")"\n'
            'if [ "$1" = - ]; then cat > table; elif [ -e table ]; then cat table; '
            'else echo "no crontab for nobody" >&2; exit 1; fi\n'
        )
        program.chmod(0o755)
    return program.parent


def run_example(name: str, cwd: Path, ragops: Any, token: str = "") -> str:
    """Run it as it is typed, in a shell if it needs one; returns what went wrong."""
    typed = example(COMMANDS[name])
    path = f"{crontab_of_nobody(cwd)}:{os.environ['PATH']}"
    if not re.search(r"[|&;<>$`*()]", typed):
        shown = ragops(*shlex.split(typed)[1:], cwd=cwd, env={"RAGOPS_TOKEN": token, "PATH": path})
        return "" if shown.code in ANSWERS.get(name, {0}) else f"{typed}: exit {shown.code}: {shown.err}"
    shell = f'ragops() {{ {shlex.join(ragops.command())} "$@"; }}\n{typed}'
    environment = {**ragops.environment(), "RAGOPS_TOKEN": token, "PATH": path}
    done = subprocess.run(
        ["/bin/bash", "-c", shell], cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    wrong = done.returncode not in ANSWERS.get(name, {0})
    return f"{typed}: exit {done.returncode}: {done.stderr}" if wrong else ""


# --- texts name what is there --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One `ragops …` in a text."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def documents() -> list[Path]:
    return [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("backups/*.md")]


def in_fences(path: Path) -> Iterator[Line]:
    """Commands in fenced code blocks."""
    inside = False
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if text.lstrip().startswith("```"):
            inside = not inside
        elif inside:
            for part in re.split(r"&&|\|\||[;|]", text.partition(" #")[0]):
                command = part.strip().removeprefix("$ ")
                if command.startswith("ragops "):
                    yield Line(f"{path.relative_to(ROOT)}:{number}", command)


def in_backticks(path: Path) -> Iterator[Line]:
    """Commands inside `…`, as hints of errors and running text have them."""
    for number, text in enumerate(path.read_text().splitlines(), 1):
        for command in re.findall(r"`(ragops [^`]+)`", text):
            for part in command.split("&&"):
                yield Line(f"{path.relative_to(ROOT)}:{number}", part.strip())


def fault(line: Line) -> str:
    """What of the line is not there: a command or an option."""
    command: Any = TREE
    for word in re.sub(r"\{[^}]*\}", "X", line.text).split()[1:]:
        if word.startswith("-"):
            option = word.partition("=")[0].rstrip(".,)")
            known = GLOBAL | {name for parameter in command.params for name in parameter.opts}
            if option not in known:
                return f"{line}: there is no option {option}"
        elif hasattr(command, "commands") and not re.fullmatch(r"[A-Z…|.\[\]]+", word):
            if word.split("|")[0] not in command.commands:
                return f"{line}: there is no command {word}"
            command = command.commands[word.split("|")[0]]
    return ""


# Words that follow the program's name in running text, where it is the subject and no command.
PROSE = re.compile(
    "again|and|at|builds|can|development|did|escape|for|gets|if|import|in|is|it|itself|keeps|knows|left|makes|may|needs|on|reads|repairs"
    "|has|runs|shows|started|to|was|where|writes|wrote"
)


def in_strings(path: Path) -> Iterator[Line]:
    """Commands in string literals that stand there without backticks; docstrings are in_backticks' business."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, documented)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in docs:
            for command in re.findall(r"\bragops [a-z][a-z-]*(?: [a-z][a-z-]*)?", node.value):
                words = command.split()
                if not PROSE.fullmatch(words[1]):
                    group = hasattr(TREE.commands.get(words[1]), "commands")
                    yield Line(f"{path.relative_to(ROOT)}:{node.lineno}", " ".join(words if group else words[:2]))


def test_strings_of_the_source_name_commands_that_are_there() -> None:
    lines = [line for path in (ROOT / "ragops").rglob("*.py") for line in in_strings(path)]
    assert len(lines) > 100
    assert not [words for line in lines if (words := fault(line))]


def test_a_command_that_is_not_there_is_found_in_a_string(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "x.py").write_text('HINT = "check the password: ragops passwords list"\n')
    assert [fault(line) for line in in_strings(tmp_path / "x.py")] == [
        "x.py:1: ragops passwords: there is no command passwords"
    ]


def test_code_blocks_name_commands_that_are_there() -> None:
    lines = [line for path in documents() for line in in_fences(path)]
    assert lines, "README shows at least one"
    assert not [words for line in lines if (words := fault(line))]


def test_hints_and_running_text_name_commands_that_are_there() -> None:
    sources = [*(ROOT / "ragops").rglob("*.py"), *(ROOT / "templates").rglob("*.j2")]
    lines = [line for path in [*documents(), *sources] for line in in_backticks(path)]
    assert len(lines) > 20
    assert not [words for line in lines if (words := fault(line))]
