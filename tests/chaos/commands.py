"""Commands of ragops at work while something breaks: they may fail, but as commands do, with a code and an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.project import COLLECTION

if TYPE_CHECKING:
    from random import Random

    from tests.chaos.nodes import Nodes
    from tests.chaos.project import Project

COMMANDS = (
    ("health", "qdrant"),
    ("backup", "run"),
    ("cluster", "status"),
    ("cluster", "rebalance", "--yes"),
    ("ingest", COLLECTION),
)
_SECONDS = 120.0
# Done, failed, unhealthy, something is missing: what is broken must not end in a traceback, nor hang.
_CODES = (0, 1, 3, 6, 7)


@dataclass
class Command:
    """A command that runs."""

    words: tuple[str, ...]
    process: subprocess.Popen[str]
    started: float

    def end(self) -> str:
        """Wait for its end; return its words and exit code. Raises AssertionError if it ended as no command does."""
        try:
            out, err = self.process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate(timeout=10)
            raise AssertionError(f"{' '.join(self.words)} did not end in {_SECONDS:.0f} s") from None
        ended = f"{' '.join(self.words)}: exit {self.process.returncode}"
        assert self.process.returncode in _CODES, f"{ended}\n{out}\n{err}"
        assert "Traceback" not in err, f"{ended}\n{err}"
        if self.process.returncode in (1, 6, 7):
            error = json.loads(out)["error"]
            ended += f" {error['code']}"
            assert error["message"], out
        return f"{ended}, {time.monotonic() - self.started:.1f} s"


def begin(project: Project, dice: Random) -> Command:
    """Start one of the commands."""
    words = dice.choice(COMMANDS)
    if words[0] == "ingest":
        project.change_documents(dice)
    return _start(project, words)


def ingest_again(project: Project, nodes: Nodes) -> list[str]:
    """Ingest the documents when all is whole, as cron would; return how the nodes then differ from the database."""
    done = _start(project, ("ingest", COLLECTION))
    ended = done.end()
    return project.differences(nodes) if "exit 0" in ended else [f"the next {ended}"]


def _start(project: Project, words: tuple[str, ...]) -> Command:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAGOPS_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "ragops", "--json", *words], cwd=project.root_for(words[0]), text=True, env=kept,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    return Command(words, process, time.monotonic())
