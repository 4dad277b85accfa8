"""A service that is registered in SERVICES and known to no other file (tests/throwaway_service.py), used whole."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]


class Ragops:
    """The command line with one service more."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "ragops.yaml"

    def run(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "tests.throwaway_service", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def __call__(self, *arguments: str) -> str:
        return self.run("--config", str(self.config), *arguments)

    def json(self, *arguments: str) -> Any:
        return json.loads(self("--json", *arguments))


@pytest.fixture
def ragops(workspace: Path, free_port: Callable[[], int]) -> Ragops:
    made = Ragops(workspace / "project")
    made.run("init", str(made.config.parent), "--name", "test")
    text = made.config.read_text()
    assert re.search(r"^notes:\n  port: \d+$", text, re.MULTILINE), "settings and a free port of its own"
    text = re.sub(r"port: \d+", lambda _found: f"port: {free_port()}", text)
    made.config.write_text(text.replace("notes:\n", "notes:\n  text: remember the milk\n"))
    return made


def test_a_new_service_touches_no_other_file(ragops: Ragops) -> None:
    assert "notes" in ragops.run("logs", "--help")
    secrets = ragops.config.parent / ".ragops" / "secrets" / "default.json"
    assert "notes_reader" in json.loads(secrets.read_text())
    plan = subprocess.run(
        [sys.executable, "-m", "tests.throwaway_service", "--config", str(ragops.config), "plan"],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert "+ notes: create" in plan.stdout, plan.stderr
    try:
        ragops("up", "--yes")
        (status,) = [item for item in ragops.json("status")["services"] if item["service"] == "notes"]
        assert (status["state"], status["title"], status["version"]) == ("running", "Notes", "1.0")
        (probe,) = ragops.json("health", "notes")["probes"]
        assert [(check["name"], check["detail"]) for check in probe["checks"]] == [("readable", "17 characters")]
        assert "GET /note.txt" in ragops("logs", "notes")
        assert ragops.json("outputs")["NOTES_URL"].endswith("/note.txt")
        ragops("backup", "run")
        parts = list((ragops.config.parent / "backups").rglob("notes/note.txt*"))
        assert parts, "its part is in the recovery point"
    finally:
        ragops("down", "--yes")
