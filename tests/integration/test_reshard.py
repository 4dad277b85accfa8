"""A collection rebuilt with other shards: killed wherever it can be killed, with writers at work, and compared.

On the development engine one shard stands for any number: it takes the place of a cluster of one node. On a real
cluster (RAGOPS_TEST_QDRANT) the shards are counted, too.
"""

# ruff: noqa: F811
from __future__ import annotations

import contextlib
import signal
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from ragops.errors import LockedError, MissingError, UnhealthyError, UsageError
from ragops.ingest import jobs
from ragops.ingest.document_store import open_store
from ragops.operations.cluster import reshard as operation
from ragops.operations.cluster.reshard import ReshardPlan, ReshardRequest, ReshardResult
from ragops.operations.data import collections
from ragops.operations.data.ingest import drop_old
from ragops.services.contract import Endpoint, Login, Node
from ragops.services.qdrant.cluster import collection_copy
from ragops.services.qdrant.shard_layout import ShardLayout
from tests.integration.test_ingest import (  # noqa: F401
    Store,
    World,
    drop,
    fill,
    forked,
    migrated,
    mutate,
    points_of,
    rebuild,
    words,
    world,
)
from tests.integration.test_ingest import check_settled as check_alone
from tests.qdrant_processes import KEY, cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ragops.ingest.report import CollectionReport
    from ragops.operations.session import Session
    from tests.qdrant_processes import Cluster

pytestmark = [pytest.mark.fault, pytest.mark.servers]
_MOST_EFFECTS = 76  # that a reshard of four documents has on the stores
KINDS = ("the development engine", "a server")


class Server:
    """One node of the real server, as `Store` has the development engine; a copy gets three shards there."""

    shards = 3

    def __init__(self, node: Cluster) -> None:
        self.client = node.http()
        login = Login("", "qdrant_api_key", SecretStr(KEY))
        port = node.ports[1][0]
        self.endpoint = Endpoint(
            "qdrant", "qdrant", node.version(), "test", "127.0.0.1", port, logins={"application": login}
        )

    points, aliases, post = Store.points, Store.aliases, Store.post


@pytest.fixture(scope="module", params=KINDS)
def store(request: pytest.FixtureRequest, root: Path) -> Iterator[Any]:
    if request.param == KINDS[0]:
        made = Store(root / "edge")
        yield made
        made.kill()
        return
    with cluster(1) as node, node.http() as api:
        api.delete("/collections/ragops-health")
        yield Server(node)


def request_of(world: World, **other: Any) -> ReshardRequest:
    """As many shards as the server takes, as fast as it can."""
    return ReshardRequest("docs", shards=getattr(world.store, "shards", 1), rate=0, **other)


class FakeSession:
    """What a reshard needs of a session: two endpoints, a lock that nobody else wants, a disk with `free` bytes."""

    def __init__(self, world: World, endpoint: Endpoint, free: int | None = None) -> None:
        self._endpoints = {"timescaledb": world.database, "qdrant": endpoint}
        self.host = SimpleNamespace(control=lambda _endpoint: SimpleNamespace(free_bytes=lambda: free))

    def endpoint(self, service: str) -> Endpoint:
        if service not in self._endpoints:
            raise MissingError("not_provisioned", f"{service} is not provisioned here", "run `ragops up`")
        return self._endpoints[service]

    @contextlib.contextmanager
    def changing(self, kinds: tuple[str, ...]) -> Iterator[None]:
        assert kinds == ("ingest",)
        yield


def session_of(world: World, free: int | None = None) -> Session:
    """A session whose one server is a cluster of one node."""
    endpoint = world.store.endpoint
    login = endpoint.logins["application"]
    node = Node("qdrant-1", f"http://127.0.0.1:{endpoint.port}")
    made = replace(endpoint, nodes=(node,), logins={"application": login, "operator": login})
    return FakeSession(world, made, free)  # type: ignore[return-value]


