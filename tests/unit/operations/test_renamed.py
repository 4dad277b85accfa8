"""A platform that is up keeps its name: tokens are issued for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ragops.config.load import Project
from ragops.config.model import Settings
from ragops.config.paths import ProjectPaths
from ragops.errors import UsageError
from ragops.operations.lifecycle.stack import open_stack, refuse_renamed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """One that was provisioned as `old`, and whose ragops.yaml now has another name."""
    paths = ProjectPaths(tmp_path, "default")
    paths.pulumi.mkdir(parents=True)
    (paths.pulumi / "Pulumi.yaml").write_text("name: old\nruntime: python\n")
    paths.endpoints.parent.mkdir(parents=True)
    paths.endpoints.write_text("{}")
    return Project(Settings(name="new"), paths, tmp_path / "ragops.yaml")


def test_another_name_is_refused_while_the_platform_is_up(project: Project) -> None:
    with pytest.raises(UsageError) as refused:
        open_stack(project, {})
    assert refused.value.code == "name_changed"
    assert "'old'" in refused.value.message
    assert "token" in refused.value.message
    assert refused.value.hint.startswith("put `name: old` back")


def test_after_down_and_under_its_own_name_it_is_not(project: Project) -> None:
    refuse_renamed(Project(Settings(name="old"), project.paths, project.config))
    project.paths.endpoints.unlink()
    refuse_renamed(project)


@pytest.mark.parametrize("text", ["", "name: [", "[]", "name:\n"])
def test_a_note_that_cannot_be_read_is_none(project: Project, text: str) -> None:
    (project.paths.pulumi / "Pulumi.yaml").write_text(text)
    refuse_renamed(project)
