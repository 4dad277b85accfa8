"""Alerts about a real cluster of three Qdrant servers: a node is killed, and comes back."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from ragops.services.observability.dashboards import qdrant as board
from tests.integration.test_live_alerts import OF_THE_MACHINE, concrete
from tests.live_prometheus import program, watched
from tests.qdrant_processes import KEY, cluster
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live_prometheus import Watched
    from tests.qdrant_processes import Cluster

pytestmark = pytest.mark.campaign(of="live alerts", sample=0)
# Without searches over gRPC and without failures these have nothing to show.
ONLY_IF_IT_HAPPENS: set[str] = {"Failed requests"}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    with cluster(3) as made:
        with made.http() as api:
            body = {"vectors": {"size": 4, "distance": "Dot"}, "shard_number": 1, "replication_factor": 3}
            api.put("/collections/docs", json={**body, "write_consistency_factor": 1}).raise_for_status()
        write(made, 1)
        yield made


@pytest.fixture(scope="module")
def live(nodes: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    for name in ("prometheus", "alertmanager"):
        program(name)
    with watched(tmp_path_factory.mktemp("live")) as made:
        addresses = {f"qdrant-{number}": f"127.0.0.1:{nodes.ports[number][0]}" for number in nodes.numbers}
        made.scrape("qdrant", addresses, key=KEY)
        made.alertmanager()
        made.start()
        yield made


def write(nodes: Cluster, start: int, node: int = 1) -> None:
    points = [{"id": start + number, "vector": [0.1, 0.2, 0.3, float(number)]} for number in range(20)]
    with nodes.http(node) as api:
        api.put("/collections/docs/points?wait=true", json={"points": points}).raise_for_status()
        api.post("/collections/docs/points/query", json={"query": [0.1, 0.2, 0.3, 1.0], "limit": 3}).raise_for_status()


def quiet(live: Watched) -> set[str]:
    return live.firing() - OF_THE_MACHINE - {"PlatformNotScraped"}


def test_panels_of_the_cluster_have_data(nodes: Cluster, live: Watched) -> None:
    def empty() -> set[str]:
        write(nodes, 1000)
        found = (
            panel for panel in board.BOARD.panels if not any(live.query(concrete(q.promql)) for q in panel.queries)
        )
        return {panel.title for panel in found} - ONLY_IF_IT_HAPPENS

    wait_until(lambda: not empty(), 40, lambda: f"data in {empty()}")


def test_a_node_is_killed_and_comes_back(nodes: Cluster, live: Watched) -> None:
    wait_until(lambda: not quiet(live), 60, lambda: f"an end of {quiet(live)}")
    nodes.stop(2, signal.SIGKILL)
    over = threading.Event()

    def keep_writing() -> None:
        start = 2000
        while not over.wait(0.2):
            start += 20
            with contextlib.suppress(httpx.HTTPError):
                write(nodes, start)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        named = {"QdrantNodeDown", "QdrantDeadReplica"}
        wait_until(lambda: named <= quiet(live), 60, lambda: f"{named} ({quiet(live)})")
        assert quiet(live) <= {*named, "QdrantElections", "QdrantSlow"}  # its leader may have been the one
    finally:
        over.set()
        writer.join(90)
        nodes.start(2)
    wait_until(lambda: not quiet(live), 60, lambda: f"an end of {quiet(live)}")


def test_most_nodes_are_killed(nodes: Cluster, live: Watched) -> None:
    for number in (2, 3):
        nodes.stop(number, signal.SIGKILL)
    try:
        named = {"QdrantNodeDown", "QdrantQuorumLost"}
        wait_until(lambda: named <= quiet(live), 60, lambda: f"{named} ({quiet(live)})")
    finally:
        for number in (2, 3):
            nodes.start(number)
    wait_until(lambda: not quiet(live), 60, lambda: f"an end of {quiet(live)}")
