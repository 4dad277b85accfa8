"""What the mark of an applied platform depends on: `up` asks before it replaces anything unless nothing changed."""

import shutil
from pathlib import Path

import pytest

from ragops import resources
from ragops.config.load import Project
from ragops.config.model import Settings
from ragops.config.paths import ProjectPaths
from ragops.operations.lifecycle import stack

CHECKOUT = Path(resources.__file__).parent.parent
SOURCES = ("templates/redis/redis.conf.j2", "stacks/platform/__main__.py", "ragops/services/redis/component.py")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small editable checkout, which resources are found in."""
    for name in SOURCES:
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copy(CHECKOUT / name, tmp_path / name)
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "ragops")
    return tmp_path


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(Settings(name="demo"), ProjectPaths(tmp_path, "default"), tmp_path / "ragops.yaml")


def fingerprint(project: Project, credentials: dict[str, str]) -> str:
    """The mark that another process would find: one keeps the digest of the sources."""
    resources.source_digest.cache_clear()
    try:
        return stack.fingerprint(project, credentials)
    finally:
        resources.source_digest.cache_clear()


@pytest.mark.parametrize("name", SOURCES)
def test_a_change_of_a_source_is_asked_about(checkout: Path, project: Project, name: str) -> None:
    before = fingerprint(project, {})
    source = checkout / name
    source.write_text(source.read_text() + "# changed\n")
    assert fingerprint(project, {}) != before


def test_a_template_that_is_renamed_is_asked_about(checkout: Path, project: Project) -> None:
    before = fingerprint(project, {})
    (checkout / SOURCES[0]).rename(checkout / "templates/redis/other.conf.j2")
    assert fingerprint(project, {}) != before


def test_what_python_compiles_changes_nothing(checkout: Path, project: Project) -> None:
    before = fingerprint(project, {})
    compiled = checkout / "ragops" / "__pycache__"
    compiled.mkdir()
    (compiled / "x.py").write_text("")
    assert fingerprint(project, {}) == before


def test_settings_and_secrets_count(checkout: Path, project: Project) -> None:
    before = fingerprint(project, {"a": "1"})
    assert fingerprint(project, {"a": "1"}) == before
    assert fingerprint(project, {"a": "2"}) != before
    other = Project(Settings(name="other"), project.paths, project.config)
    assert fingerprint(other, {"a": "1"}) != before
