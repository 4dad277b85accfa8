"""Tiers of tests: what a run leaves out, in which groups and order its workers take the rest, how long one may take.

docs/testing.md has the tiers. These are hooks of pytest, taken in by tests/conftest.py.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.bytecode import compile_all
from tests.scheduling import group, rank

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED, CAMPAIGN, SLOW = "RAGOPS_TEST_SEED", "RAGOPS_TEST_CAMPAIGN", "RAGOPS_TEST_SLOW"
# Read here because every test runs without the RAGOPS_ variables of the environment.
_WHOLE, _HALF = (os.environ.get(CAMPAIGN) == size for size in ("full", "half"))
_SLOW = float(os.environ.get(SLOW, "1"))
BUDGET_SECONDS, TIMEOUT_SECONDS, LONG_TIMEOUT_SECONDS = 20.0, 60.0, 600.0
# Tests with one of these have no budget: they start whole platforms, or kill one thing many times.
LONG = ("engine", "campaign", "packaging", "fuzz", "platform", "kinds", "docker", "chaos", "slow")
NOT_HERE = "not here: "  # how the reason of a skip begins that is for want of something
# Folders all of whose tests have a mark: nothing of them is imported if that is left out (`-m 'not docker and …'`).
_MARKED = {"docker": "docker", "recovery_kinds": "kinds", "packaging": "packaging", "chaos": "chaos"}
# Modules with this marker below this folder start engines of their own, or a whole platform: a run without all cases
# draws so many of them. Those of ALWAYS are in every run.
DRAWN = (
    ("tests/integration/faults/", "campaign", 2),
    ("tests/integration/test_", "engine", 2),
    ("tests/", "servers", 4),
)
ALWAYS = ("tests/integration/test_lifecycle.py",)
DOCKER_FIXTURES = {"docker", "kong_gateway"}
_ROOT = Path(__file__).parents[1]


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed, and compile, in the one process that starts the workers: all draw the same sample."""
    os.environ.setdefault(SEED, _commit())
    config.stash[_SEED] = os.environ[SEED]
    if config.getoption("numprocesses", None) and "PYTEST_XDIST_WORKER" not in os.environ:
        compile_all(config, [name for name in _MARKED if _is_left_out(name, config)])


_SEED = pytest.StashKey[str]()


def _commit() -> str:
    command = ["git", "-C", str(_ROOT), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "no-commit"


def pytest_report_header(config: pytest.Config) -> str:
    """Name the seed and the way to repeat the sample."""
    if _WHOLE:
        return "campaigns: whole"
    seed = config.stash[_SEED]
    if _HALF:
        return f"campaigns: half of the cases of each by seed {seed} (all: make test-faults)"
    return f"campaigns: a sample by seed {seed} (the same again: {SEED}={seed} make test; all: make test-faults)"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out the groups of tests/scheduling.py."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return Groups(config, log) if config.getoption("dist") == "loadscope" else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out a folder of which no test would run: to import it takes seconds in each worker."""
    is_folder = collection_path.parent == _ROOT / "tests"
    return True if is_folder and _is_left_out(collection_path.name, config) else None


def _is_left_out(folder: str, config: pytest.Config) -> bool:
    return folder in _MARKED and f"not {_MARKED[folder]}" in config.getoption("markexpr")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sample the campaigns, give each test its time-out, and put the groups of a worker into order."""
    for item in items:
        if DOCKER_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("docker")
        if drawn(item) and item.get_closest_marker("campaign") is None:
            item.add_marker("campaign")  # `make test-faults` runs all of them
    if not _WHOLE and not any("::" in argument for argument in config.args):
        seed = config.stash[_SEED]
        left_out = sampled_out(items, seed) + ([] if _HALF else modules_out(items, seed))
        gone = set(left_out)
        config.hook.pytest_deselected(items=[item for item in items if item in gone])
        items[:] = [item for item in items if item not in gone]
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LONG_TIMEOUT_SECONDS if is_long(item) else TIMEOUT_SECONDS * _scale()))
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: rank(item.nodeid))


def sampled_out(items: list[pytest.Item], seed: str) -> list[pytest.Item]:
    """All cases of `@pytest.mark.campaign(sample=N)` but N, which the seed decides.

    N is that of one function, or of all that have the same `of=NAME` in one module.
    """
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    sizes: dict[str, int] = {}
    for item in items:
        if (marker := item.get_closest_marker("campaign")) is not None and "sample" in marker.kwargs:
            module, _, name = item.nodeid.partition("[")[0].partition("::")
            key = f"{module}::{marker.kwargs.get('of', name)}"
            cases[key].append(item)
            sizes[key] = marker.kwargs["sample"]
    left_out: list[pytest.Item] = []
    for key, found in cases.items():
        kept = random.Random(f"{seed} {key}").sample(
            found, min(len(found), max(sizes[key], (len(found) + 1) // 2 if _HALF else 0))
        )
        left_out += [item for item in found if item not in kept]
    return left_out


def drawn(item: pytest.Item) -> str:
    """Return the folder of DRAWN by which the item's module is drawn, empty if it is not."""
    if item.nodeid.startswith(ALWAYS):
        return ""
    of = (folder for folder, marker, _ in DRAWN if item.nodeid.startswith(folder) and item.get_closest_marker(marker))
    return next(of, "")


def modules_out(items: list[pytest.Item], seed: str) -> list[pytest.Item]:
    """All items of the modules that are drawn, but those of as many modules as DRAWN says."""
    left_out: list[pytest.Item] = []
    for folder, _, size in DRAWN:
        modules: dict[str, list[pytest.Item]] = defaultdict(list)
        for item in items:
            if drawn(item) == folder:
                modules[item.nodeid.partition("::")[0]].append(item)
        kept = random.Random(f"{seed} {folder}").sample(sorted(modules), min(len(modules), size))
        left_out += [item for module, found in modules.items() if module not in kept for item in found]
    return left_out


# --- how long a test may take ----------------------------------------------------------------------------------------


def is_long(item: pytest.Item) -> bool:
    """Whether it has no budget."""
    return any(item.get_closest_marker(name) for name in LONG)


def _scale() -> float:
    """How much longer everything takes than on an idle machine: workers or load for each processor, and SLOW."""
    cores = os.cpu_count() or 1
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return max(1.0, workers / cores, os.getloadavg()[0] / cores) * _SLOW


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    """Fail an unmarked test that took longer than its budget, else the run grows back to what it was."""
    report = yield
    limit = BUDGET_SECONDS * _scale()
    if call.when == "call" and report.passed and call.duration > limit and not is_long(item):
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid} took {call.duration:.0f} s of {limit:.0f} s that an unmarked test has: make it shorter,"
            " or mark it `slow` (docs/testing.md)"
        )
    return report


# --- the end ---------------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> Iterator[None]:
    """End with a line for each thing that tests missed, and after a failure with the way to the same sample."""
    yield
    reasons = Counter(
        str(report.longrepr[2]).partition(NOT_HERE)[2]
        for report in terminalreporter.stats.get("skipped", ())
        if isinstance(report.longrepr, tuple) and NOT_HERE in str(report.longrepr[2])
    )
    if reasons:
        terminalreporter.section("not here")
    for what, count in sorted(reasons.items()):
        terminalreporter.line(f"{count} tests skipped for want of {what}")
    if terminalreporter.stats.get("failed"):
        terminalreporter.line(pytest_report_header(config))
