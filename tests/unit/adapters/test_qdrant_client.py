"""The clients of Qdrant over gRPC, against servers that answer what they are told to; the same over REST elsewhere."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID

import grpc
import pytest
from qdrant_client import grpc as messages
from qdrant_client.grpc import collections_service_pb2_grpc, points_service_pb2_grpc

from ragops.adapters.qdrant.addresses import Address
from ragops.adapters.qdrant.async_client import AsyncClient
from ragops.adapters.qdrant.client import Client, Point
from ragops.adapters.qdrant.failures import NO_ANSWER, RequestFailedError
from ragops.adapters.qdrant.searching import Question
from ragops.errors import MissingError, RagopsError, UnhealthyError
from ragops.ingest.vectors import PointsRefusedError, VectorStore
from tests.web_server import WebServer

if TYPE_CHECKING:
    from collections.abc import Iterator

ID = UUID(int=7)


class Node:
    """A node whose gRPC answers with `code` if it is set, after `delay` seconds; its REST says that it is ready."""

    def __init__(self) -> None:
        self.code: grpc.StatusCode | None = None
        self.words = "its words"
        self.delay = 0.0
        self.calls: list[str] = []
        self.keys: list[str] = []
        node = self

        class Points(points_service_pb2_grpc.PointsServicer):
            def Query(self, request: Any, context: Any) -> Any:
                node.answer("Query", context)
                point = messages.ScoredPoint(id=messages.PointId(uuid=str(ID)), score=0.5)
                point.payload["path"].string_value = "ä.md"
                point.payload["document_id"].integer_value = 3
                return messages.QueryResponse(result=[point])

            def Count(self, request: Any, context: Any) -> Any:
                node.answer(f"Count {request.collection_name}", context)
                return messages.CountResponse(result=messages.CountResult(count=5))

            def Upsert(self, request: Any, context: Any) -> Any:
                node.answer(f"Upsert {len(request.points)} wait={request.wait}", context)
                return messages.PointsOperationResponse(result=messages.UpdateResult(operation_id=1, status=2))

        class Collections(collections_service_pb2_grpc.CollectionsServicer):
            def CollectionExists(self, request: Any, context: Any) -> Any:
                node.answer("CollectionExists", context)
                return messages.CollectionExistsResponse(result=messages.CollectionExists(exists=True))

        self.services = (Points(), Collections())
        self.rest = WebServer(lambda _request: (200, b""))
        self.port = 0
        self.start()

    def start(self) -> None:
        self.server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        points_service_pb2_grpc.add_PointsServicer_to_server(self.services[0], self.server)
        collections_service_pb2_grpc.add_CollectionsServicer_to_server(self.services[1], self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()

    def stop(self) -> None:
        self.server.stop(None).wait()

    def close(self) -> None:
        self.stop()
        self.rest.close()

    def answer(self, call: str, context: Any) -> None:
        self.calls.append(call)
        self.keys.append(dict(context.invocation_metadata()).get("api-key", ""))
        time.sleep(self.delay)
        if self.code is not None:
            context.abort(self.code, self.words)

    @property
    def address(self) -> Address:
        return Address("one", f"http://127.0.0.1:{self.rest.port}", f"http://127.0.0.1:{self.port}")


@pytest.fixture
def node() -> Iterator[Node]:
    made = Node()
    yield made
    made.close()


@pytest.fixture
def other() -> Iterator[Node]:
    made = Node()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("code", "kind", "name", "calls"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, MissingError, "qdrant_key_refused", 1),
        (grpc.StatusCode.PERMISSION_DENIED, MissingError, "qdrant_key_refused", 1),
        (grpc.StatusCode.INVALID_ARGUMENT, PointsRefusedError, "qdrant_refused", 1),
        (grpc.StatusCode.NOT_FOUND, RagopsError, "qdrant_error", 1),
        (grpc.StatusCode.UNIMPLEMENTED, MissingError, "qdrant_not_supported", 1),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, UnhealthyError, "qdrant_unreachable", 3),
        (grpc.StatusCode.INTERNAL, UnhealthyError, "qdrant_unreachable", 3),
        (grpc.StatusCode.UNAVAILABLE, UnhealthyError, "qdrant_unreachable", 3),
    ],
)
def test_status_codes_mean_what_those_of_rest_mean(
    node: Node, code: grpc.StatusCode, kind: type[RagopsError], name: str, calls: int
) -> None:
    node.code = code
    store = VectorStore([node.address], "the-key", seconds=5, attempts=3)
    with store, pytest.raises(kind, match="its words") as caught:
        store.upsert("docs", [Point(ID, [1.0], {})])
    assert (caught.value.code, len(node.calls)) == (name, calls)
    assert "the-key" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "is_of_node"),
    [("Too many requests", False), ("transport error, source: tonic::transport::Error(Transport, GoAway)", True)],
)
def test_an_exhausted_connection_between_nodes_is_a_failure_of_the_node(
    node: Node, words: str, is_of_node: bool
) -> None:
    node.code, node.words = grpc.StatusCode.RESOURCE_EXHAUSTED, words
    with Client([node.address], "", seconds=5, attempts=1) as client, pytest.raises(RequestFailedError) as caught:
        client.count("docs")
    assert caught.value.failure.is_of_node is is_of_node


def test_a_write_sends_the_key_and_waits(node: Node) -> None:
    with VectorStore([node.address], "the-key", seconds=5) as store:
        store.upsert("docs", [Point(ID, [1.0], {"path": "ä"})])
        assert store.count("a/b%c") == 5
    assert node.calls == ["Upsert 1 wait=True", "Count a/b%c"]
    assert node.keys == ["the-key"] * 2


def test_a_lost_node_is_passed_over_for_the_next(node: Node, other: Node) -> None:
    node.stop()
    with Client([node.address, other.address], "the-key", seconds=5) as client:
        assert [client.count("docs"), client.count("docs")] == [5, 5]
    assert len(other.calls) == 2


def test_a_node_that_hangs_is_given_up_after_its_time(node: Node, other: Node) -> None:
    node.delay = 3
    with Client([node.address, other.address], "the-key", seconds=1) as client:
        assert client.count("docs") == 5
    assert (len(node.calls), len(other.calls)) == (1, 1)


# --- the API's client ------------------------------------------------------------------------------------------------


class Recorder:
    """Records ejections; its clock moves only by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.reasons: list[str] = []
        self.back: list[Address] = []

    def monotonic(self) -> float:
        return self.seconds

    def ejected(self, node: Address, reason: str) -> None:
        self.reasons.append(reason)

    def readmitted(self, node: Address) -> None:
        self.back.append(node)


