"""One image after another for a service, while applications ask and write; and the steps that are refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from ragops.services.qdrant.names import SERVER_VERSION
from ragops.services.redis import IMAGE as REDIS

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.engine, pytest.mark.fault]


@dataclass(frozen=True)
class Step:
    """One engine's way from the minor version before the pinned one; TimescaleDB's has a file of its own."""

    service: str
    image: str
    before: str
    after: str


STEPS = [
    Step("qdrant", "qdrant/qdrant:v1.17.1", "1.17.1", SERVER_VERSION),
    Step("redis", "redis:7.4.2", "7.4.2", REDIS.partition(":")[2]),
]


def _versions(whole: Any) -> dict[str, list[tuple[str, str]]]:
    """Version before and after that a plan speaks of, by service."""
    return {item["service"]: (item["before"], item["after"]) for item in whole.json("plan")["versions"]}


def test_qdrant_is_upgraded_node_by_node_under_load(
    whole: Any, kept: Any, token: str, load: Any, image_from: Any, wait_for: Callable[..., None]
) -> None:
    nodes = ("qdrant-1", "qdrant-2", "qdrant-3")
    with image_from("qdrant/qdrant:v1.18.3", "qdrant/qdrant:v1.18.4") as reference:
        whole.configure(qdrant={"image": reference})
        try:
            assert _versions(whole)["qdrant"][0] == "1.18.3"
            before = {node: whole.container(node).id for node in nodes}
            with load(whole, token) as running:
                said = whole.run("up", "--yes")
                running.goes_on(reads=30)
            print(said.err)
            assert "node by node" in said.out + said.err
            started = []
            for node in nodes:
                found = whole.container(node)
                assert (found.image_id, found.id != before[node]) == (whole.docker.image_id(reference), True)
                started.append(found.state.started)
            assert started == sorted(started)
            running.assert_nothing_lost()
            running.assert_active()
            whole.settled()
        finally:
            # The test's own step back: the program inside is the very same.
            _back(whole, "qdrant", "1.18.3")


def test_redis_is_upgraded_under_load(whole: Any, kept: Any, token: str, load: Any, image_from: Any) -> None:
    """The cache is away for a moment: searches are answered without it."""
    with image_from("redis:8.0.2", "redis:8.0.3") as reference:
        whole.configure(redis={"image": reference})
        try:
            assert _versions(whole)["redis"] == ("8.0.2", "8.0.3")
            with load(whole, token) as running:
                changed = whole.up()
                running.goes_on(reads=30)
            assert changed["redis"] == "replace"
            assert {name for name in changed if not name.startswith("redis")} == set(), changed
            assert whole.container("redis").image_id == whole.docker.image_id(reference)
            running.assert_nothing_lost()
            whole.settled()
        finally:
            _back(whole, "redis", "8.0.2")


def _back(whole: Any, service: str, version: str) -> None:
    """Provision the pinned image again, where ragops rightly refuses the step back: the state forgets the newer one."""
    import json

    path = whole.root / ".ragops" / "run" / "default" / "endpoints.json"
    values = json.loads(path.read_text())
    values[service]["version"] = version
    path.write_text(json.dumps(values))
    whole.configure(**{service: {"image": None}})
    whole.up()


@pytest.mark.parametrize(
    ("service", "reference", "word"),
    [
        pytest.param("timescaledb", "timescale/timescaledb:2.19.3-pg18", "PostgreSQL 18", id="a major of PostgreSQL"),
        pytest.param("timescaledb", "timescale/timescaledb:2.18.2-pg17", "2.18.2", id="TimescaleDB back"),
        pytest.param("qdrant", "qdrant/qdrant:v1.20.0", "one minor version at a time", id="two minors of Qdrant"),
        pytest.param("qdrant", "qdrant/qdrant:v1.17.1", "does not read", id="Qdrant back"),
        pytest.param("redis", "redis:7.4.2", "7.4.2", id="Redis back"),
    ],
)
def test_a_step_that_loses_data_is_refused_before_anything_happens(
    whole: Any, service: str, reference: str, word: str
) -> None:
    before = {one.name: one.id for one in whole.docker.containers(whole.names.labels())}
    whole.configure(**{service: {"image": reference}})
    try:
        error = whole.run("--json", "up", "--yes", code=2).error
        assert error["code"] == "version_refused"
        assert word in error["message"]
        assert error["hint"]
        assert service in whole.run("plan", code=None).out
    finally:
        whole.configure(**{service: {"image": None}})
    assert {one.name: one.id for one in whole.docker.containers(whole.names.labels())} == before
    assert whole.up() == {}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.service} {step.before}")
def test_the_first_minor_of_the_way(fresh: Any, load: Any, image: Callable[[str], str], step: Step) -> None:
    """Two real versions of each engine: a pin moves when its row has passed."""
    image(step.image)
    fresh.configure(**{step.service: {"image": step.image}})
    fresh.up()
    fresh.fill()
    before = fresh.contents()
    fresh.configure(**{step.service: {"image": None}})
    assert _versions(fresh)[step.service] == (step.before, step.after)
    with load(fresh, fresh.token()) as running:
        fresh.up()
        running.goes_on(reads=30)
    running.assert_nothing_lost()
    running.assert_active()
    after = fresh.contents()
    assert {name: after[name] for name in ("qdrant texts", "rag.chunks")} == {
        name: before[name] for name in ("qdrant texts", "rag.chunks")
    }
    fresh.settled()
    if step.service == "qdrant":  # in the same `up`: the nodes ask one another for the key at its end
        for node in ("qdrant-1", "qdrant-2", "qdrant-3"):
            found = fresh.docker.api.inspect_container(fresh.names.container(node))
            assert "QDRANT__SERVICE__ENFORCE_INTERNAL_AUTH=true" in found["Config"]["Env"]
