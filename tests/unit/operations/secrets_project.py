"""A project with nothing but its paths and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.config.load import Project
from ragops.config.model import Settings
from ragops.config.paths import ProjectPaths

if TYPE_CHECKING:
    from pathlib import Path


def project_in(folder: Path) -> Project:
    """Of the embedded runtime, with a user of its own in Redis."""
    users = {"users": {"worker": {"role": "write", "keys": ["*"]}}}
    settings = Settings.model_validate({"name": "test", "redis": users})
    return Project(settings, ProjectPaths(folder, "default"), folder / "ragops.yaml")
