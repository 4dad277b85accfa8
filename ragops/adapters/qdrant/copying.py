"""Points from one collection into another of the same servers, with all their vectors, and a comparison of both.

Over gRPC the messages of a page are passed on as they are: making models of every number would cost ten times as much.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from qdrant_client import grpc, models

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qdrant_client import QdrantClient

    from ragops.adapters.qdrant.client import Client, PointId

PAGE = 256
_ID_PAGE = 5000
_NUMBER_BYTES = 8


class CopiedPage(NamedTuple):
    """A page that was copied: its number of points, their size in bytes, the id of the next one, None at the end."""

    points: int
    size: int
    next: PointId | None


class IdDigest(NamedTuple):
    """The number of points of a collection, and a SHA-256 of their ids in the order of the ids."""

    points: int
    sha256: str


class Renaming(NamedTuple):
    """A field of payloads that names the collection of its point: if it is `old`, a copy has `new`."""

    field: str
    old: str
    new: str


def copy_page(client: Client, source: str, target: str, start: PointId | None, renaming: Renaming) -> CopiedPage:
    """Copy the points of `source` from the id `start` on, a page of them. Raises RequestFailedError."""
    if client.has_grpc:
        return _copy_by_grpc(client, source, target, start, renaming)
    return _copy_by_rest(client, source, target, start, renaming)


def copy_points(client: Client, source: str, target: str, ids: Sequence[PointId], renaming: Renaming) -> None:
    """Copy the points of these ids. Raises RequestFailedError."""
    wanted: list[Any] = [_rest_id(one) for one in ids]
    found = client.call(
        lambda library, name: library.retrieve(name, wanted, with_payload=True, with_vectors=True), source
    )
    _upsert_records(client, target, found, renaming)


def digest_ids(client: Client, collection: str) -> IdDigest:
    """Return the digest of all ids of a collection. Raises RequestFailedError."""
    digest, count = hashlib.sha256(), 0
    for one in _ids(client, collection):
        digest.update(_id_bytes(one))
        count += 1
    return IdDigest(count, digest.hexdigest())


def differences(client: Client, source: str, target: str) -> Iterator[tuple[PointId, bool]]:
    """Return the ids that only one of the collections has; True with those that `target` lacks.

    Both are read at once, in the order of the ids. Raises RequestFailedError.
    """
    left, right = _ids(client, source), _ids(client, target)
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if one is not None and _order(one) < _order(other):
            yield one, True
            one = next(left, None)
        elif other is not None and _order(other) < _order(one):
            yield other, False
            other = next(right, None)
        else:
            one, other = next(left, None), next(right, None)


def _order(point: PointId | None) -> tuple[int, int]:
    """Return the place of an id in the order in which the server lists points: numbers first, then UUIDs, the end."""
    if point is None:
        return 2, 0
    return (1, point.int) if isinstance(point, UUID) else (0, point)


def _id_bytes(point: PointId) -> bytes:
    return point.bytes if isinstance(point, UUID) else point.to_bytes(_NUMBER_BYTES, "big")


def _ids(client: Client, collection: str) -> Iterator[PointId]:
    start: PointId | None = None
    while True:
        page, start = _id_page(client, collection, start)
        yield from page
        if start is None:
            return


def _id_page(client: Client, collection: str, start: PointId | None) -> tuple[list[PointId], PointId | None]:
    if not client.has_grpc:
        offset = None if start is None else _rest_id(start)
        found, following = client.call(
            lambda library, name: library.scroll(
                name, limit=_ID_PAGE, offset=offset, with_payload=False, with_vectors=False
            ),
            collection,
        )
        return [_plain_id(one.id) for one in found], None if following is None else _plain_id(following)
    request = partial(_scroll_request, start=start, limit=_ID_PAGE, whole=False)
    answer = client.call(partial(_scroll, request, client.seconds), collection)
    return [_from_grpc(one.id) for one in answer.result], _next(answer)


# --- gRPC ------------------------------------------------------------------------------------------------------------


def _copy_by_grpc(client: Client, source: str, target: str, start: PointId | None, renaming: Renaming) -> CopiedPage:
    request = partial(_scroll_request, start=start, limit=PAGE, whole=True)
    answer = client.call(partial(_scroll, request, client.seconds), source)
    points = [_copy_of(one, renaming) for one in answer.result]
    if points:
        client.call(partial(_upsert, points, client.seconds), target)
    return CopiedPage(len(points), sum(one.ByteSize() for one in points), _next(answer))


def _scroll_request(collection: str, start: PointId | None, limit: int, *, whole: bool) -> grpc.ScrollPoints:
    return grpc.ScrollPoints(
        collection_name=collection,
        offset=None if start is None else _grpc_id(start),
        limit=limit,
        with_payload=grpc.WithPayloadSelector(enable=whole),
        with_vectors=grpc.WithVectorsSelector(enable=whole),
    )


def _scroll(request: Any, seconds: float, library: QdrantClient, collection: str) -> grpc.ScrollResponse:
    answer: grpc.ScrollResponse = library.grpc_points.Scroll(request(collection), timeout=seconds)
    return answer


def _upsert(points: Sequence[grpc.PointStruct], seconds: float, library: QdrantClient, collection: str) -> object:
    request = grpc.UpsertPoints(collection_name=collection, wait=True, points=points)
    return library.grpc_points.Upsert(request, timeout=seconds)


def _copy_of(point: grpc.RetrievedPoint, renaming: Renaming) -> grpc.PointStruct:
    copy = grpc.PointStruct(id=point.id)
    copy.payload.MergeFrom(point.payload)
    if renaming.field in copy.payload and copy.payload[renaming.field].string_value == renaming.old:
        copy.payload[renaming.field].string_value = renaming.new
    kind = point.vectors.WhichOneof("vectors_options")
    if kind == "vector":
        _copy_vector(point.vectors.vector, copy.vectors.vector)
    elif kind == "vectors":
        for name, vector in point.vectors.vectors.vectors.items():
            _copy_vector(vector, copy.vectors.vectors.vectors[name])
    return copy


def _copy_vector(found: grpc.VectorOutput, copy: grpc.Vector) -> None:
    match found.WhichOneof("vector"):
        case "dense":
            copy.dense.CopyFrom(found.dense)
        case "sparse":
            copy.sparse.CopyFrom(found.sparse)
        case "multi_dense":
            copy.multi_dense.CopyFrom(found.multi_dense)
        case _:  # a server before 1.16
            copy.data.extend(found.data)
            if found.HasField("indices"):
                copy.indices.CopyFrom(found.indices)
            if found.HasField("vectors_count"):
                copy.vectors_count = found.vectors_count


def _next(answer: grpc.ScrollResponse) -> PointId | None:
    return _from_grpc(answer.next_page_offset) if answer.HasField("next_page_offset") else None


def _from_grpc(point: grpc.PointId) -> PointId:
    return point.num if point.WhichOneof("point_id_options") == "num" else UUID(point.uuid)


def _grpc_id(point: PointId) -> grpc.PointId:
    return grpc.PointId(uuid=str(point)) if isinstance(point, UUID) else grpc.PointId(num=point)


# --- REST ------------------------------------------------------------------------------------------------------------


def _copy_by_rest(client: Client, source: str, target: str, start: PointId | None, renaming: Renaming) -> CopiedPage:
    offset = None if start is None else _rest_id(start)
    found, following = client.call(
        lambda library, name: library.scroll(name, limit=PAGE, offset=offset, with_payload=True, with_vectors=True),
        source,
    )
    size = _upsert_records(client, target, found, renaming)
    return CopiedPage(len(found), size, None if following is None else _plain_id(following))


def _upsert_records(client: Client, target: str, records: Sequence[models.Record], renaming: Renaming) -> int:
    points = [
        models.PointStruct(id=one.id, payload=_renamed(one.payload or {}, renaming), vector=_vectors(one.vector))
        for one in records
    ]
    if points:
        client.call(lambda library, name: library.upsert(name, points, wait=True), target)
    return sum(len(one.model_dump_json()) for one in points)


def _vectors(found: Any) -> Any:
    return {} if found is None else found


def _renamed(payload: Mapping[str, Any], renaming: Renaming) -> dict[str, Any]:
    is_named = payload.get(renaming.field) == renaming.old
    return {**payload, renaming.field: renaming.new} if is_named else dict(payload)


def _rest_id(point: PointId) -> Any:
    return str(point) if isinstance(point, UUID) else point


def _plain_id(value: object) -> PointId:
    return value if isinstance(value, int) else UUID(str(value))
