"""The demo's tour, on the whole platform."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragops.adapters.docker.client import DockerHost

DEMO = Path(__file__).parents[3] / "examples" / "demo.py"


def test_the_tour_shows_what_it_says(needed: DockerHost) -> None:
    """A platform is made, asked, lost and brought back; the tour itself checks each of its steps."""
    done = subprocess.run(
        [sys.executable, str(DEMO)], env={**os.environ, "RUNTIME": "docker"}, timeout=1100,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "everything it showed was checked" in done.stdout
    assert not [one.name for one in needed.containers({}) if one.name.startswith("ragops-demo")]
