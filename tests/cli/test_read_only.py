"""Commands that only read, on an environment that was never up: the project folder stays as it was."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from ragops.cli.app import app
from ragops.cli.main import hoist
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READING = [
    "doctor", "plan", "plan --exit-code", "status", "outputs", "logs redis api --since 1h --grep e", "drift", "health",
    "slo", "query hello", "unlock",
    "backup list", "backup show", "backup verify", "backup verify --deep", "backup prune --dry-run",
    "backup delete latest --dry-run", "backup schedule show", "schedule show",
    "restore --dry-run", "restore clean --dry-run",
    "repair redis --dry-run", "migrate status", "migrate json-to-db collections-config.json --dry-run",
    "migrate db-to-json {outside}", "service show", "secrets list", "token list", "gateway diff", "gateway check",
    "images list", "engine path", "completion bash", "collection list", "collection show docs",
    "cluster status", "cluster verify", "cluster repair --dry-run", "cluster rebalance --dry-run",
    "cluster set-replication docs 2 --dry-run",
    "cluster move-shard docs 0 --from qdrant-1 --to qdrant-2 --dry-run", "cluster add-node --dry-run",
    "cluster remove-node --dry-run", "cluster replace-node qdrant-1 --dry-run", "cluster upgrade --dry-run",
    "cluster reshard docs --dry-run", "metrics runbook", "metrics runbook ApiDown", "metrics targets",
]  # fmt: skip
CHANGING = {
    "init", "up", "down", "ingest", "recover", "migrate up", "migrate maintain", "backup run", "backup copy",
    "backup keep", "backup keygen", "backup drill", "backup scheduled", "backup schedule install",
    "backup schedule remove", "schedule install", "schedule remove", "schedule ingest",
    "service install", "service remove", "service start", "service stop", "secrets rotate",
    "token issue", "token revoke", "gateway apply", "images pull", "images build", "engine install",
    "collection create", "collection set", "collection remove", "cluster cancel", "metrics export",
}  # fmt: skip


def listing(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file and folder with its mode, and of a file the time of its last change and what is in it."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        about = path.lstat()
        inside = (about.st_mtime_ns, path.read_bytes()) if path.is_file() else (0, b"")
        found[str(path.relative_to(folder))] = (about.st_mode, *inside)
    return found


@pytest.fixture(params=["initialised", "cloned", "overlay"])
def project(request: pytest.FixtureRequest, workspace: Path, ragops: Any) -> Path:
    """A new project; as git clones it, without what is not in git; with a second environment that was never up."""
    folder = workspace / "project"
    assert ragops("init", str(folder), "--name", "test", cwd=workspace).code == 0
    if request.param == "cloned":
        shutil.rmtree(folder / ".ragops")
    if request.param == "overlay":
        (folder / "ragops.staging.yaml").write_text("redis:\n  maxmemory: 64mb\n")
    return folder


@pytest.fixture
def environment(project: Path) -> list[str]:
    return ["--env", "staging"] if (project / "ragops.staging.yaml").exists() else []


@pytest.mark.campaign(sample=1)
def test_what_only_reads_leaves_the_folder_as_it_was(
    project: Path, environment: list[str], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    before = listing(project)
    for line in READING:
        if line.split()[0] in ("plan", "drift"):
            continue
        words = line.format(outside=workspace / "out.json").split()
        try:
            app(hoist([*environment, *words]), standalone_mode=False)
        except RagopsError as error:
            assert error.code not in ("internal_error", "not_owner"), line
        assert listing(project) == before, line


@pytest.mark.engine
@pytest.mark.campaign(sample=2)
@pytest.mark.parametrize(("line", "code"), [("plan --exit-code", 4), ("drift", 7)])
def test_the_engine_leaves_nothing_either(
    project: Path, environment: list[str], ragops: Any, line: str, code: int
) -> None:
    before = listing(project)
    done = ragops(*environment, *line.split(), cwd=project)
    assert done.code == code, done.err
    assert listing(project) == before


def commands(group: Any, *before: str) -> Iterator[str]:
    for name, item in group.commands.items():
        if hasattr(item, "commands") and item.commands:
            yield from commands(item, *before, name)
        else:
            yield " ".join((*before, name))


def test_every_command_is_looked_at() -> None:
    listed = {name for name in commands(app.tree) if any(f"{line} ".startswith(f"{name} ") for line in READING)}
    assert set(commands(app.tree)) == listed | CHANGING