@pytest.fixture(autouse=True)
def many_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the development engine holds counts as six shards unless it is a copy."""
    real = operation.layout_of

    def found(info: dict[str, Any]) -> ShardLayout:
        return real(info) if (info["config"].get("metadata") or {}).get("ragops_shards_set") else ShardLayout(6, 1)

    monkeypatch.setattr(operation, "layout_of", found)


def reshard(
    world: World, request: ReshardRequest | None = None, free: int | None = None
) -> ReshardResult | ReshardPlan:
    return operation.reshard(session_of(world, free), request or request_of(world))


def whole(world: World, points: str) -> dict[str, Any]:
    """Every point of a collection with all its vectors, without the name of its collection."""
    body = {"limit": 100_000, "with_payload": True, "with_vector": True}
    found = world.store.post(f"/collections/{points}/points/scroll", body)["points"]
    for one in found:
        assert one["payload"].pop("collection") == points
    return {one["id"]: (one["payload"], _rounded(one["vector"])) for one in found}


def _rounded(vectors: Any) -> Any:
    """Vectors as far as a server keeps them: it makes their length 1 again, to the last digit but one."""
    if isinstance(vectors, list):
        return [round(number, 5) for number in vectors]
    if "indices" in vectors:
        return sorted(zip(vectors["indices"], _rounded(vectors["values"]), strict=True))
    return {name: _rounded(vector) for name, vector in vectors.items()}


def check_settled(world: World, points: str) -> None:
    """The live collection is `points`, everything else is gone once the old is dropped, and ingest finds no change."""
    assert points_of(world)[0] == points
    drop(world)
    check_alone(world, points)
    report = world.run()
    assert (report.added, report.changed, report.deleted, report.repaired, report.failed) == (0, 0, 0, 0, ())


def ingest_first(world: World) -> None:
    """Bring four documents into the collection."""
    fill(world)
    assert world.run().added == 4


def test_every_point_is_copied_with_its_vectors_and_nothing_is_embedded(world: World) -> None:
    ingest_first(world)
    before = whole(world, "docs")
    result = reshard(world)
    assert isinstance(result, ReshardResult)
    assert (result.plan.source, result.plan.target, result.points) == ("docs", "docs@2", len(before))
    shards = world.store.client.get("/collections/docs@2/cluster").json()["result"]["shard_count"]
    assert shards == request_of(world).shards
    assert whole(world, "docs@2") == before == whole(world, "docs")
    schema = {name: world.store.client.get(f"/collections/{name}").json()["result"] for name in ("docs", "docs@2")}
    assert schema["docs"]["config"]["params"]["vectors"] == schema["docs@2"]["config"]["params"]["vectors"]
    assert schema["docs"]["payload_schema"] == schema["docs@2"]["payload_schema"]
    again = reshard(world)
    assert isinstance(again, ReshardPlan)
    assert not again.changes
    assert collections.show(world.database, world.store.endpoint, "docs").is_whole
    check_settled(world, "docs@2")


def test_a_dry_run_changes_nothing(world: World) -> None:
    ingest_first(world)
    names = world.store.client.get("/collections").json()["result"]
    jobs = world.sql("SELECT count(*) FROM rag.ingestion_jobs")
    plan = operation.plan(session_of(world), request_of(world))
    shards = request_of(world).shards
    assert (plan.source, plan.target, plan.before.shards, plan.after.shards) == ("docs", "docs@2", 6, shards)
    assert plan.changes
    assert world.store.client.get("/collections").json()["result"] == names
    assert world.sql("SELECT count(*) FROM rag.ingestion_jobs") == jobs


@pytest.mark.campaign(sample=4)
@pytest.mark.parametrize("effects", range(_MOST_EFFECTS))
def test_killed_anywhere_it_is_continued_and_loses_nothing(
    world: World, effects: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ragops.adapters.qdrant import copying

    monkeypatch.setattr(copying, "PAGE", 3)
    monkeypatch.setattr(operation, "_NOTE_SECONDS", 0.0)
    ingest_first(world)
    before = whole(world, "docs")
    ended = forked(lambda: reshard(world), effects)
    assert ended in (0, -signal.SIGKILL)
    assert effects < _MOST_EFFECTS - 1 or ended == 0, "the campaign ends before the reshard does"
    live, count = points_of(world)
    assert count == len(whole(world, live)), "chunks and points are the same in what is asked"
    assert whole(world, live) == before
    assert whole(world, "docs") == before, "the old points are there until they are dropped"
    reshard(world)
    assert whole(world, "docs@2") == before
    check_settled(world, "docs@2")


@pytest.mark.campaign(sample=3)
@pytest.mark.parametrize("effects", range(10, _MOST_EFFECTS, 3))
def test_what_is_ingested_between_a_kill_and_the_next_run_is_copied(
    world: World, effects: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ragops.adapters.qdrant import copying

    monkeypatch.setattr(copying, "PAGE", 3)
    monkeypatch.setattr(operation, "_NOTE_SECONDS", 0.0)
    ingest_first(world)
    forked(lambda: reshard(world), effects)
    mutate(world)
    check_mutated(world.run())
    live = points_of(world)[0]
    now = whole(world, live)
    reshard(world)
    then = whole(world, "docs@2")
    assert {one: (then[one], now.get(one)) for one in then if then[one] != now.get(one)} == {}
    assert then.keys() == now.keys()
    texts = " ".join(payload["text"] for payload, _ in whole(world, "docs@2").values())
    assert "word900" in texts
    assert "word300" not in texts, "a document that was deleted stays deleted"


def check_mutated(report: CollectionReport) -> None:
    """Everything that `mutate` did was taken in, and what could not be read is named."""
    assert report.refused is None
    assert (report.added, report.changed, report.moved, report.deleted, report.unchanged) == (1, 1, 1, 1, 1)
    assert [one.path for one in report.failed] == ["bad.md"]


def test_a_payload_that_changes_under_its_id_between_two_runs_is_copied_again(world: World) -> None:
    """The ids would be the same: only that an ingest ran meanwhile shows that what was copied is old."""
    ingest_first(world)
    with pytest.MonkeyPatch.context() as broken:
        stop_before(broken, "require_equal")
        with pytest.raises(UnhealthyError):
            reshard(world)
    body = {"limit": 1, "with_payload": True, "with_vector": True}
    (point,) = world.store.post("/collections/docs/points/scroll", body)["points"]
    some = point["id"]
    point["payload"]["heading"] = "another"
    world.store.client.put("/collections/docs/points?wait=true", json={"points": [point]}).raise_for_status()
    assert world.run().refused is None
    assert isinstance(reshard(world), ReshardResult)
    assert whole(world, "docs@2")[some][0]["heading"] == "another"


def stop_before(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Have a run fail before a step of its copy."""

    def fail(*_: object, **__: object) -> None:
        raise UnhealthyError("qdrant_unreachable", "gone", "start it")

    monkeypatch.setattr(collection_copy.CollectionCopy, step, fail)


