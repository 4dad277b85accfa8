"""The clients of ingest and API on real engines: the same over REST and gRPC, and no search lost with a node."""

from __future__ import annotations

import asyncio
import json
import pickle
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from ragops.adapters.qdrant.addresses import Address
from ragops.adapters.qdrant.async_client import AsyncClient
from ragops.adapters.qdrant.client import Point
from ragops.adapters.qdrant.failures import RequestFailedError
from ragops.adapters.qdrant.node_client import open_node
from ragops.adapters.qdrant.searching import Question
from ragops.errors import IntegrityError, MissingError, RagopsError
from ragops.ingest.vectors import PointsRefusedError, VectorStore
from ragops.services.contract import Endpoint, Login, Node
from ragops.services.qdrant.backup import sampling
from ragops.services.qdrant.cluster.cluster import wait_all_active
from ragops.services.qdrant.cluster.nodes import connect
from tests.qdrant_processes import KEY, Cluster, binary, cluster, free_ports
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VALUES = [1, -0.5, None, True, "ä", [], {"a": {"b": [2**53, {}]}}]
NAMES = ["docs", "ä b%c"]  # the library puts a name into a REST path as it is


class Recorder:
    """Records which nodes are ejected and come back."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def ejected(self, node: Address, reason: str) -> None:
        self.events.append(f"{node.name} ejected")

    def readmitted(self, node: Address) -> None:
        self.events.append(f"{node.name} back")


@pytest.fixture(scope="module")
def development(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    folder, (port,) = tmp_path_factory.mktemp("edge"), free_ports(1)
    (folder / "key").write_text(KEY)
    config = {"host": "127.0.0.1", "port": port, "storage": str(folder / "data"), "api_key_file": str(folder / "key")}
    (folder / "edge.json").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ragops.devserver.qdrant", str(folder / "edge.json")], stdout=log, stderr=log
        )
    try:
        wait_healthy(f"http://127.0.0.1:{port}", process, folder / "log")
        yield Address("development", f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(30)


def wait_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/healthz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    binary()
    with cluster() as made:
        yield made


@pytest.fixture(params=["development", "REST", "gRPC"])
def address(request: pytest.FixtureRequest) -> Address:
    if request.param == "development":
        return request.getfixturevalue("development")
    made = request.getfixturevalue("server")
    return Address("one", made.url(), made.grpc_url() if request.param == "gRPC" else "")


@pytest.mark.parametrize("name", NAMES)
def test_points_are_stored_found_and_deleted(address: Address, name: str) -> None:
    points = [Point(UUID(int=n), [1.0, n / 10], {"collection": name, "n": n, "x": VALUES}) for n in range(3)]
    with VectorStore([address], KEY) as store:
        store.ensure(name, 2)
        store.ensure(name, 2)
        store.upsert(name, points)
        assert store.count(name) == 3
        assert [sorted(page) for page in store.pages(name)] == [[point.id for point in points]]
        found = store.collections_of(name, [points[0].id, UUID(int=99)])
        assert found == {points[0].id: name}
        hits = asyncio.run(search(address, name, [1.0, 0.0]))
        assert [hit.id for hit in hits] == [str(point.id) for point in points]
        assert dict(hits[1].payload) == points[1].payload
        assert hits[0].score == pytest.approx(1)
        store.delete(name, [points[0].id])
        assert store.count(name) == 2
        with pytest.raises(IntegrityError, match="2 numbers, Cosine"):
            store.ensure(name, 3)
        with pytest.raises(PointsRefusedError):
            store.upsert(name, [Point(UUID(int=1), [1.0], {})])
    assert name in asyncio.run(names(address))


def test_samples_of_a_drill(address: Address) -> None:
    with VectorStore([address], KEY) as store:
        store.ensure("sampled", 1)
        store.upsert("sampled", [Point(UUID(int=n), [1.0], {"n": n, "x": VALUES}) for n in range(5)])
    node = Node(address.name, address.url, address.grpc_url)
    login = {"operator": Login("", "key", SecretStr(KEY))}
    endpoint = Endpoint("qdrant", "", "", "docker", "127.0.0.1", 1, logins=login, nodes=(node,))
    with connect(endpoint, 5) as nodes:
        body = {"points": [{"id": 7, "vector": [1.0], "payload": {"n": 7}}]}
        nodes.first.send("PUT", "/collections/sampled/points", body, wait="true")
    wanted = {str(UUID(int=n)): {"n": n, "x": VALUES} for n in range(5)} | {"7": {"n": 7}}
    assert sampling.some_points(endpoint, "sampled", 10) == wanted
    assert len(sampling.some_points(endpoint, "sampled", 3)) == 3
    assert sampling.points(endpoint, "sampled", ["7", str(UUID(int=1)), str(UUID(int=99))]) == {
        one: wanted[one] for one in ("7", str(UUID(int=1)))
    }
    assert sampling.points(endpoint, "nowhere", ["7"]) == {}
    assert sampling.count_points(endpoint, "sampled", 5)
    assert sampling.count_points(endpoint, "nowhere", 5) is None


def test_failures_have_the_same_status_everywhere(address: Address) -> None:
    with VectorStore([address], KEY) as store:
        store.ensure("known", 2)
    for name, vector, status in (("unknown", [1.0, 0.0], 404), ("known", [1.0], 400)):
        with pytest.raises(RequestFailedError) as caught:
            asyncio.run(search(address, name, vector))
        assert caught.value.failure.status == status
    with VectorStore([address], "wrong") as store, pytest.raises(MissingError) as refused:
        store.count("known")
    assert refused.value.code == "qdrant_key_refused"


def test_operations_change_and_read_one_node(address: Address) -> None:
    """Through the library, over gRPC or REST; a change that is already carried out is no error."""
    with VectorStore([address], KEY) as store:
        store.ensure("ops", 2)
        store.upsert("ops", [Point(UUID(int=n), [1.0, n], {}) for n in range(3)])
    with open_node(address, KEY, 30) as node:
        assert node.count("ops") == 3
        (ids,) = node.point_ids("ops")
        assert node.has_points("ops", ids)
        assert not node.has_points("ops", [*ids, UUID(int=9)])
        node.change_aliases({"one": "ops", "two": "ops"})
        node.change_aliases({"three": "ops"}, ["one"])
        assert node.aliases() == {"two": "ops", "three": "ops"}
        with pytest.raises(RagopsError) as missing:
            node.count("gone")
        assert missing.value.code == "qdrant_not_found"
        node.delete_collection("ops")
        node.delete_collection("ops")
        assert "ops" not in node.collection_names()
        assert node.aliases() == {}


def test_shard_keys_and_optimizers_over_both_protocols(server: Cluster) -> None:
    for grpc_url in ("", server.grpc_url()):
        with open_node(Address("one", server.url(), grpc_url), KEY, 30) as node:
            body = {"vectors": {"size": 2, "distance": "Dot"}, "sharding_method": "custom", "shard_number": 1}
            node.change("PUT", "/collections/keyed", body)
            node.create_shard_key("keyed", "a", 2)
            node.create_shard_key("keyed", 7, 1)
            node.start_optimizers("keyed")
            keys = [shard["shard_key"] for shard in node.shards("keyed")["local_shards"]]
            assert sorted(map(str, keys)) == ["7", "a", "a"]
            node.delete_collection("keyed")


def test_a_dump_does_not_import_the_library(server: Cluster, tmp_path: Path) -> None:
    """It needs nothing of it, and would wait for it longer than for a small collection."""
    (tmp_path / "endpoint").write_bytes(pickle.dumps((server.endpoint, tmp_path / "parts")))
    done = subprocess.run(
        [sys.executable, "-c", DUMP, tmp_path / "endpoint"], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    assert (tmp_path / "parts" / "collections.json").is_file()


DUMP = """
import pickle, sys
from ragops.services.qdrant.backup.backup import QdrantBackup
from tests import backup_helpers
from tests.qdrant_processes import NoControl
endpoint, folder = pickle.load(open(sys.argv[1], "rb"))
before = set(sys.modules)
backup_helpers.dump(QdrantBackup(), endpoint, NoControl(), folder)
print([name for name in ("qdrant_client",) if name in set(sys.modules) - before])
"""


def client(*addresses: Address, observer: Recorder | None = None) -> AsyncClient:
    return AsyncClient(addresses, lambda: KEY, seconds=2, monotonic=time.monotonic, observer=observer or Recorder())


async def search(address: Address, name: str, vector: list[float]) -> Any:
    made = client(address)
    try:
        await made.check_ready()
        return await made.query(name, Question(vector, None, 10))
    finally:
        await made.close()


async def names(address: Address) -> list[str]:
    made = client(address)
    try:
        return await made.collections()
    finally:
        await made.close()


# --- a node is lost ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    binary()
    with cluster(3) as made:
        with VectorStore.at(made.endpoint) as store:
            store.ensure("docs", 4)
            store.upsert("docs", [Point(UUID(int=n), [1.0, n, 0, 0], {}) for n in range(50)])
        yield made


class Load:
    """Searches, and writes, until it is over."""

    def __init__(self, made: Cluster) -> None:
        self.made = made
        self.recorder = Recorder()
        self.failures: list[str] = []
        self.searches = 0
        self.stored: list[UUID] = []
        self.ejected: list[Address] = []
        self.is_over = False
        self.threads = [
            threading.Thread(target=lambda: asyncio.run(self.search())),
            threading.Thread(target=self.write),
        ]

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over = True
        for thread in self.threads:
            thread.join(120)

    async def search(self) -> None:
        numbers = self.made.numbers
        addresses = [Address(f"{n}", self.made.url(n), self.made.grpc_url(n)) for n in numbers]
        made = client(*addresses, observer=self.recorder)
        while not self.is_over:
            try:
                found = await asyncio.gather(*(made.query("docs", Question([1.0, 1, 0, 0], None, 5)) for _ in range(3)))
                assert [len(hits) for hits in found] == [5] * 3
            except Exception as error:
                self.failures.append(f"search: {error!r}")
            self.ejected = made.balancer.ejected()
            self.searches += 3
            await asyncio.sleep(0.01)
        await made.close()

    def write(self) -> None:
        number = 1000
        with VectorStore.at(self.made.endpoint) as store:
            while not self.is_over:
                number += 1
                try:
                    store.upsert("docs", [Point(UUID(int=number), [1.0, number, 0, 0], {})])
                    self.stored.append(UUID(int=number))
                except Exception as error:
                    self.failures.append(f"write: {error!r}")
                time.sleep(0.02)


@pytest.mark.fault
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_node_fails_no_search_and_no_write(three: Cluster, how: signal.Signals) -> None:
    with Load(three) as load:
        wait_until(lambda: load.searches > 20 and load.stored, what="load")
        if how is signal.SIGKILL:
            three.stop(2, how)
        else:
            three.send(2, how)
        wait_until(lambda: "2 ejected" in load.recorder.events, what="the node ejected")
        searches, stored = load.searches, len(load.stored)
        wait_until(
            lambda: load.searches > searches + 50 and len(load.stored) > stored + 5, what="load without the node"
        )
        if how is signal.SIGKILL:
            three.start(2)
        else:
            three.send(2, signal.SIGCONT)
        wait_until(lambda: "2 back" in load.recorder.events and not load.ejected, what="the node re-admitted")
        searches = load.searches
        wait_until(lambda: load.searches > searches + 20, what="load over all nodes")
    assert load.failures == []
    wait_all_active(three.endpoint, 90)
    with VectorStore.at(three.endpoint) as store:
        assert set(store.collections_of("docs", load.stored)) == set(load.stored)
