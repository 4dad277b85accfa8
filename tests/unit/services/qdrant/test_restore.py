"""Restores into a cluster whose replicas say that they are active before they hold anything; real ones are in kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ragops.errors import IntegrityError, RagopsError, UnhealthyError
from ragops.services.qdrant.backup import restore
from ragops.services.qdrant.backup.manifest import Catalogue, CollectionRecord, Shard
from ragops.services.qdrant.backup.proven_copies import user_aliases, user_collections
from ragops.services.qdrant.backup.restore import Restore
from ragops.services.qdrant.cluster import polling
from ragops.services.qdrant.cluster.nodes import Nodes
from ragops.services.qdrant.names import PROVEN_PREFIX, RESTORE_SUFFIX
from ragops.services.qdrant.shard_layout import EVERY_NODE
from tests.unit.services.qdrant.fake_cluster import Cluster

if TYPE_CHECKING:
    from pathlib import Path

COPY = f"docs{RESTORE_SUFFIX}"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "_POLL", 0.0005)
    monkeypatch.setattr(polling, "LAG_SECONDS", 0.3)
    monkeypatch.setattr(polling, "STUCK_SECONDS", 0.3)
    monkeypatch.setattr(restore, "_POLL", 0.0005)


def record(folder: Path, name: str = "docs", *, shards: int = 1, copies: int = 1) -> CollectionRecord:
    made = []
    for shard in range(shards):
        file = f"{len(name):04}-{shard}.snapshot"
        (folder / file).write_text(str(100 + shard))
        made.append(Shard(id=shard, file=file, points=100 + shard))
    body = {"vectors": {}, "shard_number": shards, "replication_factor": copies, "write_consistency_factor": 2}
    return CollectionRecord(name=name, create=body, indexes=(), shards=tuple(made))


def run(cluster: Cluster, folder: Path, *records: CollectionRecord, **aliases: str) -> tuple[str, ...]:
    nodes = Nodes(cluster.clients(), {})
    return Restore(nodes, folder, Catalogue(collections=records, aliases=aliases), copies=1).run()


def old(cluster: Cluster, *names: str) -> None:
    """What serves before: one point in one shard."""
    for name in names:
        cluster.create(name, {"shard_number": 1, "replication_factor": 1})
        cluster.put(name, 0, 1, 1)


def counts(cluster: Cluster, name: str) -> set[int]:
    return {client.count(name) for client in cluster.clients()}


@pytest.mark.parametrize("nodes", [1, 3, 5])
@pytest.mark.parametrize("shards", [1, 2, 5, 12])
def test_every_layout_comes_back_whole(tmp_path: Path, nodes: int, shards: int) -> None:
    for copies in range(1, nodes + 1):
        cluster = Cluster(nodes)
        old(cluster, "docs", "later")
        wanted = record(tmp_path, shards=shards, copies=copies)
        (note,) = run(cluster, tmp_path, wanted, current="docs")
        assert note.endswith("later")
        assert list(cluster.collections) == ["docs"]
        assert cluster.aliases == {"current": "docs"}
        made = cluster.found("docs")
        assert [len(replicas) for replicas in made.shards.values()] == [copies] * shards
        assert made.body["replication_factor"] == copies
        assert made.body["write_consistency_factor"] == min(2, copies)
        assert counts(cluster, "docs") == {wanted.points}
        assert {one.points for one in made.shards[0].values()} == {100}


def test_more_copies_than_nodes_become_as_many_as_nodes(tmp_path: Path) -> None:
    cluster = Cluster(3)
    run(cluster, tmp_path, record(tmp_path, shards=2, copies=5))
    assert [len(replicas) for replicas in cluster.found("docs").shards.values()] == [3, 3]


@pytest.mark.parametrize("nodes", [1, 3, 5])
def test_a_copy_on_every_node_becomes_one_on_every_node_that_there_is(tmp_path: Path, nodes: int) -> None:
    cluster = Cluster(nodes)
    made = record(tmp_path, copies=3)
    run(cluster, tmp_path, made.model_copy(update={"create": {**made.create, "metadata": {EVERY_NODE: 3, "of": "us"}}}))
    found = cluster.found("docs")
    assert len(found.shards[0]) == found.body["replication_factor"] == nodes
    assert found.body["metadata"] == {EVERY_NODE: nodes, "of": "us"}, "more nodes later mean more copies again"


def test_counts_are_waited_for_as_states_are(tmp_path: Path) -> None:
    cluster = Cluster(3, lag=7)
    run(cluster, tmp_path, record(tmp_path, copies=3))
    assert counts(cluster, "docs") == {100}


def test_nothing_live_is_deleted_before_its_copy_is_proven(tmp_path: Path) -> None:
    cluster = Cluster(3)
    old(cluster, "docs")
    with pytest.raises(IntegrityError) as failed:
        run(
            cluster,
            tmp_path,
            record(tmp_path).model_copy(update={"shards": (Shard(id=0, file="0004-0.snapshot", points=7),)}),
        )
    assert failed.value.code == "counts_differ"
    assert "qdrant-1 counts 100, qdrant-2 counts 100, qdrant-3 counts 100 points, not 7" in failed.value.message
    assert "DELETE /collections/docs" not in cluster.log
    assert list(cluster.collections) == ["docs"]
    assert counts(cluster, "docs") == {1}


def test_copies_that_never_come_leave_the_proven_one_answering(tmp_path: Path) -> None:
    """And the next run goes on from it: it is not sent again."""
    cluster = Cluster(3, transfers_hang=True)
    old(cluster, "docs")
    wanted = record(tmp_path, shards=2, copies=3)
    with pytest.raises(UnhealthyError) as failed:
        run(cluster, tmp_path, wanted, current="docs")
    assert failed.value.code == "qdrant_shards_inactive"
    assert "2 of 6 copies are active" in failed.value.message
    assert f"the proven copy {COPY} answers for it" in failed.value.message
    assert {alias: name for alias, name in cluster.aliases.items() if not alias.startswith(PROVEN_PREFIX)} == {
        "docs": COPY,
        "current": COPY,
    }
    assert counts(cluster, "docs") == {wanted.points}
    assert user_collections(cluster.clients()[0]) == ["docs"]
    assert user_aliases(cluster.clients()[0]) == {"current": "docs"}
    cluster.transfers_hang = False
    cluster.log.clear()
    run(cluster, tmp_path, wanted, current="docs")
    assert f"upload {COPY}" not in cluster.log
    assert (list(cluster.collections), cluster.aliases) == (["docs"], {"current": "docs"})
    assert counts(cluster, "docs") == {wanted.points}


def test_the_others_come_back_and_the_state_of_each_is_told(tmp_path: Path) -> None:
    cluster = Cluster(3)
    old(cluster, "a", "docs", "zoology", "later")
    cluster.refuses = {"docs", f"a{RESTORE_SUFFIX}"}
    records = [record(tmp_path, name) for name in ("a", "docs", "zoology")]
    with pytest.raises(RagopsError) as failed:
        run(cluster, tmp_path, *records)
    words = failed.value.message
    assert words.startswith("2 of 3 collections are not back: a: ")
    assert f"docs: qdrant-1 answers 500: told to fail (the proven copy {COPY} answers for it)" in words
    assert "`ragops restore` again" in failed.value.hint
    assert [counts(cluster, name) for name in ("a", "docs", "zoology", "later")] == [{1}, {100}, {100}, {1}]
    assert sorted(cluster.collections) == ["a", COPY, "later", "zoology"]


def test_a_node_that_is_lost_for_a_while_is_waited_for(tmp_path: Path) -> None:
    cluster = Cluster(3)
    wanted = record(tmp_path, shards=3, copies=2)
    real = cluster.put
    lost: list[int] = []

    def put(name: str, shard: int, peer: int, points: int) -> None:
        if not lost:
            lost.append(peer)
            cluster.away[peer] = 9
            raise UnhealthyError("qdrant_unreachable", f"qdrant-{peer} cannot be reached")
        real(name, shard, peer, points)

    cluster.put = put  # type: ignore[method-assign]
    run(cluster, tmp_path, wanted)
    assert lost
    assert counts(cluster, "docs") == {wanted.points}
    assert list(cluster.collections) == ["docs"]


def test_an_unmarked_copy_without_its_collection_stays_until_that_is_back(tmp_path: Path) -> None:
    """It may be all that there is: an older ragops did not mark what it had proven."""
    cluster = Cluster(3)
    old(cluster, COPY)
    cluster.refuses = {f"docs__2{RESTORE_SUFFIX}"}
    with pytest.raises(RagopsError):
        run(cluster, tmp_path, record(tmp_path))
    assert list(cluster.collections) == [COPY]
    cluster.refuses.clear()
    run(cluster, tmp_path, record(tmp_path))
    assert list(cluster.collections) == ["docs"]


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_a_wait_goes_on_while_something_changes_and_ends_when_nothing_does() -> None:
    looks = iter(range(10_000))
    seen: list[int] = []

    def look() -> polling.Observation:
        seen.append(next(looks))
        return polling.Observation("0 of 3 copies are active", min(seen[-1], 5))

    with pytest.raises(UnhealthyError, match="docs: 0 of 3 copies are active, and nothing has changed for"):
        polling.wait("docs", look)
    assert len(seen) > 6


def test_a_server_that_hangs_while_it_works_for_us_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    monkeypatch.setattr(polling, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(polling, "_SILENT_SECONDS", 0.05)
    cluster = Cluster(1)
    (client,) = cluster.clients()
    over = threading.Event()

    def work() -> str:
        over.wait(30)
        return "done"

    cluster.away[1] = 10**6
    with pytest.raises(UnhealthyError, match="qdrant-1: it hangs"):
        polling.while_answering(client, work)
    cluster.away[1] = 0
    timer: Any = threading.Timer(0.2, over.set)
    over.clear()
    timer.start()
    assert polling.while_answering(client, work) == "done"


def test_the_only_node_is_not_waited_for_as_one_of_several_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "ALONE_SECONDS", 0.02)
    monkeypatch.setattr(polling, "STUCK_SECONDS", 60.0)
    gone = UnhealthyError("qdrant_unreachable", "qdrant cannot be reached", "see `ragops health qdrant`")
    looks = iter(range(10_000))

    def look() -> polling.Observation:
        if next(looks) > 200:
            return polling.Observation("")
        raise gone

    with pytest.raises(UnhealthyError, match="cannot be reached"):
        polling.wait("docs", look, alone=True)
    looks = iter(range(10_000))
    polling.wait("docs", look)