def searching(keys: list[str], recorder: Recorder, *nodes: Node, seconds: float = 5) -> AsyncClient:
    addresses = [node.address for node in nodes]
    return AsyncClient(addresses, lambda: keys[0], seconds=seconds, monotonic=recorder.monotonic, observer=recorder)


def test_hits_are_those_of_rest(node: Node) -> None:
    async def run() -> Any:
        client = searching(["key"], Recorder(), node)
        found = await client.query("docs", Question([0.5], None, 3))
        await client.close()
        return found

    [hit] = asyncio.run(run())
    assert (hit.id, hit.score, hit.payload) == (str(ID), 0.5, {"path": "ä.md", "document_id": 3})


def test_no_search_fails_while_a_node_is_lost_and_it_comes_back_after_a_probe(node: Node, other: Node) -> None:
    async def run() -> Recorder:
        recorder = Recorder()
        client = searching(["key"], recorder, node, other)
        await client.query("docs", Question([0.5], None, 3))
        node.stop()
        for _ in range(6):
            assert await client.query("docs", Question([0.5], None, 3))
        assert client.balancer.ejected() == [node.address]
        node.start()
        node.calls.clear()
        recorder.seconds += 6
        assert await client.query("docs", Question([0.5], None, 3))
        async with asyncio.timeout(10):
            while client.balancer.ejected():
                recorder.seconds += 6
                await client.query("docs", Question([0.5], None, 3))
                await asyncio.sleep(0.05)
        assert "CollectionExists" in node.calls, "a probe before the first search"
        for _ in range(4):
            assert await client.query("docs", Question([0.5], None, 3))
        await client.close()
        return recorder

    recorder = asyncio.run(run())
    assert recorder.back == [node.address]
    assert set(recorder.reasons) == {"cannot be reached"}


