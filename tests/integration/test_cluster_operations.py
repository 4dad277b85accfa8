"""Changes of a cluster of real servers, under readers and writers, killed on the way and run again."""

from __future__ import annotations

import random
import shutil
import signal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.progress import ignore_progress
from ragops.errors import IntegrityError
from ragops.operations.cluster import nodes, repair, replace_node
from ragops.operations.cluster.moves import change, move_shard, rebalance, set_replication
from ragops.operations.cluster.status import status
from ragops.operations.cluster.verify import verify
from ragops.operations.records.cluster_journal import ClusterJournal
from ragops.services.qdrant.cluster import members
from ragops.services.qdrant.cluster.cluster import wait_all_active
from ragops.services.qdrant.cluster.prepare import prepare
from ragops.services.qdrant.cluster.shard_order import Limits, Pace, ShardOrder
from tests.cluster_platform import again, open_session, write_endpoints
from tests.integration.test_qdrant_minor_step import Load
from tests.ports import free_ports
from tests.qdrant_processes import KEY, Cluster, cluster, done, fill

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.operations.session import Session

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]
POINTS = 2000
PACE = Pace(limits=Limits(settle=120, away=60, recover=120))


class KilledError(BaseException):
    """The process is gone."""


class Host:
    """What the Docker runtime does to containers, done to processes."""

    def __init__(self, made: Cluster) -> None:
        self.made = made

    def control(self, _endpoint: Any, instance: str = "qdrant-1") -> Any:
        return Process(self.made, int(instance.rpartition("-")[2]))


class Process:
    def __init__(self, made: Cluster, number: int) -> None:
        self.made, self.number = made, number
        self.storage = made.folder / f"node-{number}" / "storage"

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.made.folder).free

    def stop(self) -> None:
        self.made.stop(self.number)

    def start(self) -> None:
        if self.number not in self.made.processes:
            self.made.start(self.number)

    def move_data_aside(self, label: str) -> str:
        aside = self.storage.with_name(f"storage.{label}-{random.randrange(10**9)}")
        if self.storage.exists():
            self.storage.rename(aside)
        return str(aside)

    def remove(self) -> None:
        self.stop()


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Platform]:
    with cluster(3) as made:
        yield Platform(made, monkeypatch, tmp_path)


