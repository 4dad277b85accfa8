"""The cluster as it is read from its nodes, and what the loss of one would cost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ragops.errors import RagopsError, UnhealthyError
from ragops.services.contract import Endpoint, Node
from ragops.services.qdrant.cluster.shards import Replica, ShardMap
from ragops.services.qdrant.cluster.topology import (
    ClusterNode,
    CollectionState,
    Topology,
    Transfer,
    loss_of,
    read_topology,
)


def topology(*replicas: Replica, nodes: int = 3, away: tuple[int, ...] = ()) -> Topology:
    found = tuple(
        ClusterNode(f"qdrant-{peer}", peer, fault="no answer" if peer in away else "") for peer in range(1, nodes + 1)
    )
    count = len({replica.shard for replica in replicas})
    return Topology(found, (CollectionState("docs", ShardMap(1, count, replicas), 2),))


def loss(found: Topology, name: str) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    node = found.node(name)
    assert node is not None
    lost = loss_of(found, node)
    return lost.lost, lost.single, lost.majority


def test_a_shard_on_two_nodes_is_left_with_one_of_them() -> None:
    found = topology(Replica(0, 1, "Active"), Replica(0, 2, "Active"), Replica(1, 2, "Active"))
    assert loss(found, "qdrant-1") == ((), ("docs/0",), True)
    assert loss(found, "qdrant-2") == (("docs/1",), ("docs/0",), True)
    assert loss(found, "qdrant-3") == ((), (), True)


@pytest.mark.parametrize("other", [Replica(0, 2, "Dead"), Replica(0, 3, "Active")])
def test_a_replica_that_does_not_answer_saves_nothing(other: Replica) -> None:
    found = topology(Replica(0, 1, "Active"), other, away=(3,))
    assert loss(found, "qdrant-1")[0] == ("docs/0",)


def test_two_of_three_nodes_are_a_majority_and_one_is_none() -> None:
    assert loss(topology(), "qdrant-1")[2]
    assert not loss(topology(away=(3,)), "qdrant-1")[2]
    assert not loss(topology(nodes=4, away=(3,)), "qdrant-1")[2]


class Client:
    """What one node answers."""

    def __init__(self, peer: int, peers: dict[int, str], points: int, name: str = "") -> None:
        self.name, self.peer, self.peers, self.points = name or f"qdrant-{peer}", peer, peers, points

    def get(self, path: str) -> Any:
        assert path == "/cluster"
        peers = {str(peer): {"uri": f"http://{host}:6335/"} for peer, host in self.peers.items()}
        raft = {"leader": 1, "term": 3, "commit": 9, "pending_operations": 0}
        return {
            "status": "enabled" if peers else "disabled", "peer_id": self.peer, "peers": peers, "raft_info": raft,
            "consensus_thread_status": {"consensus_thread_status": "working"}, "message_send_failures": {},
        }  # fmt: skip

    def send(self, method: str, path: str, _body: object, **query: str) -> Any:
        assert (method, path, query) == ("GET", "/telemetry", {"details_level": "3"})
        shard = {"local": {"vectors_size_bytes": 300, "payloads_size_bytes": 20}}
        return {"collections": {"collections": [{"shards": [shard, {"local": None}]}]}}

    def root(self) -> dict[str, str]:
        return {"version": "1.18.3"}

    def collection_names(self) -> list[str]:
        return ["docs", "gone"]

    def shards(self, name: str) -> dict[str, Any]:
        if name == "gone":
            raise RagopsError("qdrant_not_found", "deleted in between")
        rows = [{"shard_id": 0, "peer_id": peer, "state": "Active"} for peer in (1, 2) if peer != self.peer]
        local = [{"shard_id": 0, "state": "Active", "points_count": self.points}]
        transfer = {"shard_id": 0, "from": 1, "to": 3, "sync": True, "method": "snapshot"}
        return {
            "peer_id": self.peer, "shard_count": 1, "local_shards": local, "remote_shards": rows,
            "shard_transfers": [transfer],
        }  # fmt: skip

    def replication_factor(self, _name: str) -> int:
        raise RagopsError("qdrant_error", "a shard is out of reach")


PEERS = {1: "qdrant-1", 2: "qdrant-2", 3: "qdrant-3", 9: "elsewhere"}
NODES = tuple(Node(f"qdrant-{number}", f"http://127.0.0.1:{number}") for number in (1, 2, 3))
ENDPOINT = Endpoint("qdrant", "qdrant", "1.18.3", "docker", "127.0.0.1", 1, nodes=NODES)


def nodes(*clients: Client, **unreachable: str) -> Any:
    away = {name.replace("_", "-"): UnhealthyError("qdrant_unreachable", said) for name, said in unreachable.items()}
    return SimpleNamespace(first=clients[0], clients=clients, unreachable=away)


def test_the_cluster_is_read_from_the_nodes_that_answer() -> None:
    found = read_topology(ENDPOINT, nodes(Client(1, PEERS, 7), Client(2, PEERS, 9), qdrant_3="silence"), sizes=True)
    assert found.nodes == (
        ClusterNode("qdrant-1", 1, "1.18.3", is_leader=True, size=320),
        ClusterNode("qdrant-2", 2, "1.18.3", size=320),
        ClusterNode("qdrant-3", 3, fault="silence"),
        ClusterNode("peer 9", 9, fault="elsewhere is none of the nodes that ragops has noted", host="elsewhere"),
    )
    assert found.alive == {1, 2}
    (docs,) = found.collections
    assert (docs.factor, docs.points) == (2, {0: 9})  # what there is, if the server cannot tell its factor
    assert found.transfers == (Transfer("docs", 0, 1, 3, keeps_source=True, method="snapshot"),)
    assert (found.name_of(3), found.name_of(8)) == ("qdrant-3", "peer 8")


def test_a_node_with_peers_of_its_own_does_not_count_as_answering() -> None:
    found = read_topology(ENDPOINT, nodes(Client(1, PEERS, 0), Client(7, {7: "qdrant-2"}, 0, "qdrant-2")))
    assert found.nodes[1] == ClusterNode("qdrant-2", 7, "1.18.3", fault="it is in another cluster")
    former = ClusterNode("peer 2", 2, fault="qdrant-2 was this peer before it lost its data", host="qdrant-2")
    assert found.nodes[3] == former
    assert found.alive == {1}


def test_a_server_that_is_no_cluster_is_refused() -> None:
    with pytest.raises(UnhealthyError, match="cannot read the cluster: qdrant-1 is in none"):
        read_topology(ENDPOINT, nodes(Client(1, {}, 0)))