def test_a_slow_search_is_asked_of_a_second_node_and_no_node_is_ejected_for_it(node: Node, other: Node) -> None:
    hedged: list[bool] = []
    question = Question([0.5], None, 3)

    async def run() -> list[int]:
        addresses = [node.address, other.address]
        client = AsyncClient(
            addresses, lambda: "k", seconds=20, monotonic=time.monotonic, observer=Recorder(),
            on_hedge=lambda: hedged.append(True),
        )  # fmt: skip
        for _ in range(100):
            await client.query("docs", question)
        hedged.clear()
        node.delay = 2
        slow, quick = client.balancer._nodes
        slow._latency.clear()  # it is asked first then
        # Whatever this machine did during the searches above.
        quick._latency["docs"] = 0.002, time.monotonic()
        client._hedging.delay, client._hedging._budget = 0.02, 3.0
        found = [len(await client.query("docs", question))]
        now = time.monotonic()
        assert slow.cost("docs", now) > quick.cost("docs", now), "the one whose call was cancelled counts as slow"
        found += [len(await client.query("docs", question)) for _ in range(2)]
        assert client.balancer.ejected() == []
        assert [one.in_flight for one in client.balancer._nodes] == [0, 0]
        await client.close()
        return found

    assert asyncio.run(run()) == [1, 1, 1]
    assert len(hedged) >= 1


def test_a_search_is_given_up_after_its_time_at_each_node(node: Node) -> None:
    node.delay = 1

    recorder = Recorder()

    async def run() -> RequestFailedError:
        client = searching(["key"], recorder, node, seconds=0.1)
        with pytest.raises(RequestFailedError) as caught:
            await client.query("docs", Question([0.5], None, 3))
        await client.close()
        return caught.value

    failure = asyncio.run(run()).failure
    assert (failure.status, failure.reason) == (NO_ANSWER, "no answer in time")
    assert recorder.reasons == ["no answer in time"] * 2


def test_a_rotated_key_is_sent_from_the_next_search_on(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ["old"]

    async def run() -> None:
        client = searching(keys, Recorder(), node)
        await client.query("docs", Question([0.5], None, 3))
        node.delay = 0.3
        before = asyncio.create_task(client.query("docs", Question([0.5], None, 3)))
        await asyncio.sleep(0.1)
        keys[0] = "new"
        assert await client.query("docs", Question([0.5], None, 3))
        assert await before, "a search that runs is not cut off"
        await client.close()

    asyncio.run(run())
    assert node.keys == ["old", "old", "new"]


def test_a_wrong_key_is_no_failure_of_the_node(node: Node) -> None:
    node.code = grpc.StatusCode.UNAUTHENTICATED

    async def run() -> AsyncClient:
        client = searching(["key"], Recorder(), node)
        with pytest.raises(RequestFailedError) as caught:
            await client.query("docs", Question([0.5], None, 3))
        assert caught.value.failure.status == 401
        assert client.balancer.ejected() == []
        await client.close()
        return client

    asyncio.run(run())
    assert len(node.calls) == 1


# --- what imports it -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "module",
    [
        "ragops.cli.main",
        "ragops.operations.observe.status",
        "ragops.operations.observe.health",
        "ragops.operations.observe.consistency",
        "ragops.services.qdrant.health",
        "ragops.services.qdrant.cluster.health",
        "ragops.services.qdrant.backup.backup",
    ],
)
def test_the_library_is_imported_by_long_runs_only(module: str) -> None:
    """It takes as long to import as `ragops health` takes as a whole."""
    assert imported_by(f"import {module}") == "[]"


def test_a_probe_does_not_import_the_library(node: Node) -> None:
    code = f"""
from pydantic import SecretStr
from ragops.services.contract import Endpoint, Login
from ragops.services.qdrant.health import probe
login = Login("", "key", SecretStr("key"))
options = {{"urls": "{node.address.url}"}}
endpoint = Endpoint("qdrant", "qdrant", "1.18.3", "docker", "127.0.0.1", 1, "", options, {{"operator": login}})
assert probe(endpoint, 5).checks[0].name == "reachable"
"""
    assert imported_by(code) == "[]"


def test_the_client_of_the_api_does_import_it() -> None:
    """Else the tests above could not fail."""
    assert imported_by("import ragops.adapters.qdrant.async_client") == "['qdrant_client', 'grpc']"


def imported_by(code: str) -> str:
    """Which of the two packages a new interpreter has imported after `code`."""
    code += "\nimport sys\nprint([name for name in ('qdrant_client', 'grpc') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
