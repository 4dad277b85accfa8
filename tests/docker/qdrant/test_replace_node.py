"""A node of a cluster in containers is started without data, by what the runtime does to its container and volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.progress import ignore_progress
from ragops.operations.cluster.replace_node import replace_node
from ragops.operations.cluster.status import status
from ragops.operations.cluster.verify import verify
from ragops.runtimes.docker.control import DockerControl
from ragops.services.qdrant.cluster.shard_order import Pace
from tests.cluster_platform import open_session
from tests.docker.qdrant.conftest import KEY, Cluster

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]


class Host:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def control(self, _endpoint: Any, instance: str = "qdrant-1") -> DockerControl:
        return DockerControl(self.cluster.container(int(instance[-1])), self.cluster.docker)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.usefixtures("drop")
def test_a_node_is_emptied_and_filled_again(
    cluster: Cluster, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.fill("docs", 1000, shard_number=3, replication_factor=2)
    session = open_session(tmp_path, cluster.endpoint, Host(cluster), monkeypatch, KEY)
    before = {node.name: node.peer for node in status(session).nodes}
    result = replace_node(session, f"qdrant-{number}", None, ignore_progress, Pace())
    found = status(session)
    after = {node.name: node.peer for node in found.nodes}
    assert [name for name in before if before[name] != after[name]] == [f"qdrant-{number}"]
    assert all(len(one.replicas) == one.wanted for one in found.shards)
    assert any(f"qdrant-{number}" in one.replicas for one in found.shards if one.collection == "docs")
    assert ":current.before-replacement-" in result.kept
    compared = verify(session, ("docs",), ignore_progress, deep=True)
    assert sum(max(one.points.values()) for one in compared.shards) == 1000
    assert not compared.differing


def test_a_removed_node_has_no_container_and_keeps_its_volume(cluster: Cluster) -> None:
    made = Host(cluster).control(None, "qdrant-3")
    volume = cluster.names.data_volume("qdrant-3")
    made.remove()
    made.remove()
    assert cluster.docker.container(cluster.container(3)) is None
    assert cluster.docker.volume(volume) is not None
    cluster.make(3)
