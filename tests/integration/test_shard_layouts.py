"""Layouts on a real cluster (RAGOPS_TEST_QDRANT): of a new collection, on new nodes, and of a copy in other shards."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ragops.ingest.vectors import VectorStore
from ragops.services.contract import Status
from ragops.services.qdrant import health
from ragops.services.qdrant.cluster.cluster import wait_all_active
from ragops.services.qdrant.cluster.collection_copy import open_copies
from ragops.services.qdrant.cluster.nodes import connect
from ragops.services.qdrant.cluster.prepare import prepare
from ragops.services.qdrant.cluster.shards import ShardMap
from ragops.services.qdrant.shard_layout import LayoutRules, ShardLayout, layout_of
from tests.qdrant_processes import Cluster, ask, binary, done, drop_all, fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.services.contract import Endpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
POINTS = 3000


@pytest.fixture(scope="module")
def made() -> Iterator[Cluster]:
    """Three nodes of five."""
    program = binary()
    folder = Path(tempfile.mkdtemp(prefix="ragops-test-"))
    found = Cluster(program, folder, 5)
    found.nodes = 3
    try:
        yield found.up()
    finally:
        found.nodes = 5
        found.down()
        shutil.rmtree(folder, ignore_errors=True)


def endpoint_of(made: Cluster) -> Endpoint:
    """The endpoint without any setting of the layout."""
    return replace(made.endpoint, options={})


def join(made: Cluster, number: int) -> None:
    """Start a new node, again if the leader was too busy to take it in: the server ends itself then after 10 s."""
    for attempt in range(4):
        try:
            return made.start(number)
        except AssertionError:
            if attempt == 3 or "consensus operation commit failed" not in made.log(number):
                raise
    return None


def holders(made: Cluster, name: str) -> list[int]:
    """How many active replicas every shard has."""
    with connect(endpoint_of(made), 30) as nodes:
        shards = ShardMap.read(nodes.first, name)
    return [sum(replica.active for replica in replicas) for replicas in shards.shards().values()]


def checks(made: Cluster) -> dict[str, Any]:
    return {one.name: one for one in health.probe(endpoint_of(made), 30).checks}


def everything(made: Cluster, name: str) -> dict[Any, Any]:
    """Every point of a collection of `fill` with its vector, as far as a server keeps it."""
    body = {"limit": POINTS + 10, "with_payload": True, "with_vector": True}
    with made.http() as api:
        found = done(api.post(f"/collections/{name}/points/scroll", json=body))["points"]
    return {one["id"]: (one["payload"], [round(number, 5) for number in one["vector"]]) for one in found}


def test_a_collection_is_copied_into_other_shards_and_continued_behind_a_page(made: Cluster) -> None:
    endpoint = endpoint_of(made)
    with made.http() as api:
        drop_all(api)
        fill(api, "docs", POINTS, shard_number=6, replication_factor=2, metadata={"of": "us"})
        ask(api, "PUT", "/collections/docs/index", {"field_name": "g", "field_schema": "keyword"})
    assert "docs has 6 shards in 2 copies for 3,000 points" in checks(made)["layout"].detail
    wanted = LayoutRules(3).choose(POINTS, 8)
    with connect(endpoint, 90) as nodes, open_copies(endpoint, nodes) as make:
        copy = make("docs", "docs@2", wanted)
        copy.create()
        pages: list[Any] = []

        def stop_after_two(page: Any) -> None:
            pages.append(page)
            if len(pages) == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            copy.fill(None, 0, stop_after_two)
        assert nodes.first.count("docs@2") == sum(page.points for page in pages)
        again = make("docs", "docs@2", wanted)
        again.create()
        again.fill(pages[-1].next, 0, pages.append)
        assert sum(page.points for page in pages) == POINTS
        digest = again.require_equal()
        again.settle()
        assert again.require_counts() == digest.points == POINTS
        info = nodes.first.collection("docs@2")
    assert everything(made, "docs@2") == everything(made, "docs")
    assert layout_of(info) == wanted == ShardLayout(1, 3, on_every_node=True, expected=POINTS)
    assert info["config"]["metadata"]["of"] == "us"
    assert info["payload_schema"]["g"]["data_type"] == "keyword"
    assert holders(made, "docs@2") == [3]


def test_points_that_differ_are_copied_or_deleted_before_the_switch(made: Cluster) -> None:
    endpoint = endpoint_of(made)
    with made.http() as api:
        drop_all(api)
        fill(api, "docs", 700, shard_number=3, replication_factor=2)
    with connect(endpoint, 90) as nodes, open_copies(endpoint, nodes) as make:
        copy = make("docs", "docs@2", LayoutRules(3).choose(700, 8))
        copy.create()
        copy.fill(None, 0, lambda _page: None)
        with made.http(2) as api:
            done(api.post("/collections/docs/points/delete?wait=true", json={"points": [5, 6]}))
            more = {"id": 9000, "vector": [1.0] * 8, "payload": {}}
            done(api.put("/collections/docs/points?wait=true", json={"points": [more]}))
        assert copy.require_equal().points == 699
    assert everything(made, "docs@2") == everything(made, "docs")


def test_new_nodes_get_copies_of_what_is_on_every_node_and_of_nothing_else(made: Cluster) -> None:
    with made.http() as api:
        drop_all(api)
        fill(api, "old", 100, shard_number=3, replication_factor=2)
    with VectorStore.at(endpoint_of(made)) as store:
        layout = store.ensure("docs", 8)
    assert layout == ShardLayout(1, 3, on_every_node=True)
    assert holders(made, "docs") == [3]
    assert checks(made)["replicas"].status is Status.OK
    made.nodes = 5
    for number in (4, 5):
        join(made, number)
    assert "docs" in checks(made)["replicas"].detail
    prepare(endpoint_of(made))
    wait_all_active(endpoint_of(made), 120)
    assert holders(made, "docs") == [5]
    assert holders(made, "old") == [2, 2, 2]
    with made.http() as api:
        info = done(api.get("/collections/docs"))
    assert layout_of(info) == ShardLayout(1, 5, on_every_node=True)
    assert checks(made)["replicas"].status is Status.OK
