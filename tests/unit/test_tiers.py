"""The test suite's own machinery: the sample of a campaign, the budget of a test, the groups of workers, free ports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests import bytecode, ports
from tests.scheduling import SECONDS, group, rank

ROOT = Path(__file__).parents[2]
MODULE = """
import pytest
@pytest.mark.campaign(sample=3)
@pytest.mark.parametrize("case", range(40))
def test_case(case): pass
@pytest.mark.campaign
def test_rest(): pass
@pytest.mark.slow
def test_marked(): sum(range(100_000))
def test_unmarked(): sum(range(100_000))
"""
MARKED = {name: f"@pytest.mark.{name}\ndef test_{name}(): pass\n" for name in ("engine", "servers")} | {"rest": ""}


def run(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The hooks on a module of its own."""
    (folder / "test_it.py").write_text(MODULE)
    marks = "\n".join(f"  {name}" for name in ("campaign", "engine", "servers", "slow"))
    (folder / "pytest.ini").write_text(f"[pytest]\nmarkers =\n{marks}\n")
    return run_pytest(folder, "-p", "tests.tiers", *options, ".", **environment)


def run_pytest(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *options]
    # The plugins of all packages take two seconds to import.
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment}
    env.pop("PYTEST_XDIST_WORKER", None)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)


def cases(done: subprocess.CompletedProcess[str]) -> set[str]:
    return {line.partition("::")[2] for line in done.stdout.splitlines() if "::" in line}


def test_a_seed_draws_the_same_sample_and_another_seed_another(tmp_path: Path) -> None:
    one, again, other = (cases(run(tmp_path, "--collect-only", RAGOPS_TEST_SEED=seed)) for seed in ("1", "1", "2"))
    assert one == again
    assert len(one) == 3 + 3, "three of the cases, and what is never sampled"
    assert {"test_rest", "test_marked", "test_unmarked"} <= one & other
    assert one != other
    whole = cases(run(tmp_path, "--collect-only", "-m", "campaign", RAGOPS_TEST_CAMPAIGN="full"))
    assert len(whole) == 40 + 1
    half = cases(run(tmp_path, "--collect-only", "-m", "campaign", RAGOPS_TEST_CAMPAIGN="half"))
    assert len(half) == 20 + 1


@pytest.mark.parametrize(("folder", "marked", "size"), [("faults/", "rest", 2), ("", "engine", 2), ("", "servers", 4)])
def test_of_modules_that_start_engines_each_some_are_drawn(tmp_path: Path, folder: str, marked: str, size: int) -> None:
    whole = tmp_path / "tests/integration" / folder
    whole.mkdir(parents=True)
    for number in range(9):
        (whole / f"test_{number}.py").write_text(f"{MODULE}{MARKED[marked]}")

    def modules(test: str, *options: str, **environment: str) -> set[str]:
        lines = run(tmp_path, "--collect-only", *options, **environment).stdout.splitlines()
        return {line for line in lines if line.startswith("tests/integration/") and line.endswith(f"::test_{test}")}

    one, again, other = (modules(marked, RAGOPS_TEST_SEED=seed) for seed in ("1", "1", "2"))
    assert one == again != other
    assert len(one) == len(other) == size
    assert len(modules("unmarked")) == 9, "what is not marked runs"
    lines = run(tmp_path, "--collect-only", RAGOPS_TEST_SEED="1").stdout.splitlines()
    cases = Counter(line.partition("::")[0] for line in lines if "::test_case[" in line)
    assert set(cases.values()) == {3}, "each draws as many of its cases as it says"
    assert len(modules(marked, "-m", "campaign", RAGOPS_TEST_CAMPAIGN="full")) == 9


def test_an_unmarked_test_over_its_budget_fails_and_the_seed_is_shown(tmp_path: Path) -> None:
    done = run(tmp_path, "-k", "marked", RAGOPS_TEST_SLOW="1e-9", RAGOPS_TEST_SEED="seven")
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    assert "test_unmarked took" in done.stdout
    assert "RAGOPS_TEST_SEED=seven" in done.stdout


def test_what_is_compiled_for_the_workers_is_what_they_read(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(): assert True\n")
    bytecode._rewriter(request.config)(tmp_path / "test_it.py")
    (stored,) = (tmp_path / "__pycache__").iterdir()
    made = stored.stat().st_ino
    done = run_pytest(tmp_path, "test_it.py")
    assert done.returncode == 0, done.stdout
    assert stored.stat().st_ino == made, "pytest has compiled it again"


def test_a_group_is_a_module_and_those_that_take_long_come_first() -> None:
    assert group("tests/unit/x.py::test_a[1]") == group("tests/unit/x.py::test_b")
    assert group("tests/docker/a.py::test_a") == group("tests/docker/qdrant/b.py::test_b")
    assert group("tests/cli/test_docs.py::test_every_example_runs") != group("tests/cli/test_docs.py::test_help")
    long = "tests/integration/test_drill.py::test_a"
    assert rank(long) < rank("tests/integration/new.py::test_a") < rank("tests/unit/new.py::test_a")


@pytest.mark.parametrize("name", SECONDS)
def test_every_long_group_is_there(name: str) -> None:
    assert (ROOT / name.partition(" ")[0]).is_file()


def test_no_port_is_given_out_twice_and_workers_have_ranges_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [port for _ in range(50) for port in ports.free_ports(3)]
    assert len(set(found)) == len(found)
    monkeypatch.setattr(ports, "_WORKER", ports._WORKER + 1)
    other = {ports.free_port() for _ in range(50)}
    assert max(found) < min(other) or max(other) < min(found)
