"""`make picture`: docs/status.svg, exported by Rich from `ragops status` of a real platform."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console as RichConsole

from ragops.cli.console import Console
from ragops.cli.views import show_status
from ragops.config.load import load
from ragops.operations.observe.status import status
from ragops.operations.session import Session

RAGOPS = str(Path(sys.executable).with_name("ragops"))
TARGET = Path(__file__).parents[1] / "docs" / "status.svg"


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="ragops-picture-"))
    folder.chmod(0o755)
    os.chdir(folder)
    try:
        for arguments in (["init", "--name", "docs"], ["up", "--yes"], ["migrate", "up"], ["backup", "run"]):
            subprocess.run([RAGOPS, *arguments], check=True, capture_output=True, timeout=300)
        rich = RichConsole(record=True, width=112, file=io.StringIO(), force_terminal=True, highlight=False)
        console = Console()
        console.record(rich)
        session = Session(load(None, None), "picture", print)
        rich.print("[bold]$ ragops status[/bold]")
        show_status(console, status(session))
        rich.save_svg(str(TARGET), title="ragops")
    finally:
        subprocess.run([RAGOPS, "down", "--purge-data", "--yes"], capture_output=True, timeout=120)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
