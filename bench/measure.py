"""Measures whole commands in turn, A B A B …, so that a ratio holds while the machine's speed drifts."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

PERFORMANCE = Path(__file__).parents[1] / "docs" / "performance.md"


@dataclass(frozen=True)
class Run:
    """One finished command: seconds of user and system CPU of it and its children, and of wall time."""

    user: float
    cpu: float
    wall: float
    stdout: str


def run(command: list[str], cwd: Path, expect: int = 0) -> Run:
    """Run a command; its children count as soon as it has waited for them."""
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
    wall, after = time.perf_counter() - started, os.times()
    if done.returncode != expect:
        raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    user = after.children_user - before.children_user
    return Run(user, user + after.children_system - before.children_system, wall, done.stdout)


def write_project(
    folder: Path, runtime: str, change: Callable[[dict[str, Any]], None] = lambda _values: None
) -> dict[str, Any]:
    """Make a project without a model server and without observability, with the settings that `change` makes of it.

    SETTINGS, JSON of whole sections of ragops.yaml, comes last: for images of other versions.
    """
    name, ragops = f"bench-{os.getpid()}", str(Path(sys.executable).with_name("ragops"))
    run([ragops, "init", "--name", name, *(["--runtime", runtime] if runtime != "embedded" else [])], folder)
    config = folder / "ragops.yaml"
    values: dict[str, Any] = yaml.safe_load(config.read_text())
    values.pop("ollama", None)
    if runtime != "embedded":
        values["observability"] = False
    values["api"]["embedder"] = {"kind": "hashing"}
    change(values)
    values |= json.loads(os.environ.get("SETTINGS", "{}"))
    config.write_text(yaml.safe_dump(values))
    return values


def pairs(ours: list[str], theirs: list[str], cwd: Path, count: int) -> tuple[list[Run], list[Run]]:
    """Run both once to warm up, then `count` times in turn."""
    run(ours, cwd), run(theirs, cwd)
    results = [(run(ours, cwd), run(theirs, cwd)) for _ in range(count)]
    return [a for a, _ in results], [b for _, b in results]


def spread(values: list[float], digits: int = 2) -> str:
    """Median with minimum and maximum."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def ratios(ours: list[float], theirs: list[float]) -> str:
    """The ratio pair by pair, as a spread."""
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])


def publish(section: str, text: str, page: Path = PERFORMANCE) -> None:
    """Print the section and put it between its markers in a page, docs/performance.md if none is named."""
    print(text)
    start, end = f"<!-- {section} -->", f"<!-- /{section} -->"
    head, _, rest = page.read_text().partition(start)
    _, _, tail = rest.partition(end)
    page.write_text(f"{head}{start}\n{text.strip()}\n{end}{tail}")


def passages(length: int = 800) -> list[str]:
    """Pieces of the descriptions of the packages that are installed: text as documents have it."""
    found = []
    for item in sorted(distributions(), key=lambda one: str(one.metadata["Name"]).lower()):
        body = item.metadata["Description"] or ""
        if isinstance(body, str) and len(body) > length:
            found += [body[start : start + length] for start in range(0, min(len(body), 20 * length) - length, length)]
    return found
