"""An empty data folder is no new platform: nothing starts, both ways out work, and one service may be lost alone."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_line import Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.campaign(sample=0)]
MISSING = 7


class Platform(Project):
    """The project that the tests of this module share, in their order."""

    @property
    def data(self) -> Path:
        return self.root / ".ragops" / "data" / "default"

    @property
    def history(self) -> Path:
        return self.root / ".ragops" / "run" / "default" / "recovery-points.json"

    def point(self) -> str:
        ident: str = self.run("backup", "show", "latest", "--json").json()["id"]
        return ident


@pytest.fixture(scope="module")
def platform(module_project: Path, ragops: Any) -> Iterator[Platform]:
    platform = Platform(module_project, ragops)
    platform.run("up", "--yes")
    platform.run("migrate", "up")
    platform.run("backup", "run")
    yield platform
    ragops("down", "--yes", cwd=module_project)


def refused(platform: Platform, *words: str) -> None:
    error = platform.run("up", "--yes", "--json", code=MISSING).error
    assert error["code"] == "data_gone"
    for word in (f"`ragops restore {platform.point()}", "`ragops up --fresh`", *words):
        assert word in error["message"] + error["hint"]
    assert not platform.data.exists() or not any(platform.data.glob("timescaledb/*"))


def test_data_that_are_gone_start_nothing_and_a_restore_brings_them_back(platform: Platform) -> None:
    platform.run("down", "--yes")
    shutil.rmtree(platform.data)
    refused(platform, "timescaledb, redis, qdrant")
    platform.data.mkdir()  # what a disk that is not mounted leaves
    (platform.data / "timescaledb").mkdir()
    refused(platform)
    done = platform.run("restore", "latest", "--yes")
    assert "started empty" in done.err
    assert len(platform.run("migrate", "status", "--json").json()["migrations"]) == 8
    assert platform.run("migrate", "status", "--json").json()["missing"] == []
    safety = [point["kind"] for point in platform.run("backup", "list", "--json").json()["points"]]
    assert safety == ["backup"], "what was started empty is nothing to go back to"


def test_one_service_alone_is_missed_and_brought_back(platform: Platform) -> None:
    platform.run("down", "--yes")
    shutil.rmtree(platform.data / "redis")
    error = platform.run("up", "--yes", "--json", code=MISSING).error
    assert "redis" in error["message"]
    assert "timescaledb" not in error["message"]
    assert "`ragops up` would refuse" in platform.run("plan").err
    assert "--service redis`" in error["hint"]
    refusal = platform.run("restore", "latest", "--service", "qdrant", "--yes", "--json", code=MISSING).error
    assert refusal["code"] == "data_gone", "redis would stay empty"
    platform.run("restore", "latest", "--service", "redis", "--yes")
    assert set(platform.pids()) == {"redis", "timescaledb", "qdrant", "api", "gateway"}


def test_recovery_points_alone_tell_that_there_was_a_platform(platform: Platform) -> None:
    """On another machine, or after all that ragops noted was removed with the data."""
    platform.run("down", "--yes")
    shutil.rmtree(platform.data)
    platform.history.unlink()
    refused(platform, "recovery points of this environment")


def test_a_fresh_platform_is_begun_on_purpose_and_missed_from_then_on(platform: Platform) -> None:
    platform.run("up", "--fresh", "--yes")
    platform.run("migrate", "up")
    platform.run("backup", "run")
    platform.run("down", "--yes")
    shutil.rmtree(platform.data / "qdrant")
    assert "qdrant" in platform.run("up", "--yes", "--json", code=MISSING).error["message"]


def test_data_that_were_removed_on_purpose_are_not_missed(platform: Platform) -> None:
    platform.run("down", "--purge-data", "--yes")
    platform.run("up", "--yes")
