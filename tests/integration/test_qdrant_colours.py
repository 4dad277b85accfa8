"""A real server whose optimizer fails: what health says of it, and whether what it advises is the cure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ragops.services.contract import Check, Status
from ragops.services.qdrant.health import probe
from tests.qdrant_processes import Cluster, cluster, done, point

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]
SIZE = 64


@pytest.fixture
def one() -> Iterator[Cluster]:
    with cluster(1) as made:
        yield made


def found(made: Cluster) -> list[Check]:
    return [check for check in probe(made.endpoint, 20).checks if check.status is not Status.OK]


def status(made: Cluster) -> str:
    with made.http() as api:
        return str(done(api.get("/collections/docs"))["status"])


def wait_for(made: Cluster, *colours: str) -> None:
    deadline = time.monotonic() + 60
    while status(made) not in colours:
        assert time.monotonic() < deadline, f"it stays {status(made)}"
        time.sleep(0.2)


def test_an_optimizer_that_fails_is_told_and_the_advice_cures_it(one: Cluster) -> None:
    body = {"vectors": {"size": SIZE, "distance": "Cosine"}, "optimizers_config": {"indexing_threshold": 10}}
    with one.http() as api:
        done(api.put("/collections/docs", json=body))
        in_the_way = one.folder / "node-1" / "storage" / "collections" / "docs" / "0" / "temp_segments"
        in_the_way.write_text("where a folder is wanted")
        rows = [point(number, SIZE) for number in range(2000)]
        done(api.put("/collections/docs/points", params={"wait": "true"}, json={"points": rows}))
        wait_for(one, "red")
        (check,) = found(one)
        assert (check.name, check.status) == ("collections", Status.DEGRADED)
        assert "docs cannot be optimized: " in check.detail
        assert "temp_segments" in check.detail
        assert 'PATCH /collections/docs {"optimizers_config": {}}' in check.hint
        in_the_way.unlink()
        done(api.patch("/collections/docs", json={"optimizers_config": {}}))
    wait_for(one, "green", "yellow")
    assert found(one) == []
