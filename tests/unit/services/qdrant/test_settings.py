from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ragops.errors import UsageError
from ragops.services.contract import Endpoint, Node
from ragops.services.qdrant.cluster.cluster import refuse_fewer_nodes
from ragops.services.qdrant.settings import QdrantSettings, published_ports


def test_the_layout_of_collections_is_open_unless_it_is_set() -> None:
    settings = QdrantSettings()
    assert (settings.nodes, settings.replication_factor, settings.shards) == (3, None, None)
    settings = QdrantSettings(replication_factor=2, shards_per_node=2)
    assert (settings.replication_factor, settings.shards) == (2, 6)


def test_ports_are_spread_by_ten() -> None:
    assert list(published_ports(QdrantSettings()).values()) == [6333, 6334, 6343, 6344, 6353, 6354]
    assert list(published_ports(QdrantSettings(nodes=1, port=7000)).values()) == [7000, 7001]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"nodes": 2}, "use 1 or 3"),
        ({"nodes": 4}, "use 3 or 5"),
        ({"nodes": 0}, "greater than or equal to 1"),
        ({"nodes": 3, "replication_factor": 4}, "needs as many nodes"),
        ({"nodes": 1, "replication_factor": 2}, "needs as many nodes"),
        ({"port": 65530}, "end beyond 65535"),
        ({"image": "qdrant qdrant"}, "pattern"),
        ({"memory": "2 GB"}, "pattern"),
        ({"replicas": 2}, "Extra inputs"),
    ],
)
def test_what_does_not_add_up_is_refused_with_why(section: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        QdrantSettings(**section)


def of(nodes: int) -> Endpoint:
    """A cluster of so many nodes."""
    names = (f"qdrant-{number}" for number in range(1, nodes + 1))
    return Endpoint(
        "qdrant", "qdrant", "1.18.3", "docker", "127.0.0.1", 6333, nodes=tuple(Node(name, "") for name in names)
    )


def test_nodes_may_come_but_not_go() -> None:
    refuse_fewer_nodes(of(3), QdrantSettings(nodes=5))
    refuse_fewer_nodes(of(3), QdrantSettings(nodes=3))
    with pytest.raises(UsageError, match="the shards on qdrant-4, qdrant-5 would be out of reach") as refused:
        refuse_fewer_nodes(of(5), QdrantSettings(nodes=3))
    assert refused.value.code == "nodes_removed"
