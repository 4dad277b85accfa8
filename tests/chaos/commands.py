"""Commands of ragops at work while something breaks: they may fail, but as commands do, with a code and an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.config.paths import ProjectPaths
from ragops.services.qdrant.names import API_KEY_SECRET
from tests.chaos.nodes import KEY

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tests.chaos.nodes import Nodes

COMMANDS = (
    ("health", "qdrant"),
    ("backup", "run"),
    ("cluster", "status"),
    ("cluster", "rebalance", "--yes"),
)
_SECONDS = 120.0
# Done, failed, unhealthy, something is missing: what is broken must not end in a traceback, nor hang.
_CODES = (0, 1, 3, 6, 7)
_CONFIG = """name: chaos
runtime: docker
observability: off
backup:
  repository: backups
"""


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
        said = f"{' '.join(self.words)}: exit {self.process.returncode}"
        assert self.process.returncode in _CODES, f"{said}\n{out}\n{err}"
        assert "Traceback" not in err, f"{said}\n{err}"
        if self.process.returncode in (1, 6, 7):
            error = json.loads(out)["error"]
            said += f" {error['code']}"
            assert error["message"], out
        return f"{said}, {time.monotonic() - self.started:.1f} s"


def begin(nodes: Nodes, folder: Path, dice: Random) -> Command:
    """Start one of the commands on a project whose platform is these nodes."""
    root = folder / "project"
    paths = ProjectPaths(root, "default")
    if not root.exists():
        root.mkdir()
        (root / "ragops.yaml").write_text(_CONFIG)
        paths.secrets.parent.mkdir(parents=True, exist_ok=True)
        paths.secrets.write_text(json.dumps({API_KEY_SECRET: KEY}))
        paths.secrets.chmod(0o600)
        paths.endpoints.parent.mkdir(parents=True, exist_ok=True)
        paths.endpoints.write_text(json.dumps({"qdrant": nodes.endpoint().to_dict()}))
    words = dice.choice(COMMANDS)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAGOPS_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "ragops", "--json", *words], cwd=root, text=True, env=kept, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    return Command(words, process, time.monotonic())
