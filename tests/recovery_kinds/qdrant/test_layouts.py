"""Clusters of every layout: shards, copies, nodes, another number of nodes, a node away, writers at work."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ragops.adapters import cancellation
from ragops.adapters.progress import Progress, report_progress
from ragops.adapters.qdrant.http import HttpClient
from ragops.errors import InterruptedRunError, RagopsError, UnhealthyError
from ragops.services.contract import Status
from ragops.services.qdrant.backup.backup import QdrantBackup
from ragops.services.qdrant.cluster import polling
from ragops.services.qdrant.cluster.cluster import not_active, wait_all_active
from ragops.services.qdrant.health import probe
from ragops.services.qdrant.names import RESTORE_SUFFIX
from tests import backup_helpers
from tests.qdrant_processes import KEY, Cluster, NoControl, ask, cluster, done, fill, users_names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.services.contract import Part

pytestmark = [pytest.mark.kinds, pytest.mark.fault, pytest.mark.timeout(600)]
ENGINE = QdrantBackup()
CONTROL: Any = NoControl()  # no more of it is used
POINTS = 1500


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    with cluster(3) as made:
        yield made


@pytest.fixture(scope="module")
def five() -> Iterator[Cluster]:
    with cluster(5) as made:
        yield made


@pytest.fixture(scope="module")
def one() -> Iterator[Cluster]:
    with cluster(1) as made:
        yield made


def clear(made: Cluster) -> None:
    with made.http() as api:
        for item in done(api.get("/collections"))["collections"]:
            if not item["name"].startswith("ragops-"):
                ask(api, "DELETE", f"/collections/{item['name']}")


def dump(made: Cluster, folder: Path) -> tuple[Part, ...]:
    return backup_helpers.dump(ENGINE, made.endpoint, CONTROL, folder)


def restore(made: Cluster, folder: Path, parts: tuple[Part, ...]) -> tuple[str, ...]:
    return ENGINE.restore(made.endpoint, CONTROL, folder, parts)


def counts(made: Cluster, name: str) -> list[int]:
    """What each node counts."""
    found = []
    for number in made.numbers:
        with made.http(number) as api:
            found.append(done(api.post(f"/collections/{name}/points/count", json={"exact": True}))["count"])
    return found


def layout(made: Cluster, name: str) -> tuple[int, int, int]:
    """Shards, copies that are wanted, copies that are there."""
    with made.http() as api:
        params = done(api.get(f"/collections/{name}"))["config"]["params"]
        seen = done(api.get(f"/collections/{name}/cluster"))
    there = len(seen["local_shards"]) + len(seen["remote_shards"])
    return params["shard_number"], params["replication_factor"], there


def names(made: Cluster) -> list[str]:
    with made.http() as api:
        return users_names([item["name"] for item in done(api.get("/collections"))["collections"]])


def whole(made: Cluster, points: int = POINTS) -> None:
    assert counts(made, "docs") == [points] * made.nodes
    assert not_active(made.endpoint) == ()
    assert names(made) == ["docs"]
    result = probe(made.endpoint, 30)
    assert [check for check in result.checks if check.status is not Status.OK and check.name != "replicas"] == []


def every_replica(made: Cluster, points: int = POINTS) -> None:
    """What each copy holds, by stopping one node after the other."""
    for number in made.numbers:
        made.stop(number, signal.SIGKILL)
        with made.http(number % made.nodes + 1) as api:
            found = done(api.post("/collections/docs/points/count", json={"exact": True}))["count"]
        made.start(number)
        wait_all_active(made.endpoint, 120)
        assert found == points, f"without node {number}"


def comes_back(cluster: Cluster, folder: Path, shards: int, copies: int) -> None:
    """Dump a collection of that layout, restore it, and find it as it was."""
    clear(cluster)
    with cluster.http() as api:
        fill(api, "docs", POINTS, shard_number=shards, replication_factor=copies)
    parts = dump(cluster, folder)
    restore(cluster, folder, parts)
    wanted = max(copies, 2)  # new collections of this platform have two
    assert layout(cluster, "docs") == (shards, wanted, shards * wanted)
    whole(cluster)


@pytest.mark.parametrize("copies", [1, 2, 3])
@pytest.mark.parametrize("shards", [1, 2, 3, 6, 12])
def test_three_nodes(three: Cluster, tmp_path: Path, shards: int, copies: int) -> None:
    comes_back(three, tmp_path / "point", shards, copies)


@pytest.mark.parametrize(("shards", "copies"), [(1, 5), (5, 3), (12, 1), (7, 5)])
def test_five_nodes(five: Cluster, tmp_path: Path, shards: int, copies: int) -> None:
    comes_back(five, tmp_path / "point", shards, copies)


def test_nothing_is_grey_after_a_restore(three: Cluster, tmp_path: Path) -> None:
    """Segments that were on their way into an index when they were taken: health has nothing to say of them."""
    clear(three)
    few = {"indexing_threshold": 10, "default_segment_number": 1}
    with three.http() as api:
        fill(api, "docs", 4000, size=64, shard_number=1, replication_factor=3, optimizers_config=few)
        parts = dump(three, tmp_path / "point")
    restore(three, tmp_path / "point", parts)
    result = probe(three.endpoint, 30)
    assert [check for check in result.checks if check.name == "collections"] == []


def test_every_copy_holds_every_point(three: Cluster, tmp_path: Path) -> None:
    """A copy on every node: what could not be restored at all."""
    clear(three)
    with three.http() as api:
        fill(api, "docs", POINTS, shard_number=1, replication_factor=3)
    parts = dump(three, tmp_path / "point")
    restore(three, tmp_path / "point", parts)
    every_replica(three)


def test_other_numbers_of_nodes(one: Cluster, three: Cluster, five: Cluster, tmp_path: Path) -> None:
    """From five to three to one and back to five: copies are as many as there can be."""
    clear(five)
    with five.http() as api:
        fill(api, "docs", POINTS, shard_number=4, replication_factor=5)
    source, wanted = five, {1: 1, 3: 3, 5: 3}
    for number, target in enumerate((three, one, three, five)):
        folder = tmp_path / str(number)
        parts = dump(source, folder)
        clear(target)
        restore(target, folder, parts)
        expected = wanted[target.nodes] if number < 2 else 2  # from one node on the platform's own number
        assert layout(target, "docs")[1:] == (expected, 4 * expected)
        whole(target)
        source = target


# --- a node away ------------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(three: Cluster) -> Iterator[Cluster]:
    """A collection with a copy on every node; whoever takes a node away brings it back."""
    clear(three)
    with three.http() as api:
        fill(api, "docs", POINTS, shard_number=2, replication_factor=3)
        action = {"create_alias": {"alias_name": "current", "collection_name": "docs"}}
        ask(api, "POST", "/collections/aliases", {"actions": [action]})
    yield three
    for number in three.numbers:
        if number in three.processes:
            three.send(number, signal.SIGCONT)
        else:
            three.start(number)
    wait_all_active(three.endpoint, 120)


@pytest.mark.parametrize("how", ["paused", "stopped"])
def test_a_backup_goes_on_with_a_node_away(filled: Cluster, tmp_path: Path, how: str) -> None:
    take_away(filled, 3, how)
    parts = dump(filled, tmp_path / "point")
    assert sum(sum(part.counts.values()) for part in parts if part.name.endswith(".snapshot")) == POINTS


@pytest.mark.parametrize("how", ["paused", "stopped"])
def test_a_restore_with_a_node_away_touches_nothing(filled: Cluster, tmp_path: Path, how: str) -> None:
    parts = dump(filled, tmp_path / "point")
    take_away(filled, 3, how)
    with pytest.raises(UnhealthyError) as refused:
        restore(filled, tmp_path / "point", parts)
    assert refused.value.code == "qdrant_node_down"
    assert "`ragops up` starts qdrant-3" in refused.value.hint
    with filled.http() as api:
        assert done(api.post("/collections/docs/points/count", json={"exact": True}))["count"] == POINTS


@pytest.mark.parametrize("when", ["while it is proven", "while it is made again"])
@pytest.mark.parametrize("how", ["paused", "stopped"])
def test_a_node_that_is_lost_on_the_way_and_comes_back(
    filled: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, when: str
) -> None:
    """It is waited for, with a word, and nothing has to be run again."""
    monkeypatch.setattr(polling, "_SILENT_SECONDS", 6.0)
    parts = dump(filled, tmp_path / "point")
    lost, said = [], []
    real = HttpClient.upload

    def upload(self: HttpClient, path: str, source: Path, checksum: str) -> None:
        copy = RESTORE_SUFFIX in path
        if not lost and copy == (when == "while it is proven"):
            number = int(self.name.rpartition("-")[2])
            lost.append(number)
            take_away(filled, number, how)
            back = threading.Timer(15, lambda: bring_back(filled, number, how))
            back.start()
        real(self, path, source, checksum)

    monkeypatch.setattr(HttpClient, "upload", upload)

    def listen(progress: Progress) -> None:
        said.append(progress.text)

    with report_progress(listen):
        restore(filled, tmp_path / "point", parts)
    assert lost
    whole(filled)
    with filled.http() as api:
        assert done(api.post("/collections/current/points/count", json={"exact": True}))["count"] == POINTS


def take_away(made: Cluster, number: int, how: str) -> None:
    if how == "paused":
        made.send(number, signal.SIGSTOP)
    else:
        made.stop(number, signal.SIGKILL)


def bring_back(made: Cluster, number: int, how: str) -> None:
    if how == "paused":
        made.send(number, signal.SIGCONT)
    else:
        made.start(number)


# --- an end on the way ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["proving it", "making it again", "copies are active"])
def test_an_interrupted_restore_leaves_one_that_is_whole_and_goes_on(
    filled: Cluster, tmp_path: Path, stage: str
) -> None:
    parts = dump(filled, tmp_path / "point")

    def stop(progress: Progress) -> None:
        if stage in progress.text:
            cancellation.current().cancel()

    with cancellation.new_run(), report_progress(stop), pytest.raises(InterruptedRunError):
        restore(filled, tmp_path / "point", parts)
    for alias in ("docs", "current"):  # by its own name or by its copy's
        with filled.http(2) as api:
            assert done(api.post(f"/collections/{alias}/points/count", json={"exact": True}))["count"] == POINTS
    restore(filled, tmp_path / "point", parts)
    whole(filled)


def test_a_server_that_refuses_one_collection_has_all_others_brought_back(
    filled: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled.http() as api:
        fill(api, "notes", 50, shard_number=1, replication_factor=3)
        fill(api, "zoo", 50, shard_number=1, replication_factor=1)
    parts = dump(filled, tmp_path / "point")
    with filled.http() as api:
        for name in ("docs", "notes", "zoo"):
            done(api.post(f"/collections/{name}/points/delete", params={"wait": "true"}, json={"points": [1, 2, 3]}))
    real = HttpClient.upload

    def upload(self: HttpClient, path: str, source: Path, checksum: str) -> None:
        if path.startswith("/collections/docs/"):
            raise RagopsError("qdrant_error", "told to fail", "see the log")
        real(self, path, source, checksum)

    with monkeypatch.context() as patch:
        patch.setattr(HttpClient, "upload", upload)
        with pytest.raises(RagopsError, match="1 of 3 collections are not back: docs"):
            restore(filled, tmp_path / "point", parts)
    assert [counts(filled, name)[0] for name in ("docs", "notes", "zoo")] == [POINTS, 50, 50]
    assert "restore" in {check.name for check in probe(filled.endpoint, 20).checks}
    restore(filled, tmp_path / "point", parts)
    assert names(filled) == ["docs", "notes", "zoo"]
    assert probe(filled.endpoint, 20).status is Status.OK


# --- others at work ---------------------------------------------------------------------------------------------------


def test_readers_by_an_alias_miss_nothing_and_writers_stop_nothing(filled: Cluster, tmp_path: Path) -> None:
    parts = dump(filled, tmp_path / "point")
    over, bad = threading.Event(), list[Any]()

    def read() -> None:
        while not over.is_set():
            body = {"query": [1.0] * 8, "limit": 5}
            url = f"{filled.url(2)}/collections/current/points/query"
            answer = httpx.post(url, json=body, headers={"api-key": KEY}, timeout=60, trust_env=False)
            if answer.status_code != 200 or len(answer.json()["result"]["points"]) != 5:
                bad.append(answer.text)
            time.sleep(0.01)

    def write() -> None:
        number = 10_000
        while not over.is_set():
            number += 1
            body = {"points": [{"id": number, "vector": [1.0] * 8}]}
            url = f"{filled.url(3)}/collections/docs/points"
            httpx.put(url, json=body, headers={"api-key": KEY}, timeout=60, trust_env=False)
            time.sleep(0.02)

    threads = [threading.Thread(target=read), threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    try:
        notes = restore(filled, tmp_path / "point", parts)
    finally:
        over.set()
        for thread in threads:
            thread.join(90)
    assert bad == []
    assert min(counts(filled, "docs")) >= POINTS
    assert all("more than the recovery point" in note for note in notes)
    ids = list(range(POINTS))
    with filled.http() as api:
        assert len(done(api.post("/collections/docs/points", json={"ids": ids, "with_payload": False}))) == POINTS
