"""Recovery points of a real cluster: taken from one replica of every shard, brought back into one or three nodes."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest

from ragops.adapters.qdrant.http import HttpClient
from ragops.errors import IntegrityError, MissingError, RagopsError, UnhealthyError
from ragops.services.contract import Part
from ragops.services.qdrant.backup import manifest, snapshot_reader
from ragops.services.qdrant.backup.backup import QdrantBackup
from ragops.services.qdrant.cluster.cluster import not_active
from ragops.services.qdrant.names import RESTORE_SUFFIX
from tests import backup_helpers
from tests.backup_helpers import KeepingWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.fault]

POINTS = 1200
ENGINE = QdrantBackup()


def dump(cluster: Any, folder: Path) -> tuple[Part, ...]:
    return backup_helpers.dump(ENGINE, cluster.endpoint, cluster.control, folder)


def restore(cluster: Any, folder: Path, parts: tuple[Part, ...]) -> tuple[str, ...]:
    for part in parts:
        ENGINE.verify(folder, part, cluster.control)
    ENGINE.preflight(cluster.endpoint, cluster.control, folder, parts)
    return ENGINE.restore(cluster.endpoint, cluster.control, folder, parts)


def ask(cluster: Any, method: str, path: str, body: Any = None, number: int = 1, **query: Any) -> Any:
    with cluster.http(number) as api:
        response = api.request(method, path, json=body, params=query)
        assert response.status_code == 200, response.text
        return response.json()["result"]


def counts(cluster: Any, name: str) -> list[int]:
    path = f"/collections/{name}/points/count"
    return [ask(cluster, "POST", path, {"exact": True}, number)["count"] for number in cluster.numbers]


def left_on_servers(cluster: Any) -> list[str]:
    """Snapshots, and what could be one, in the volumes."""
    found = []
    for number in cluster.numbers:
        command = ["find", "/qdrant/storage/current/snapshots", "-type", "f"]
        found += cluster.docker.exec(cluster.container(number), command).text.split()
    return found


def index(cluster: Any, name: str, field: str, schema: Any) -> None:
    body = {"field_name": field, "field_schema": schema}
    ask(cluster, "PUT", f"/collections/{name}/index", body, wait="true")


def alias(cluster: Any, name: str, collection: str) -> None:
    actions = [{"create_alias": {"alias_name": name, "collection_name": collection}}]
    ask(cluster, "POST", "/collections/aliases", {"actions": actions})


def sample(cluster: Any, name: str, number: int = 1) -> list[tuple[int, float]]:
    hits = ask(cluster, "POST", f"/collections/{name}/points/query", {"query": [1.0] * 8, "limit": 20,
                                                                      "params": {"exact": True}}, number)  # fmt: skip
    return [(hit["id"], round(hit["score"], 5)) for hit in hits["points"]]


@pytest.fixture
def filled(cluster: Any, drop: None) -> Any:
    """A collection with indexes of two kinds and an alias."""
    cluster.fill("docs", POINTS)
    index(cluster, "docs", "n", "integer")
    index(cluster, "docs", "g", {"type": "keyword", "is_tenant": True})
    alias(cluster, "current", "docs")
    return cluster


def test_one_replica_of_every_shard_from_all_nodes_and_nothing_left_there(filled: Any, tmp_path: Path) -> None:
    parts = dump(filled, tmp_path)
    whole = manifest.read(tmp_path / manifest.PART)
    (record,) = whole.collections
    assert [shard.id for shard in record.shards] == list(range(6))
    assert all(len(shard.nodes) == 2 for shard in record.shards)
    assert whole.aliases == {"current": "docs"}
    assert {index.field_name for index in record.indexes} == {"n", "g"}
    snapshots = [part for part in parts if part.name != manifest.PART]
    assert len(snapshots) == 6
    assert sum(sum(part.counts.values()) for part in snapshots) == POINTS == record.points
    assert all(dict(part.versions) == {"qdrant": filled.endpoint.version} for part in parts)
    assert left_on_servers(filled) == []


def test_snapshots_are_taken_from_every_node_alike(
    filled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: Counter[str] = Counter()
    download = HttpClient.download

    def counted(self: HttpClient, path: str, target: BinaryIO) -> None:
        taken[self.name] += 1
        download(self, path, target)

    monkeypatch.setattr(HttpClient, "download", counted)
    writer = KeepingWriter(tmp_path)
    ENGINE.dump(filled.endpoint, filled.control, writer)
    assert dict(taken) == {"qdrant-1": 2, "qdrant-2": 2, "qdrant-3": 2}
    snapshots = sorted(tmp_path.glob("*.snapshot"))
    assert writer.stated == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in snapshots}


def test_the_engine_reads_snapshots_of_the_server_without_it(filled: Any, tmp_path: Path) -> None:
    parts = dump(filled, tmp_path)
    for part in parts:
        ENGINE.verify(tmp_path, part, filled.control)
    assert snapshot_reader.is_readable("qdrant", filled.endpoint.version)


def test_restore_brings_back_points_indexes_aliases_and_replicas(filled: Any, tmp_path: Path) -> None:
    before = sample(filled, "docs")
    parts = dump(filled, tmp_path)
    ask(filled, "POST", "/collections/docs/points/delete", {"points": list(range(0, POINTS, 2))}, wait="true")
    filled.fill("extra", 10)
    alias(filled, "other", "extra")
    notes = restore(filled, tmp_path, parts)
    assert "extra" in notes[0]
    assert [item["name"] for item in ask(filled, "GET", "/collections")["collections"]
            if not item["name"].startswith("ragops-")] == ["docs"]  # fmt: skip
    for number in filled.numbers:
        assert sample(filled, "docs", number) == before
    assert counts(filled, "docs") == [POINTS] * 3
    assert counts(filled, "current") == [POINTS] * 3
    assert ask(filled, "GET", "/aliases")["aliases"] == [{"alias_name": "current", "collection_name": "docs"}]
    schema = ask(filled, "GET", "/collections/docs")["payload_schema"]
    assert (schema["n"]["data_type"], schema["g"]["params"]) == ("integer", {"type": "keyword", "is_tenant": True})
    assert not_active(filled.endpoint) == ()
    assert left_on_servers(filled) == []


def test_every_replica_holds_what_came_back(filled: Any, tmp_path: Path) -> None:
    parts = dump(filled, tmp_path)
    restore(filled, tmp_path, parts)
    for number in filled.numbers:
        filled.kill(number)
        other = number % 3 + 1
        found = ask(filled, "POST", "/collections/docs/points/count", {"exact": True}, other)["count"]
        filled.start(number)
        assert found == POINTS, f"without node {number}"


def test_new_segments_have_the_indexes_too(filled: Any, tmp_path: Path) -> None:
    restore(filled, tmp_path, dump(filled, tmp_path))
    rows = [{"id": POINTS + number, "vector": [1.0] * 8, "payload": {"n": -number - 1}} for number in range(50)]
    ask(filled, "PUT", "/collections/docs/points", {"points": rows}, wait="true")
    wanted = {"filter": {"must": [{"key": "n", "range": {"lt": 0}}]}, "exact": True}
    assert ask(filled, "POST", "/collections/docs/points/count", wanted)["count"] == 50
    schema = ask(filled, "GET", "/collections/docs")["payload_schema"]
    assert schema["n"]["points"] == POINTS + 50


def test_into_another_number_of_nodes_and_back(filled: Any, new_cluster: Callable[..., Any], tmp_path: Path) -> None:
    before = sample(filled, "docs")
    parts = dump(filled, tmp_path / "three")
    one = new_cluster("one", nodes=1).up()
    restore(one, tmp_path / "three", parts)
    assert counts(one, "docs") == [POINTS]
    assert sample(one, "docs") == before
    params = ask(one, "GET", "/collections/docs")["config"]["params"]
    assert (params["shard_number"], params["replication_factor"]) == (6, 1)
    back = dump(one, tmp_path / "one")
    restore(filled, tmp_path / "one", back)
    assert counts(filled, "docs") == [POINTS] * 3
    params = ask(filled, "GET", "/collections/docs")["config"]["params"]
    assert (params["shard_number"], params["replication_factor"]) == (6, 2)
    assert not_active(filled.endpoint) == ()


def test_custom_sharding_comes_back_under_its_keys(cluster: Any, drop: None, tmp_path: Path) -> None:
    body = {"vectors": {"size": 8, "distance": "Cosine"}, "sharding_method": "custom", "shard_number": 1,
            "replication_factor": 2}  # fmt: skip
    ask(cluster, "PUT", "/collections/keyed", body, timeout=60)
    for key in ("gone", "north", 7):
        ask(cluster, "PUT", "/collections/keyed/shards", {"shard_key": key, "shards_number": 2}, timeout=60)
    ask(cluster, "POST", "/collections/keyed/shards/delete", {"shard_key": "gone"}, timeout=60)
    for key, first in (("north", 0), (7, 100)):
        rows = [{"id": first + number, "vector": [1.0] * 8} for number in range(10)]
        ask(cluster, "PUT", "/collections/keyed/points", {"points": rows, "shard_key": key}, wait="true")
    parts = dump(cluster, tmp_path)
    restore(cluster, tmp_path, parts)
    for key in ("north", 7):
        wanted = {"exact": True, "shard_key": key}
        assert ask(cluster, "POST", "/collections/keyed/points/count", wanted)["count"] == 10
    assert not_active(cluster.endpoint) == ()


def test_a_dump_goes_on_with_a_node_away(filled: Any, tmp_path: Path) -> None:
    filled.kill(2)
    parts = dump(filled, tmp_path)
    assert sum(sum(part.counts.values()) for part in parts if part.name != manifest.PART) == POINTS


@pytest.mark.parametrize("when", ["while it makes a snapshot", "before it is sent"])
def test_a_node_that_is_lost_in_the_middle_has_another_stand_in(
    filled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """And what it had made by then is removed by the next dump after its return."""
    name = {"while it makes a snapshot": "send", "before it is sent": "download"}[when]
    lost: list[str] = []
    real = getattr(HttpClient, name)

    def losing(self: HttpClient, *arguments: Any, **more: Any) -> Any:
        if not lost and (name == "download" or arguments[0] == "POST"):
            lost.append(self.name)
            filled.kill(int(self.name.rpartition("-")[2]))
        return real(self, *arguments, **more)

    monkeypatch.setattr(HttpClient, name, losing)
    parts = dump(filled, tmp_path / "parts")
    assert sum(sum(part.counts.values()) for part in parts if part.name != manifest.PART) == POINTS
    assert len(lost) == 1
    filled.start(int(lost[0].rpartition("-")[2]))
    journal = tmp_path / "parts.journal"
    assert lost[0] in journal.read_text()
    if name == "download":
        assert left_on_servers(filled)
    backup_helpers.dump(ENGINE, filled.endpoint, filled.control, tmp_path / "later", journal)
    assert left_on_servers(filled) == []
    assert lost[0] not in journal.read_text()
    restore(filled, tmp_path / "parts", parts)
    assert counts(filled, "docs") == [POINTS] * 3


def test_a_dump_that_would_lack_a_shard_is_refused(cluster: Any, drop: None, tmp_path: Path) -> None:
    cluster.fill("single", 60, replication_factor=1)
    cluster.kill(3)
    with pytest.raises(UnhealthyError) as refused:
        dump(cluster, tmp_path)
    assert refused.value.code == "qdrant_shard_away"


def test_a_restore_needs_every_node_and_touches_nothing_without(filled: Any, tmp_path: Path) -> None:
    parts = dump(filled, tmp_path)
    filled.kill(3)
    with pytest.raises(UnhealthyError) as refused:
        ENGINE.restore(filled.endpoint, filled.control, tmp_path, parts)
    assert refused.value.code == "qdrant_node_down"
    assert ask(filled, "POST", "/collections/docs/points/count", {"exact": True})["count"] == POINTS


def test_a_damaged_snapshot_leaves_the_old_collection_serving(filled: Any, tmp_path: Path) -> None:
    parts = dump(filled, tmp_path)
    filled.fill("later", 30)
    damaged = tmp_path / next(part.name for part in parts if part.name.endswith("-3.snapshot"))
    content = bytearray(damaged.read_bytes())
    damaged.write_bytes(content[: len(content) // 2])
    with pytest.raises(RagopsError):
        ENGINE.restore(filled.endpoint, filled.control, tmp_path, parts)
    assert counts(filled, "docs") == [POINTS] * 3
    assert counts(filled, "later") == [30] * 3
    names = [item["name"] for item in ask(filled, "GET", "/collections")["collections"]]
    assert not [name for name in names if name.endswith(RESTORE_SUFFIX)]


def test_a_dump_that_fails_leaves_nothing_on_the_servers(
    filled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: HttpClient, path: str, target: Path) -> None:
        raise IntegrityError("snapshot_damaged", "told to fail", "")

    monkeypatch.setattr(HttpClient, "download", broken)
    with pytest.raises(IntegrityError, match="told to fail"):
        dump(filled, tmp_path)
    assert left_on_servers(filled) == []


@pytest.mark.parametrize(
    ("versions", "code"),
    [
        ({"qdrant-edge": "0.9.0"}, "engine_differs"),
        ({"qdrant": "1.17.1"}, "version_differs"),
        ({"qdrant": "1.19.0"}, "version_differs"),
        ({"qdrant": "1.18.99"}, "version_differs"),
    ],
)
def test_preflight_refuses_other_versions(filled: Any, tmp_path: Path, versions: dict[str, str], code: str) -> None:
    parts = [Part(part.name, part.instant, part.counts, versions) for part in dump(filled, tmp_path)]
    with pytest.raises(MissingError) as refused:
        ENGINE.preflight(filled.endpoint, filled.control, tmp_path, parts)
    assert refused.value.code == code
