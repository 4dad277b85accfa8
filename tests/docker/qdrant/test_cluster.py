"""Three real servers that join one another, are looked at, lose nodes and take them up again."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ragops.errors import IntegrityError, RagopsError, UnhealthyError
from ragops.services.contract import Check, ProbeResult, Status
from ragops.services.qdrant.cluster.cluster import node_versions, not_active, wait_all_active
from ragops.services.qdrant.cluster.members import members, remove_lost_peers
from ragops.services.qdrant.cluster.nodes import connect
from ragops.services.qdrant.cluster.prepare import prepare
from ragops.services.qdrant.health import probe
from ragops.services.qdrant.names import HEALTH_COLLECTION

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.fault]

POINTS = 600


def words(result: ProbeResult) -> str:
    return "; ".join(f"{check.name}: {check.status} {check.detail}" for check in result.checks)


def found(result: ProbeResult, name: str) -> Check:
    return next(check for check in result.checks if check.name == name)


def counts(cluster: Any, name: str) -> list[int]:
    """What each node that runs counts."""
    numbers = []
    for number in cluster.numbers:
        with cluster.http(number) as api:
            answer = api.post(f"/collections/{name}/points/count", json={"exact": True})
            numbers.append(answer.json()["result"]["count"])
    return numbers


def test_three_nodes_are_one_cluster_and_well(cluster: Any) -> None:
    result = probe(cluster.endpoint, 10)
    assert result.status is Status.OK, words(result)
    assert [check.name for check in result.checks] == ["reachable", "key", "cluster", "shards", "replicas", "write"]
    with connect(cluster.endpoint, 10) as nodes:
        found = members(nodes).values()
    assert len({one.peer for one in found}) == 3
    assert {host for one in found for host in one.peers.values()} == {"qdrant-1", "qdrant-2", "qdrant-3"}
    assert not_active(cluster.endpoint) == ()


def test_every_node_states_its_version(cluster: Any) -> None:
    versions = node_versions(cluster.endpoint)
    assert set(versions) == {"qdrant-1", "qdrant-2", "qdrant-3"}
    assert set(versions.values()) == {cluster.endpoint.version}


def test_the_probe_writes_on_every_node(cluster: Any) -> None:
    with cluster.http() as api:
        answer = api.get(f"/collections/{HEALTH_COLLECTION}/cluster").json()["result"]
        assert {shard["shard_id"] for shard in answer["local_shards"]} == {0}
        assert len(answer["remote_shards"]) == 2


@pytest.mark.parametrize("key", ["", "wrong"])
def test_nobody_gets_in_without_the_key(cluster: Any, key: str) -> None:
    for number in cluster.numbers:
        with cluster.http(number, key=key) as api:
            assert api.get("/collections").status_code in (401, 403)
            assert api.get("/cluster").status_code in (401, 403)


def test_grpc_is_published_and_the_port_between_the_nodes_is_not(cluster: Any) -> None:
    for number in cluster.numbers:
        with socket.create_connection(("127.0.0.1", cluster.settings.grpc_port(number)), 5):
            pass
        container = cluster.docker.api.inspect_container(cluster.container(number))
        assert set(container["NetworkSettings"]["Ports"]) == {"6333/tcp", "6334/tcp"}


def test_the_key_is_seen_by_nobody_who_looks_at_a_container(cluster: Any) -> None:
    for number in cluster.numbers:
        assert "the-key" not in json.dumps(cluster.docker.api.inspect_container(cluster.container(number)))
        assert "the-key" not in cluster.log(number)


def test_it_wants_to_write_nowhere_but_in_its_volume(cluster: Any) -> None:
    assert "Read-only file system" not in cluster.log(1)
    assert "Failed to create init file" not in cluster.log(1)


def test_requests_do_not_fill_the_log(cluster: Any) -> None:
    with cluster.http() as api:
        api.get("/collections")
    assert "GET /collections" not in cluster.log(1)
    assert "Qdrant HTTP listening" in cluster.log(1)


def test_a_collection_that_others_make_has_a_copy_on_every_node(cluster: Any, drop: None) -> None:
    with cluster.http() as api:
        api.put("/collections/theirs", json={"vectors": {"size": 2, "distance": "Dot"}}).raise_for_status()
        params = api.get("/collections/theirs").json()["result"]["config"]["params"]
    assert (params["shard_number"], params["replication_factor"], params["write_consistency_factor"]) == (1, 3, 2)


def test_fewer_copies_than_wanted_are_told(cluster: Any, drop: None) -> None:
    cluster.fill("single", 10, replication_factor=1)
    result = probe(cluster.endpoint, 10)
    replicas = found(result, "replicas")
    assert (result.status, replicas.status) == (Status.DEGRADED, Status.DEGRADED)
    assert "single" in replicas.detail
    assert "`ragops cluster set-replication single 2`" in replicas.hint
    with cluster.http() as api:  # as others may do it
        api.patch("/collections/single", json={"params": {"replication_factor": 2}}).raise_for_status()
    assert found(probe(cluster.endpoint, 10), "replicas").hint == "`ragops up` has the copies made"
    prepare(cluster.endpoint)
    wait_all_active(cluster.endpoint, 60)
    assert probe(cluster.endpoint, 10).status is Status.OK


# --- a node away ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2])
def test_a_node_that_was_killed_degrades_and_comes_back(cluster: Any, drop: None, number: int) -> None:
    cluster.fill("docs", POINTS)
    cluster.kill(number)
    result = probe(cluster.endpoint, 10)
    assert result.status is Status.DEGRADED, words(result)
    assert f"qdrant-{number}" in found(result, "reachable").detail
    assert found(result, "shards").status is not Status.DOWN
    assert not_active(cluster.endpoint)
    other = 3
    with cluster.http(other) as api:
        more = {"points": [{"id": POINTS, "vector": [1.0] * 8}]}
        api.put("/collections/docs/points", params={"wait": "true"}, json=more).raise_for_status()
    cluster.start(number)
    wait_all_active(cluster.endpoint, 90)
    assert counts(cluster, "docs") == [POINTS + 1] * 3


def test_two_nodes_away_are_no_majority(cluster: Any, drop: None) -> None:
    cluster.fill("docs", 60)
    cluster.kill(2)
    cluster.kill(3)
    result = probe(cluster.endpoint, 10)
    assert result.status is Status.DOWN, words(result)
    assert "no majority" in found(result, "cluster").detail
    cluster.start(2)
    cluster.start(3)
    wait_all_active(cluster.endpoint, 90)


def test_all_nodes_stopped_and_started_again(cluster: Any, drop: None) -> None:
    cluster.fill("docs", POINTS)
    for number in cluster.numbers:
        cluster.docker.stop(cluster.container(number), 60)
    assert probe(cluster.endpoint, 5).checks[0].status is Status.DOWN
    with pytest.raises(UnhealthyError, match="qdrant is still not whole"):
        wait_all_active(cluster.endpoint, 0)
    for number in cluster.numbers:
        cluster.start(number)
    prepare(cluster.endpoint)
    wait_all_active(cluster.endpoint, 90)
    assert counts(cluster, "docs") == [POINTS] * 3


def test_a_container_made_anew_on_its_volume_is_the_same_node(cluster: Any, drop: None) -> None:
    cluster.fill("docs", POINTS)
    with cluster.http(1) as api:
        before = api.get("/cluster").json()["result"]["peer_id"]
    cluster.remove(1)
    cluster.make(1)
    with cluster.http(1) as api:
        assert api.get("/cluster").json()["result"]["peer_id"] == before
    wait_all_active(cluster.endpoint, 90)
    assert counts(cluster, "docs") == [POINTS] * 3


# --- data lost --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 3])
def test_a_node_whose_volume_was_lost_joins_anew_and_is_filled(cluster: Any, drop: None, number: int) -> None:
    cluster.fill("docs", POINTS)
    cluster.remove(number, data=True)
    (note,) = remove_lost_peers(cluster.endpoint, cluster.data_file)
    assert f"qdrant-{number} has lost its data" in note
    cluster.make(number)
    prepare(cluster.endpoint)
    wait_all_active(cluster.endpoint, 90)
    assert counts(cluster, "docs") == [POINTS] * 3
    result = probe(cluster.endpoint, 10)
    assert result.status is Status.OK, words(result)


def test_a_node_that_is_merely_away_is_not_forgotten(cluster: Any, drop: None) -> None:
    cluster.kill(2)
    assert remove_lost_peers(cluster.endpoint, cluster.data_file) == ()
    with cluster.http(1) as api:
        assert len(api.get("/cluster").json()["result"]["peers"]) == 3


def test_a_node_that_was_refused_is_let_in_later(cluster: Any, drop: None) -> None:
    cluster.fill("docs", POINTS)
    cluster.remove(2, data=True)
    with pytest.raises(RagopsError) as refused:
        cluster.make(2)
    assert "already used by peer" in refused.value.hint
    assert probe(cluster.endpoint, 10).status is Status.DEGRADED
    cluster.docker.stop(cluster.container(2), 1)
    assert len(remove_lost_peers(cluster.endpoint, cluster.data_file)) == 1
    cluster.start(2)
    prepare(cluster.endpoint)
    wait_all_active(cluster.endpoint, 90)
    assert counts(cluster, "docs") == [POINTS] * 3


def test_the_only_copy_is_not_given_up(cluster: Any, drop: None) -> None:
    cluster.fill("single", 60, replication_factor=1)
    cluster.kill(3)
    with pytest.raises(IntegrityError) as refused:
        remove_lost_peers(cluster.endpoint, lambda _name, _file: None)
    assert refused.value.code == "last_replica_lost"
    assert "single" in refused.value.message
    with cluster.http(1) as api:
        assert len(api.get("/cluster").json()["result"]["peers"]) == 3


def test_what_can_be_told_when_no_node_answers(new_cluster: Callable[..., Any]) -> None:
    nowhere = new_cluster("nowhere")
    assert remove_lost_peers(nowhere.endpoint, lambda _name, _file: None) == ()
    assert probe(nowhere.endpoint, 2).status is Status.DOWN
    with pytest.raises(UnhealthyError):
        node_versions(nowhere.endpoint)


# --- one node ---------------------------------------------------------------------------------------------------------


def test_a_cluster_of_one_node(new_cluster: Callable[..., Any]) -> None:
    one = new_cluster("one", nodes=1).up()
    one.fill("docs", 50)
    result = probe(one.endpoint, 10)
    assert result.status is Status.OK, words(result)
    assert [check.name for check in result.checks] == ["reachable", "key", "cluster", "shards", "write"]
    assert not_active(one.endpoint) == ()
    one.kill(1)
    one.start(1)
    prepare(one.endpoint)
    assert counts(one, "docs") == [50]
    assert httpx.get(f"{one.url(1)}/readyz", trust_env=False).status_code == 200


def test_nodes_that_are_added_join_and_take_their_share(new_cluster: Callable[..., Any]) -> None:
    one = new_cluster("more", nodes=1).up()
    one.fill("docs", 50)
    three = replace(one, settings=one.settings.model_copy(update={"nodes": 3, "replication_factor": 2}))
    three.make(1, anew=True)
    three.make(2)
    three.make(3)
    prepare(three.endpoint)
    wait_all_active(three.endpoint, 90)
    assert counts(three, "docs") == [50] * 3
    result = probe(three.endpoint, 10)
    assert [check.name for check in result.checks if check.status is not Status.OK] == ["replicas"], words(result)
    with three.http() as api:
        assert len(api.get(f"/collections/{HEALTH_COLLECTION}/cluster").json()["result"]["remote_shards"]) == 2
        api.patch("/collections/docs", json={"params": {"replication_factor": 2}}).raise_for_status()
    prepare(three.endpoint)
    wait_all_active(three.endpoint, 90)
    assert probe(three.endpoint, 10).status is Status.OK
