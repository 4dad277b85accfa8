"""The project of a user and commands of root: refused before anything is written, or done as that user."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ragops as package
from ragops.adapters.project_owner import ProjectOwner, find_unreadable
from ragops.cli.app import app
from ragops.cli.main import hoist
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has the rights of others: nothing was tried")

NAMELESS = 54321  # a uid without a name, as files of a mounted folder have it inside a container
# Python may lie in root's own home: in a mount namespace of its own everybody may pass there.
OPEN = """
set -e
mount --make-rprivate /
mkdir -p {keep}
mount --bind {program} {keep}
mount -t tmpfs -o mode=755 none {home}
mkdir -p {program}
mount --bind {keep} {program}
exec "$@"
"""


@pytest.fixture(params=["nobody", NAMELESS])
def owner(request: pytest.FixtureRequest) -> ProjectOwner:
    if request.param == NAMELESS:
        return ProjectOwner(NAMELESS, NAMELESS, "", "")
    entry = pwd.getpwnam(request.param)
    return ProjectOwner(entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir)


@pytest.fixture
def theirs(owner: ProjectOwner, ragops: Any) -> Iterator[Path]:
    """The project of another user, as `ragops init` of that user leaves it."""
    with tempfile.TemporaryDirectory(prefix="ragops-owner-") as name:
        root = Path(name).resolve()
        root.chmod(0o755)
        project = root / "project"
        assert ragops("init", str(project), "--name", "test", cwd=root).code == 0
        for path in (project, *project.rglob("*")):
            os.chown(path, owner.uid, owner.gid)
        yield project


def tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    return {
        str(path.relative_to(folder)): (path.lstat().st_uid, path.lstat().st_mode, path.lstat().st_mtime_ns)
        for path in (folder, *folder.rglob("*"))
    }


WRITING = [
    "up --yes", "down --yes", "plan", "drift", "backup run", "backup list", "backup prune", "restore --dry-run",
    "migrate up", "ingest", "token issue x", "token revoke x", "unlock --yes", "gateway apply", "doctor",
    "backup schedule install", "backup scheduled", "backup keygen key.txt", "images build", "init sub", "init .",
    "recover nosuch --into sub",
]  # fmt: skip


def code_of(line: str) -> tuple[str, str]:
    """What a command fails with, run in this process: code, then message and hint."""
    try:
        app(hoist(line.split()), standalone_mode=False)
    except RagopsError as error:
        return error.code, f"{error.message} {error.hint}"
    return "", ""


def test_what_writes_is_refused_and_nothing_is_written(
    theirs: Path, owner: ProjectOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(theirs)
    before = tree(theirs)
    for line in WRITING:
        code, words = code_of(line)
        assert code == "not_owner", line
        assert f"belongs to {owner}" in words
        assert f"`sudo ragops --as-owner {line.split()[0]}" in words
    assert tree(theirs) == before


def test_what_only_reads_writes_nothing(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(theirs)
    before = tree(theirs)
    for line in ("status", "outputs", "health", "logs redis", "token list", "migrate status"):
        assert code_of(line)[0] != "not_owner"
        assert tree(theirs) == before


def test_the_hint_repeats_the_command_as_it_was_typed(theirs: Path, ragops: Any) -> None:
    done = ragops("restore", "latest", "--yes", cwd=theirs)
    assert "`sudo ragops --as-owner restore latest --yes`" in done.err


def test_the_command_line_ends_with_2(theirs: Path, ragops: Any) -> None:
    done = ragops("backup", "run", "--json", cwd=theirs)
    assert (done.code, json.loads(done.out)["error"]["code"]) == (2, "not_owner")


def test_a_project_of_root_is_roots(project: Path, ragops: Any) -> None:
    (project / "collections-config.json").write_text("{}")
    os.chown(project / "collections-config.json", NAMELESS, NAMELESS)  # what is inside may be a mix
    (project / ".ragops" / "data").mkdir()
    os.chown(project / ".ragops" / "data", NAMELESS, NAMELESS)
    assert ragops("unlock", "--yes", cwd=project).code == 0
    assert ragops("--as-owner", "unlock", "--yes", cwd=project).code == 0, "root is its owner"


@pytest.fixture
def as_root(tmp_path: Path, owner: ProjectOwner) -> list[str]:
    """What a command of root has to begin with, so that the owner can run this very Python."""
    places = (Path(sys.executable).resolve(), Path(package.__file__).resolve(), Path(os.__file__).resolve())
    blocked = {place for path in places if (place := find_unreadable(path, owner))}
    if not blocked:
        return []
    home, prefix = Path.home(), Path(sys.base_prefix).resolve()
    if blocked != {home} or not prefix.is_relative_to(home) or shutil.which("unshare") is None:
        pytest.skip(f"other users may not pass {blocked}: no command was run as another user")
    script = OPEN.format(keep=tmp_path / "keep", program=prefix, home=home)
    return ["unshare", "-m", "/bin/sh", "-c", script, "sh"]


def run(prefix: list[str], ragops: Any, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, *ragops.command(*arguments)], cwd=cwd, env=ragops.environment(), capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip


def test_as_owner_leaves_nothing_of_roots(theirs: Path, owner: ProjectOwner, ragops: Any, as_root: list[str]) -> None:
    config = str(theirs / "ragops.yaml")
    lines = (["down", "--yes"], ["plan"], ["init", str(theirs / "new")])
    for line in lines:
        done = run(as_root, ragops, "--as-owner", "--config", config, *line, cwd=theirs)
        assert "not_owner" not in done.stderr
        assert "Permission" not in done.stderr, done.stderr
    assert (theirs / ".ragops" / "locks" / "default").is_dir()
    assert (theirs / "new" / "ragops.yaml").exists()
    assert {uid for uid, _mode, _time in tree(theirs).values()} == {owner.uid}


def test_what_root_left_is_named_by_its_own_path(
    theirs: Path, owner: ProjectOwner, ragops: Any, as_root: list[str]
) -> None:
    left = theirs / ".ragops" / "locks"
    left.mkdir()
    done = run(as_root, ragops, "--as-owner", "down", "--yes", cwd=theirs)
    assert done.returncode == 1
    assert f"{left} belongs to root" in done.stderr
    assert f"`sudo chown -R {owner.name or owner.uid} {left}`" in done.stderr


def test_another_user_is_told_whose_it_is(theirs: Path, ragops: Any, as_root: list[str]) -> None:
    other = [*as_root, "setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"]
    for line in ("status", "--as-owner up --yes"):
        done = run(other, ragops, *line.split(), cwd=theirs)
        assert done.returncode == 2
        assert "belongs to" in done.stderr


def test_an_owner_who_cannot_run_this_ragops_is_told(
    theirs: Path, owner: ProjectOwner, tmp_path: Path, ragops: Any
) -> None:
    place = tmp_path / "hidden"
    place.mkdir(mode=0o700)
    copy = shutil.copytree(Path(package.__file__).parent, place / "ragops")
    environment = ragops.environment({"PYTHONPATH": str(copy.parent)})
    command = [sys.executable, "-c", "from ragops.cli.main import main; main()", "--as-owner", "unlock", "--yes"]
    before = tree(theirs)
    done = subprocess.run(command, cwd=theirs, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 7
    assert f"cannot run this program as {owner}" in done.stderr
    assert tree(theirs) == before
