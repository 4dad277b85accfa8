"""Writes on a server of gRPC whose nodes hang, are slow, or answer: who answers is waited for, who hangs is left."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID

import grpc
import pytest
from qdrant_client import grpc as messages
from qdrant_client.grpc import collections_service_pb2_grpc, points_service_pb2_grpc

from ragops.adapters.cancellation import new_run
from ragops.adapters.qdrant import writing
from ragops.adapters.qdrant.addresses import Address
from ragops.adapters.qdrant.client import Client, Point
from ragops.adapters.qdrant.failures import RequestFailedError
from ragops.errors import InterruptedRunError

if TYPE_CHECKING:
    from collections.abc import Iterator

POINT = Point(UUID(int=1), [1.0], {})


class Node(points_service_pb2_grpc.PointsServicer, collections_service_pb2_grpc.CollectionsServicer):
    """A node whose writes, or all of whose answers, wait for an event."""

    def __init__(self) -> None:
        self.writing, self.awake = threading.Event(), threading.Event()
        self.writes: list[str] = []
        self.hellos, self.writes_after, self.refuses = 0, 0, False
        self._server = grpc.server(ThreadPoolExecutor(8))
        points_service_pb2_grpc.add_PointsServicer_to_server(self, self._server)
        collections_service_pb2_grpc.add_CollectionsServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.address = Address(f"node {port}", f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}")

    def Upsert(self, request: Any, context: Any) -> Any:
        return self._write("upsert", context)

    def Delete(self, request: Any, context: Any) -> Any:
        return self._write("delete", context)

    def CollectionExists(self, request: Any, context: Any) -> Any:
        self.hellos += 1
        self._hold(self.awake, context)
        if self.hellos == self.writes_after:
            self.writing.set()
        return messages.CollectionExistsResponse()

    def _write(self, what: str, context: Any) -> Any:
        if self.refuses:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "wrong size")
        self._hold(self.awake, context)
        self._hold(self.writing, context)
        if context.is_active():
            self.writes.append(what)
        return messages.PointsOperationResponse(result=messages.UpdateResult(status=2))

    @staticmethod
    def _hold(event: threading.Event, context: Any) -> None:
        while context.is_active() and not event.wait(0.01):
            pass

    def close(self) -> None:
        self.awake.set()
        self.writing.set()
        self._server.stop(0).wait(10)


@pytest.fixture
def nodes() -> Iterator[list[Node]]:
    made = [Node(), Node()]
    for node in made:
        node.awake.set()
        node.writing.set()
    yield made
    for node in made:
        node.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine makes no node hang: only what the tests hold back does."""
    monkeypatch.setattr(writing, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(writing, "HELLO_SECONDS", 5.0)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "HELLO_SECONDS", 0.5)


@pytest.mark.parametrize("what", ["upsert", "delete"])
def test_a_node_that_answers_is_waited_for(nodes: list[Node], what: str) -> None:
    """It waits for another node itself: a repeat elsewhere would wait as long."""
    nodes[0].writing.clear()
    nodes[0].writes_after = 3
    with Client([node.address for node in nodes], "key", seconds=30) as client:
        client.upsert("docs", [POINT]) if what == "upsert" else client.delete("docs", [POINT.id])
    assert nodes[0].writes == [what]
    assert nodes[0].hellos >= 3
    assert nodes[1].writes == []


@pytest.mark.parametrize("what", ["upsert", "delete"])
def test_a_node_that_hangs_is_left_long_before_the_deadline(nodes: list[Node], hasty: None, what: str) -> None:
    nodes[0].awake.clear()
    with Client([node.address for node in nodes], "key", seconds=3600) as client:
        client.upsert("docs", [POINT]) if what == "upsert" else client.delete("docs", [POINT.id])
        assert nodes[1].writes == [what]
        client.upsert("docs", [POINT])
    assert nodes[1].writes == [what, "upsert"], "the next write begins at the other node"
    assert nodes[0].writes == [], "the write was taken back"


def test_where_all_nodes_hang_the_reason_is_named(nodes: list[Node], hasty: None) -> None:
    for node in nodes:
        node.awake.clear()
    with (
        Client([node.address for node in nodes], "key", seconds=3600, attempts=2) as client,
        pytest.raises(RequestFailedError, match="it hangs"),
    ):
        client.upsert("docs", [POINT])


def test_a_refusal_is_no_silence(nodes: list[Node]) -> None:
    nodes[0].refuses = True
    with (
        Client([node.address for node in nodes], "key", seconds=30) as client,
        pytest.raises(RequestFailedError) as caught,
    ):
        client.upsert("docs", [POINT])
    assert (caught.value.failure.status, caught.value.failure.detail) == (400, "wrong size")
    assert [node.writes for node in nodes] == [[], []]


def test_an_interrupted_run_waits_no_longer(nodes: list[Node]) -> None:
    nodes[0].writing.clear()
    with (
        new_run() as run,
        Client([node.address for node in nodes], "key", seconds=3600) as client,
        pytest.raises(InterruptedRunError),
    ):
        threading.Timer(0.3, run.cancel).start()
        client.upsert("docs", [POINT])
    assert [node.writes for node in nodes] == [[], []]
