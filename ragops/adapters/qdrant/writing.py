"""Writes over gRPC, which wait for a node as long as it answers another call.

A write waits until the servers have agreed to leave out a node that does not take it, which is a matter of seconds. A
node that hangs, or is cut off, looks the same to a client that only waits; so the node is also asked a question that
it answers by itself.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from qdrant_client import grpc as qdrant_grpc

from ragops.adapters import cancellation
from ragops.adapters.background import BackgroundTask
from ragops.adapters.qdrant.failures import NO_ANSWER, Failure, RequestFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qdrant_client import QdrantClient

LOOK_SECONDS = 0.5  # without an answer, until the node is asked whether it answers at all
HELLO_SECONDS = 0.5
_SILENT = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class NodeHangsError(RequestFailedError):
    """The node answers nothing any more; its client is to be closed, which ends the call."""

    def __init__(self) -> None:
        super().__init__(Failure(NO_ANSWER, "no answer in time", "it hangs"))


def upsert(points: Sequence[qdrant_grpc.PointStruct], seconds: float, client: QdrantClient, name: str) -> None:
    """Store points. Raises NodeHangsError, else what the library raises."""
    request = qdrant_grpc.UpsertPoints(collection_name=name, wait=True, points=points)
    _watch(partial(client.grpc_points.Upsert, request, timeout=seconds), client)


def delete(ids: Sequence[qdrant_grpc.PointId], seconds: float, client: QdrantClient, name: str) -> None:
    """Delete points. Raises as `upsert`."""
    selector = qdrant_grpc.PointsSelector(points=qdrant_grpc.PointsIdsList(ids=ids))
    request = qdrant_grpc.DeletePoints(collection_name=name, wait=True, points=selector)
    _watch(partial(client.grpc_points.Delete, request, timeout=seconds), client)


def _watch(call: Callable[[], Any], client: QdrantClient) -> None:
    # In a thread: the library's interceptor waits for the answer also where gRPC would return a future.
    task = BackgroundTask(call, "qdrant-write")
    while not task.wait(LOOK_SECONDS):
        cancellation.check()
        if not _answers(client) and not task.is_done:
            raise NodeHangsError
    task.result()


def _answers(client: QdrantClient) -> bool:
    """Return whether the node answers a question that it needs no other node and no disk for."""
    request = qdrant_grpc.CollectionExistsRequest(collection_name="ragops-health")
    try:
        client.grpc_collections.CollectionExists(request, timeout=HELLO_SECONDS)
    except grpc.RpcError as error:
        return error.code() not in _SILENT
    return True