class Platform:
    """A cluster with a collection `docs`, and sessions on it."""

    def __init__(self, made: Cluster, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.made = made
        # All nodes are on one host here: what tells them apart is the port.
        monkeypatch.setattr(members, "_host", self.host_of)
        for module in (nodes, replace_node):
            monkeypatch.setattr(module, "provision", self.provision)
        monkeypatch.setattr(nodes, "open_existing", lambda *_: SimpleNamespace(unprotect=lambda: None))
        with made.http() as api:
            fill(api, "docs", POINTS, shard_number=6, replication_factor=2)
            fill(api, "wiki", 300, shard_number=1, replication_factor=3)
        self.session = open_session(root, made.endpoint, Host(made), monkeypatch, KEY)

    def host_of(self, uri: str) -> str:
        port = uri.rstrip("/").rpartition(":")[2]  # a node that joins has none of the others for a moment
        return next((f"qdrant-{n}" for n, ports in self.made.ports.items() if str(ports[2]) == port), uri)

    def provision(self, session: Session, *_: object) -> None:
        made, wanted = self.made, session.project.settings.qdrant.nodes
        for number in range(1, wanted + 1):
            made.ports.setdefault(number, free_ports(3))
            if number not in made.processes:
                made.start(number)
        made.nodes = wanted
        prepare(made.endpoint)
        write_endpoints(session.project.paths.endpoints, made.endpoint)

    def where(self) -> dict[str, set[str]]:
        """The nodes of each shard, all of them active."""
        found = status(self.session)
        assert not found.transfers
        assert {state for one in found.shards for state in one.replicas.values()} == {"Active"}
        return {f"{one.collection}/{one.shard}": set(one.replicas) for one in found.shards}

    def check_points(self, *written: int) -> None:
        """Every node counts all points, and all replicas are equal, vectors included."""
        wait_all_active(self.session.endpoint("qdrant"), 120)
        ids = [*range(POINTS), *written]
        for number in self.made.processes:
            with self.made.http(number) as api:
                body = {"ids": ids, "with_payload": False}
                assert len(done(api.post("/collections/docs/points", json=body))) == len(ids)
        found = verify(self.session, (), ignore_progress, deep=True)
        assert not found.differing
        assert not [one for one in found.skipped if one.points]
        assert sum(max(one.points.values(), default=0) for one in found.shards if one.collection == "docs") == len(ids)


def test_nodes_come_and_go_under_load(platform: Platform) -> None:
    with Load(platform.made) as load:
        nodes.add_nodes(platform.session, None, None, None, ignore_progress, PACE)
        more = platform.where()
        counts = [sum(name in on for shard, on in more.items() if shard.startswith("docs")) for name in names(5)]
        nodes.remove_nodes(again(platform.session), None, None, None, ignore_progress, PACE)
    assert sorted(counts) == [2, 2, 2, 3, 3]
    assert more["ragops-health/0"] == set(names(5))
    assert all(on <= set(names(3)) for on in platform.where().values())
    assert load.failed == []
    assert load.reads > 50
    platform.check_points(*load.written)


def names(count: int) -> list[str]:
    return [f"qdrant-{number}" for number in range(1, count + 1)]


@pytest.mark.parametrize("number", [1, 2])
def test_a_node_is_emptied_and_filled_again_under_load(platform: Platform, number: int) -> None:
    with Load(platform.made) as load:
        result = replace_node.replace_node(platform.session, f"qdrant-{number}", None, ignore_progress, PACE)
    assert result.plan.answers
    assert any(f"qdrant-{number}" in on for shard, on in platform.where().items() if shard.startswith("docs"))
    assert load.failed == []
    platform.check_points(*load.written)


@pytest.mark.parametrize("number", [1, 3])
def test_a_node_that_died_is_replaced_under_load(platform: Platform, number: int) -> None:
    with Load(platform.made) as load:
        platform.made.stop(number, signal.SIGKILL)
        result = replace_node.replace_node(platform.session, f"qdrant-{number}", None, ignore_progress, PACE)
    assert not result.plan.answers
    assert load.failed == []
    platform.check_points(*load.written)


def test_another_number_of_replicas_and_back(platform: Platform) -> None:
    with Load(platform.made) as load:
        for factor in (3, 2, 1, 2):
            change(platform.session, set_replication("docs", factor), None, ignore_progress, PACE)
            found = platform.where()
            assert {len(on) for shard, on in found.items() if shard.startswith("docs")} == {factor}
    assert load.failed == []
    platform.check_points(*load.written)


# Where a run ends: before an order, behind it, while its transfer is under way, or when that is over.
MOMENTS = ["_order", "after _order", "_look", "note_step"]


@pytest.mark.campaign(sample=2)
@pytest.mark.parametrize("seed", range(8))
def test_a_run_that_is_killed_is_continued(platform: Platform, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replicas lie askew; a rebalance is killed at three moments, then runs to its end."""
    dice = random.Random(seed)
    askew(platform)
    with Load(platform.made) as load:
        for _ in range(3):
            with monkeypatch.context() as patch:
                die(patch, dice.choice(MOMENTS), dice.randint(1, 3))
                try:
                    change(again(platform.session), rebalance(), None, ignore_progress, PACE)
                except KilledError:
                    continue
                break
        change(again(platform.session), rebalance(), None, ignore_progress, PACE)
    found = platform.where()
    counts = [sum(name in on for shard, on in found.items() if shard.startswith("docs")) for name in names(3)]
    assert counts == [4, 4, 4]
    assert platform.session.cluster_journal().read() is None
    assert load.failed == []
    platform.check_points(*load.written)


def askew(platform: Platform) -> None:
    """Move what can be to the first two nodes."""
    for shard, on in platform.where().items():
        collection, _, number = shard.partition("/")
        if collection == "docs" and "qdrant-3" in on:
            (free,) = set(names(2)) - on
            request = move_shard("docs", int(number), "qdrant-3", free)
            change(platform.session, request, None, ignore_progress, PACE)


def die(patch: pytest.MonkeyPatch, moment: str, time: int) -> None:
    after, _, name = moment.rpartition(" ")
    target: Any = ShardOrder if name.startswith("_") else ClusterJournal
    real, left = getattr(target, name), [time]

    def dying(*values: Any) -> Any:
        left[0] -= 1
        if left[0] <= 0 and not after:
            raise KilledError
        result = real(*values)
        if left[0] <= 0:
            raise KilledError
        return result

    patch.setattr(target, name, dying)


def test_a_node_with_the_only_replica_is_not_replaced(platform: Platform) -> None:
    with platform.made.http() as api:
        fill(api, "alone", 10, shard_number=3, replication_factor=1)
    platform.made.stop(2, signal.SIGKILL)
    with pytest.raises(IntegrityError, match="alone has no active replica elsewhere, only on qdrant-2"):
        replace_node.replace_node(platform.session, "qdrant-2", None, ignore_progress, PACE)
    platform.made.start(2)


def test_a_replica_that_differs_is_found(platform: Platform) -> None:
    """A point is removed, one is changed and one is added on one node alone, through a snapshot of its shard."""
    made = platform.made
    shard, holders = next((name, on) for name, on in platform.where().items() if name.startswith("docs"))
    number, wrong = shard.partition("/")[2], sorted(holders)[0]
    wrong_number = int(wrong.rpartition("-")[2])
    path = f"/collections/docs/shards/{number}"
    with made.http(wrong_number) as api:
        points = done(api.post(f"{path}/points/scroll", json={"limit": 3}))["points"]
        older = api.get(f"{path}/snapshot").content
        body = {"points": [points[0]["id"]]}
        done(api.post("/collections/docs/points/delete", params={"wait": "true"}, json=body))
        payload = {"payload": {"n": "changed"}, "points": [points[1]["id"]]}
        done(api.post("/collections/docs/points/payload", params={"wait": "true"}, json=payload))
    assert not verify(platform.session, ("docs",), ignore_progress, deep=False).differing
    send_older(made, wrong_number, path, older)
    found = verify(platform.session, ("docs",), ignore_progress, deep=False)
    (differs,) = found.differing
    assert (differs.collection, str(differs.shard)) == ("docs", number)
    assert set(differs.examples) == {points[0]["id"], points[1]["id"]}
    assert differs.digest == ""


@pytest.mark.parametrize("wrong", [1, 2])
def test_a_replica_that_differs_from_two_others_is_repaired_under_load(platform: Platform, wrong: int) -> None:
    """One replica of three goes back to what it was, a point more and a payload before; two of two cannot be judged."""
    made, path = platform.made, "/collections/wiki/shards/0"
    with made.http(wrong) as api:
        older = api.get(f"{path}/snapshot").content
        done(api.post("/collections/wiki/points/delete", params={"wait": "true"}, json={"points": [7]}))
        payload = {"payload": {"n": "changed"}, "points": [8]}
        done(api.post("/collections/wiki/points/payload", params={"wait": "true"}, json=payload))
    wait_all_active(platform.session.endpoint("qdrant"), 120)
    send_older(made, wrong, path, older)
    with Load(made) as load:
        result = repair.repair(platform.session, ("wiki",), None, ignore_progress, PACE, deep=True)
    right = sorted(set(names(3)) - {f"qdrant-{wrong}"})
    assert [one.agree for one in result.plan.found.differing] == [tuple(right)]
    assert [(step.action, step.source, step.target) for step in result.plan.change.steps] == [
        ("drop", f"qdrant-{wrong}", ""), ("copy", right[0], f"qdrant-{wrong}"),
    ]  # fmt: skip
    assert (result.done, result.after and result.after.differing) == (2, ())
    assert platform.where()["wiki/0"] == set(names(3))
    for number in made.numbers:
        with made.http(number) as api:
            found = done(api.post(f"{path}/points", json={"ids": [7, 8], "with_payload": True}))
            assert [(one["id"], one["payload"]["n"]) for one in found] == [(8, "changed")]
    assert load.failed == []
    assert platform.session.cluster_journal().read() is None


def send_older(made: Cluster, number: int, path: str, older: bytes) -> None:
    with made.http(number) as api:
        files = {"snapshot": ("x.snapshot", older)}
        query = {"priority": "no_sync", "wait": "true"}
        done(api.post(f"{path}/snapshots/upload", params=query, files=files))


def test_the_status_names_what_would_be_lost(platform: Platform) -> None:
    with platform.made.http() as api:
        fill(api, "alone", 10, shard_number=1, replication_factor=1)
    found = status(platform.session)
    (holder,) = next(one.replicas for one in found.shards if one.collection == "alone")
    assert {one.name: one.would_lose for one in found.nodes if one.would_lose} == {holder: ("alone/0",)}
    assert sum(one.role == "leader" for one in found.nodes) == 1
    assert all(one.size and one.size > 0 for one in found.nodes)
    assert sum(one.points for one in found.shards if one.collection == "docs") == POINTS
