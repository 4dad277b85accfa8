"""`make bench`: the command line, the second `up` and `health` against what a user would have without ragops."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from measure import pairs, publish, ratios, run, spread

HERE = Path(__file__).parent
RAGOPS = [str(Path(sys.executable).with_name("ragops"))]
HELP_RUNS, UP_RUNS, HEALTH_RUNS = 15, 7, 15


def help_row(folder: Path) -> str:
    ours, theirs = pairs(
        [*RAGOPS, "--help"], [sys.executable, str(HERE / "bare_typer.py"), "--help"], folder, HELP_RUNS
    )
    a, b = [item.user for item in ours], [item.user for item in theirs]
    walls = spread([item.wall for item in ours])
    return f"| `ragops --help`, user CPU (its wall time: {walls} s) | a Typer program of two commands | {spread(a)} s | {spread(b)} s | {ratios(a, b)} | 1.3 |"


def up_row(folder: Path) -> str:
    ours, theirs = pairs([*RAGOPS, "up", "--yes"], [sys.executable, str(HERE / "bare_up.py")], folder, UP_RUNS)
    a, b = [item.wall for item in ours], [item.wall for item in theirs]
    return f"| second `ragops up`, wall | Automation API: refresh, then up | {spread(a)} s | {spread(b)} s | {ratios(a, b)} | 1.2 |"


def health_rows(folder: Path) -> str:
    documents, walls = [], []
    for _ in range(HEALTH_RUNS):
        done = run([*RAGOPS, "--json", "health"], folder)
        documents.append(json.loads(done.stdout))
        walls.append(done.wall)
    slowest = [max(probe["seconds"] for probe in item["probes"]) for item in documents]
    over = [item["seconds"] - slow for item, slow in zip(documents, slowest, strict=True)]
    return (
        f"| `ragops health`, all probes | its slowest probe | {spread([d['seconds'] for d in documents], 3)} s | {spread(slowest, 3)} s |"
        f" {spread(over, 3)} s more | 0.2 s more |\n"
        f"| `ragops health`, the whole command | its slowest probe | {spread(walls, 3)} s | {spread(slowest, 3)} s |"
        f" {spread([w - s for w, s in zip(walls, slowest, strict=True)], 3)} s more | |"
    )


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="ragops-bench-"))
    folder.chmod(0o755)
    try:
        for arguments in (
            ["init", "--name", "bench"],
            ["up", "--yes"],
            ["migrate", "up"],
            ["backup", "run"],
            ["backup", "verify", "--deep"],
        ):
            run([*RAGOPS, *arguments], folder)
        rows = "\n".join((help_row(folder), up_row(folder), health_rows(folder)))
    finally:
        subprocess.run([*RAGOPS, "down", "--purge-data", "--yes"], cwd=folder, capture_output=True, timeout=120)
        shutil.rmtree(folder)
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {datetime.now(tz=UTC):%Y-%m-%d}"
    head = "| what | against | ragops | other | ratio, pair by pair | bar |\n| --- | --- | --- | --- | --- | --- |"
    publish("bench", f"`make bench` on {machine}; median (least-most) of runs in turn.\n\n{head}\n{rows}")


if __name__ == "__main__":
    main()
