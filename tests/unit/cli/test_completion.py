"""Completion: names from the project, within a second, silent whatever fails."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ragops.cli import completion
from ragops.cli.main import run
from ragops.config.load import load
from ragops.operations.gateway import tokens
from ragops.operations.lifecycle.init import init

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POINTS = ("20260101T010000Z-aaaaaa", "20260102T010000Z-bbbbbb")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that is not up, with an environment, a token and two recovery points by name."""
    root = tmp_path / "project"
    init(root, "demo", "embedded")
    (root / "ragops.live.yaml").write_text("{}\n")
    monkeypatch.chdir(root)
    return root


def complete(line: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The candidates for the last word of `line`, as fish asks for them in this process."""
    monkeypatch.setenv("_RAGOPS_COMPLETE", "complete_fish")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
    with pytest.raises(SystemExit) as ended:
        run([])
    monkeypatch.delenv("_RAGOPS_COMPLETE")
    captured = capfd.readouterr()
    assert (ended.value.code, captured.err) == (0, "")
    return [text.partition("\t")[0] for text in captured.out.split("\n") if text]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ragops health re", ["redis"]),
        ("ragops health redis re", []),  # it is there already
        ("ragops logs qd", ["qdrant"]),
        ("ragops restore --service t", ["timescaledb"]),
        ("ragops restore --service a", []),  # the API has nothing to restore
        ("ragops --env l", ["live"]),
        ("ragops backup list --env ", ["default", "live"]),
        ("ragops repair r", ["redis"]),
        ("ragops restore c", ["clean"]),
        ("ragops backup sho", ["show"]),
        ("ragops backup show --j", ["--json"]),
        ("ragops secrets rotate redis_a", ["redis_application"]),
    ],
)
def test_names(
    line: str, expected: list[str], folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert complete(line, capfd, monkeypatch) == expected


def test_recovery_points_newest_first(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ragops.operations.repositories import open_repositories

    (repository,) = open_repositories(load(None, None)).members
    for name in POINTS:
        with repository.store.open_write(f"default/{name}/part") as stream:
            stream.write(b"x")
    for words in ("backup show", "backup verify", "backup delete", "restore", "backup drill", "backup keep"):
        assert complete(f"ragops {words} 2", capfd, monkeypatch) == list(reversed(POINTS)), words
    assert complete("ragops backup show ", capfd, monkeypatch)[0] == "latest"
    assert complete("ragops backup show --env live 2", capfd, monkeypatch) == [], "it has none of its own"


def test_tokens_by_name_and_id(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = load(None, None).paths.gateway
    issued = tokens.issue(gateway, "demo", "website", datetime.now(tz=UTC), lambda: None)
    assert complete("ragops token revoke ", capfd, monkeypatch) == ["website", issued.kid]


@pytest.mark.parametrize(
    "line",
    [
        "ragops ingest ",  # there is no database
        "ragops query --collection ",
        "ragops token revoke --config none.yaml ",
        "ragops --config none.yaml backup show x",
        "ragops --env ../.. restore x",
    ],
)
def test_failures_are_silent(
    line: str, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert complete(line, capfd, monkeypatch) == []


def test_what_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow() -> Iterator[str]:
        yield "first"
        time.sleep(60)
        yield "second"

    monkeypatch.setattr(completion, "_SECONDS", 0.1)
    assert completion._in_time(slow()) == ["first"]


def test_a_hanging_repository_does_not_keep_the_shell(folder: Path) -> None:
    """The process ends though the thread that asks still waits: a server that accepts and never answers."""
    import socket

    pytest.importorskip("s3fs", reason="s3fs is not installed: no remote repository was tried")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        keys = folder / "s3.yaml"
        keys.touch(mode=0o600)
        keys.write_text("{key: k, secret: s}\n")
        options = f'options: {{endpoint_url: "http://127.0.0.1:{port}"}}, options_file: s3.yaml'
        text = f'backup:\n  repository: {{url: "s3://bucket/x", {options}}}\n'
        (folder / "ragops.live.yaml").write_text(text)
        environment = {**os.environ, "_RAGOPS_COMPLETE": "complete_bash", "COMP_CWORD": "5"}
        environment["COMP_WORDS"] = "ragops backup show --env live "
        done = subprocess.run(
            [sys.executable, "-m", "ragops"], env=environment, cwd=folder, timeout=30, capture_output=True, text=True
        )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["latest"], "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert f"_RAGOPS_COMPLETE=complete_{shell}" in capsys.readouterr().out


def test_the_script_works_in_bash(folder: Path, tmp_path: Path) -> None:
    """A real bash with the script: its function fills COMPREPLY."""
    program = tmp_path / "bin" / "ragops"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m ragops "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(ragops completion bash)"; COMP_WORDS=(ragops health --env live qd); COMP_CWORD=4;'
        ' _ragops_completion ragops; echo "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script], env=environment, cwd=folder, timeout=60, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("qdrant\n", "")
