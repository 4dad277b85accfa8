"""A data folder that goes away under a running service: drift, plan and health say it, and `up` the way out."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STORES = ("redis", "timescaledb", "qdrant")
pytestmark = [pytest.mark.engine, pytest.mark.fault, pytest.mark.campaign(sample=0)]


@pytest.fixture(scope="module")
def root(module_project: Path, ragops: Any) -> Iterator[Path]:
    assert ragops("up", "--yes", cwd=module_project).code == 0
    yield module_project
    ragops("down", "--purge-data", "--yes", cwd=module_project)


def test_it_is_said_by_all_and_put_back_it_is_well_again(root: Path, ragops: Any) -> None:
    data, aside = root / ".ragops" / "data" / "default", root / "aside"
    aside.mkdir()
    for service in STORES:
        (data / service).rename(aside / service)  # a disk that is unmounted: the process keeps what it has open
    (data / "timescaledb").mkdir()  # the mount point
    (data / "redis").mkdir()
    (data / "redis" / "other").touch()  # something else there now
    try:
        drift = ragops("drift", cwd=root)
        assert drift.code == 4
        health = ragops("health", "--json", cwd=root)
        assert health.code == 3
        probes = {probe["service"]: probe["checks"] for probe in health.json()["probes"]}
        for service in STORES:
            assert f"running without its data: {data / service} is gone" in drift.out
            assert [check["status"] for check in probes[service] if check["name"] == "data"] == ["down"]
        plan = ragops("plan", "--json", cwd=root).json()["changes"]
        assert {change["resource"] for change in plan} == set(STORES)
        error = ragops("up", "--yes", "--json", cwd=root).error
        assert error["code"] == "data_gone"
        assert "timescaledb, qdrant" in error["message"]
        assert "`ragops up --fresh`" in error["hint"]
    finally:
        for service in STORES:
            shutil.rmtree(data / service, ignore_errors=True)
            (aside / service).rename(data / service)
    assert ragops("drift", cwd=root).code == 0
    assert "without its data" not in ragops("health", *STORES, cwd=root).out


def test_a_folder_that_holds_nothing_of_worth_is_made_again(root: Path, ragops: Any) -> None:
    for service in ("api", "gateway"):
        shutil.rmtree(root / ".ragops" / "data" / "default" / service)
    assert ragops("drift", cwd=root).code == 4
    assert ragops("up", "--yes", cwd=root).code == 0
    assert ragops("drift", cwd=root).code == 0