def at_page(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Do something once, after the first page was copied."""
    from ragops.adapters.qdrant import copying

    monkeypatch.setattr(copying, "PAGE", 3)
    left, real = [action], copying.copy_page

    def page(*values: Any) -> Any:
        found = real(*values)
        if left:
            left.pop()()
        return found

    monkeypatch.setattr(copying, "copy_page", page)


def test_no_ingest_works_on_the_collection_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest_first(world)
    found: list[Any] = []

    def disturb() -> None:
        found.append(world.ingest().collections[0].refused)
        with pytest.raises(LockedError):
            drop_old(world.database, world.store.endpoint, ["docs"])
        with pytest.raises(LockedError):
            reshard(world)

    monkeypatch.setattr(jobs, "LOCK_SECONDS", 0.0)
    at_page(monkeypatch, disturb)
    before = whole(world, "docs")
    assert isinstance(reshard(world), ReshardResult)
    assert [one.code for one in found] == ["ingest_running"]
    assert whole(world, "docs@2") == before
    check_settled(world, "docs@2")


def test_ingests_that_try_all_the_time_lose_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process ingests whenever it gets the lock: before, between the steps, right after the switch."""
    from ragops.adapters.qdrant import copying

    monkeypatch.setattr(copying, "PAGE", 2)
    monkeypatch.setattr(jobs, "LOCK_SECONDS", 0.0)
    for number in range(30):
        world.write(f"{number:02}.md", words(number * 10, 20))
    world.run()
    end, refused, done = threading.Event(), 0, 0

    def write() -> None:
        nonlocal refused, done
        number = 1000
        while not end.is_set():
            number += 1
            world.write(f"more/{number}.md", words(number, 20))
            report = world.run()
            refused, done = refused + bool(report.refused), done + (not report.refused)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(20):
            with contextlib.suppress(LockedError):
                if isinstance(reshard(world), ReshardResult):
                    break
    finally:
        end.set()
        writer.join()
    world.run()
    live, count = points_of(world)
    assert (live, refused > 0, done > 0) == ("docs@2", True, True)
    assert count == len(world.store.points(live))
    there = {payload["path"] for payload in world.store.points(live).values()}
    assert there == {path for (path,) in world.sql("SELECT path FROM rag.documents WHERE status = 'indexed'")}


def test_what_others_write_into_the_collection_meanwhile_is_made_up_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest_first(world)
    ids = sorted(whole(world, "docs"))

    def write() -> None:
        point = {"id": "00000000-0000-0000-0000-000000000001", "vector": [1.0] * 64, "payload": {"collection": "docs"}}
        world.store.client.put("/collections/docs/points?wait=true", json={"points": [point]}).raise_for_status()
        world.store.post("/collections/docs/points/delete?wait=true", {"points": [ids[0]]})

    at_page(monkeypatch, write)
    result = reshard(world)
    assert isinstance(result, ReshardResult)
    assert whole(world, "docs@2") == whole(world, "docs")
    assert ids[0] not in whole(world, "docs@2")


def test_a_run_with_another_aim_removes_the_copy_that_was_given_up(world: World) -> None:
    ingest_first(world)
    before = whole(world, "docs")
    with pytest.MonkeyPatch.context() as broken:
        stop_before(broken, "settle")
        with pytest.raises(UnhealthyError):
            reshard(world)
    world.sql(
        "UPDATE rag.ingestion_jobs SET details = jsonb_set(details, '{reshard,shards}', '99') WHERE details ? 'reshard'"
    )
    result = reshard(world)
    assert isinstance(result, ReshardResult)
    assert result.plan.target == "docs@3"
    names = {one["name"] for one in world.store.client.get("/collections").json()["result"]["collections"]}
    assert names == {"docs", "docs@3"}
    assert whole(world, "docs@3") == before
    check_settled(world, "docs@3")


def test_after_a_rebuild_and_before_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest_first(world)
    rebuild(world)
    monkeypatch.setattr(operation, "layout_of", lambda _info: ShardLayout(6, 1))
    result = reshard(world)
    assert isinstance(result, ReshardResult)
    assert (result.plan.source, result.plan.target) == ("docs@2", "docs@3")
    rebuild(world)
    check_settled(world, "docs@4")


def test_a_full_disk_is_refused_before_the_second_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragops.adapters.qdrant import copying

    monkeypatch.setattr(copying, "PAGE", 3)
    ingest_first(world)
    with pytest.raises(MissingError, match="cannot reshard docs: it needs") as caught:
        reshard(world, free=100)
    assert caught.value.code == "disk_full"
    assert points_of(world)[0] == "docs"
    assert isinstance(reshard(world), ReshardResult)


def test_the_development_server_and_a_collection_without_points_are_refused(world: World) -> None:
    alone = FakeSession(world, world.store.endpoint)
    with pytest.raises(UsageError, match="the embedded runtime has one development server") as caught:
        operation.reshard(alone, request_of(world))  # type: ignore[arg-type]
    assert caught.value.code == "not_a_cluster"
    with pytest.raises(UsageError, match="cannot reshard docs: it has no points yet") as caught:
        reshard(world)
    assert "`ragops collection set docs --shards N`" in caught.value.hint
    with pytest.raises(UsageError, match="cannot find collection other"):
        reshard(world, replace(request_of(world), collection="other"))
    ingest_first(world)
    with pytest.raises(UsageError, match="3 copies need as many nodes, there are 1"):
        reshard(world, request_of(world, copies=3))


def test_a_stale_run_of_another_machine_writes_into_the_live_points(world: World) -> None:
    """It has read the collections before the switch, and gets the lock after it."""
    ingest_first(world)
    with open_store(world.database) as rows:
        stale = rows.collections()[0]
        reshard(world)
        assert (stale.points, rows.current(stale).points) == ("docs", "docs@2")


def test_the_next_run_continues_behind_the_last_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragops.adapters.qdrant import copying

    monkeypatch.setattr(copying, "PAGE", 3)
    monkeypatch.setattr(operation, "_NOTE_SECONDS", 0.0)
    ingest_first(world)
    pages: list[Any] = []
    real = copying.copy_page

    def page(*values: Any) -> Any:
        if len(pages) == 2:
            pages.append("failed")
            raise UnhealthyError("qdrant_unreachable", "gone", "start it")
        pages.append(real(*values))
        return pages[-1]

    monkeypatch.setattr(copying, "copy_page", page)
    with pytest.raises(UnhealthyError):
        reshard(world)
    assert operation.plan(session_of(world), request_of(world)).resumed == 6
    total = len(whole(world, "docs"))
    assert isinstance(reshard(world), ReshardResult)
    assert sum(one.points for one in pages[3:]) == total - 6
    assert whole(world, "docs@2") == whole(world, "docs")
