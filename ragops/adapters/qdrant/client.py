"""The client of long runs (ingest, drill): points and collections on `QdrantClient`, one node after another."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar
from uuid import UUID

from qdrant_client import grpc, models
from qdrant_client.conversions.conversion import payload_to_grpc
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from ragops.adapters.qdrant import library, sparse, writing
from ragops.adapters.qdrant.failures import RequestFailedError
from ragops.adapters.qdrant.searching import grpc_document, sparse_document
from ragops.adapters.qdrant.sparse import WordText  # noqa: TC001  a NamedTuple reads the annotation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from qdrant_client import QdrantClient

    from ragops.adapters.qdrant.addresses import Address

T = TypeVar("T")
PointId = int | UUID
_PAGE = 1000
_TOO_MANY_REQUESTS = 429


class Point(NamedTuple):
    """A point as it is stored; an empty `vector` is none, `words` is what the sparse vector is made of, None: none."""

    id: UUID
    vector: list[float]
    payload: dict[str, Any]
    words: WordText | None = None


class VectorParams(NamedTuple):
    """The vectors of a collection: `size` is 0 without dense ones, None if they are not a single unnamed one.

    `sparse`: whether points have the BM25 weights of their words as well.
    """

    size: int | None
    distance: str
    sparse: bool = False


class Client:
    """A client of one or several nodes: a request that failed at one of them is repeated at the next.

    Every call takes at most about `attempts` times `seconds`; all raise RequestFailedError.
    """

    def __init__(self, addresses: Sequence[Address], key: str, *, seconds: float, attempts: int = 4) -> None:
        self._key, self._seconds = key, seconds
        self._nodes = [(address, self._open(address)) for address in addresses]
        self._attempts = max(attempts, len(addresses) + 1) if len(addresses) > 1 else attempts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for _address, client in self._nodes:
            client.close()

    @property
    def has_grpc(self) -> bool:
        """Whether all nodes have gRPC."""
        return all(address.grpc_url for address, _ in self._nodes)

    @property
    def seconds(self) -> float:
        """The deadline of one request."""
        return self._seconds

    def _open(self, address: Address) -> QdrantClient:
        return library.open_client(address, self._key, self._seconds)

    def vector_params(self, collection: str) -> VectorParams:
        """Return what the vectors of a collection are."""
        params = self.call(lambda client, name: client.get_collection(name), collection).config.params
        is_sparse = sparse.NAME in (params.sparse_vectors or {})
        if isinstance(params.vectors, models.VectorParams):
            return VectorParams(params.vectors.size, params.vectors.distance.value, is_sparse)
        return VectorParams(None if params.vectors else 0, "", is_sparse)

    def describe(self, collection: str) -> dict[str, Any]:
        """Return state and configuration of a collection, as JSON has them."""
        return self.call(lambda client, name: client.get_collection(name), collection).model_dump(mode="json")

    def create_collection(self, collection: str, vectors: VectorParams, options: Mapping[str, Any]) -> None:
        """Create a collection; `options` are further parameters, as JSON has them, and `on_disk` of its vectors."""
        more = dict(options)
        dense: Any = {}
        if vectors.size:
            distance = models.Distance(vectors.distance)
            dense = models.VectorParams(size=vectors.size, distance=distance, on_disk=more.pop("on_disk", None))
        if quantization := more.get("quantization_config"):
            more["quantization_config"] = models.ScalarQuantization.model_validate(quantization)
        for name, kind in (("optimizers_config", models.OptimizersConfigDiff), ("hnsw_config", models.HnswConfigDiff)):
            if given := more.get(name):
                more[name] = kind.model_validate(given)
        weights = {sparse.NAME: models.SparseVectorParams(modifier=models.Modifier.IDF)} if vectors.sparse else None
        self.call(
            lambda client, name: client.create_collection(name, dense, sparse_vectors_config=weights, **more),
            collection,
        )

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Store points; they can be found when this returns."""
        if self.has_grpc:
            rows = [_grpc_point(one) for one in points]
            self.call(partial(writing.upsert, rows, self._seconds), collection)
        else:
            models_of = [_rest_point(one) for one in points]
            self.call(lambda client, name: client.upsert(name, models_of, wait=True), collection)

    def delete(self, collection: str, ids: Sequence[PointId]) -> None:
        """Delete points, those that are there."""
        for start in range(0, len(ids), _PAGE):
            page = ids[start : start + _PAGE]
            if self.has_grpc:
                self.call(partial(writing.delete, [_grpc_id(point) for point in page], self._seconds), collection)
            else:
                points: list[Any] = [point if isinstance(point, int) else str(point) for point in page]
                self.call(partial(_delete, models.PointIdsList(points=points)), collection)

    def count(self, collection: str) -> int:
        """Return the exact number of points."""
        return self.call(lambda client, name: client.count(name, exact=True), collection).count

    def pages(self, collection: str) -> Iterator[list[PointId]]:
        """Return the ids of all points, page by page."""
        offset = None
        while True:
            points, offset = self.call(partial(_scroll, offset, _PAGE, False), collection)
            if points:
                yield [_point_id(point.id) for point in points]
            if offset is None:
                return

    def scroll(self, collection: str, limit: int, start: PointId | None = None) -> dict[PointId, dict[str, Any]]:
        """Return the payloads of the first `limit` points from the id `start` on, by id."""
        points, _ = self.call(partial(_scroll, start, limit, True), collection)
        return {_point_id(point.id): point.payload or {} for point in points}

    def retrieve(
        self, collection: str, ids: Sequence[PointId], payload: bool | Sequence[str]
    ) -> dict[PointId, dict[str, Any]]:
        """Return the payloads, or these fields of them, of those points that are there, by id."""
        wanted: list[Any] = [point if isinstance(point, int) else str(point) for point in ids]
        selected: Any = payload if isinstance(payload, bool) else list(payload)
        points = self.call(
            lambda client, name: client.retrieve(name, wanted, with_payload=selected, with_vectors=False), collection
        )
        return {_point_id(point.id): point.payload or {} for point in points}

    def collection_names(self) -> list[str]:
        """Return the names of all collections."""
        return [item.name for item in self.call(lambda client, _name: client.get_collections(), "").collections]

    def aliases_of(self, collection: str) -> list[str]:
        """Return the aliases of a collection."""
        found = self.call(lambda client, name: client.get_collection_aliases(name), collection)
        return [item.alias_name for item in found.aliases]

    # --- changes of collections and of a cluster -----------------------------------------------------------------

    def delete_collection(self, collection: str) -> None:
        """Delete a collection with all its points; returns if there is none."""
        self.call(lambda client, name: client.delete_collection(name), collection)

    def change_aliases(self, set_to: Mapping[str, str], delete: Sequence[str]) -> None:
        """Delete aliases, then create or move those of `set_to` to their collections, all or nothing."""
        actions: list[Any] = [
            models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)) for alias in delete
        ]
        actions += [
            models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=collection, alias_name=alias))
            for alias, collection in set_to.items()
        ]
        self.call(lambda client, _name: client.update_collection_aliases(actions), "")

    def create_shard_key(self, collection: str, key: str | int, shards: int) -> None:
        """Create a shard key of custom sharding with so many shards."""
        self.call(lambda client, name: client.create_shard_key(name, key, shards_number=shards), collection)

    def replicate_shard(self, collection: str, shard: int, source: int, target: int) -> None:
        """Start to copy a shard from one peer to another."""
        order = models.ReplicateShard(shard_id=shard, from_peer_id=source, to_peer_id=target)
        operation = models.ReplicateShardOperation(replicate_shard=order)
        self.call(lambda client, name: client.cluster_collection_update(name, operation), collection)

    def start_optimizers(self, collection: str) -> None:
        """Have the segments of a collection optimized that wait for a change."""
        config = models.OptimizersConfigDiff()
        self.call(lambda client, name: client.update_collection(name, optimizers_config=config), collection)

    # --- one request --------------------------------------------------------------------------------------------

    def call(self, request: Callable[[QdrantClient, str], T], collection: str) -> T:
        """Return the answer to a request of the library, which gets its client and the name of the collection."""
        for attempt in Retrying(
            stop=stop_after_attempt(self._attempts),
            wait=wait_exponential(multiplier=0.1, max=2) + wait_random(0, 0.1),
            retry=retry_if_exception(_may_be_repeated),
            reraise=True,
        ):
            with attempt:
                return self._attempt(request, collection)
        raise AssertionError("unreachable")

    def _attempt(self, request: Callable[[QdrantClient, str], T], collection: str) -> T:
        asked = address, client = self._nodes[0]
        try:
            with library.translate_errors():
                return request(client, library.collection_path(address, collection))
        except RequestFailedError as error:
            if _may_be_repeated(error) and self._nodes[0] is asked:
                is_hanging = isinstance(error, writing.NodeHangsError)
                again = (address, self._open(address)) if is_hanging else asked
                self._nodes = [*self._nodes[1:], again]  # at once: several threads may ask
                if is_hanging:
                    client.close()  # ends all calls that wait for it
            raise


def _rest_point(point: Point) -> models.PointStruct:
    vectors: Any = point.vector
    if point.words is not None:
        vectors = {"": point.vector} if point.vector else {}
        vectors[sparse.NAME] = sparse_document(point.words)
    return models.PointStruct(id=str(point.id), vector=vectors, payload=point.payload)


def _grpc_point(point: Point) -> grpc.PointStruct:
    """Return what the library makes of the validated model, in a quarter of the processor time."""
    dense = grpc.Vector(dense=grpc.DenseVector(data=point.vector))
    if point.words is None:
        vectors = grpc.Vectors(vector=dense)
    else:
        words = grpc.Vector(document=grpc_document(point.words))
        named = {"": dense, sparse.NAME: words} if point.vector else {sparse.NAME: words}
        vectors = grpc.Vectors(vectors=grpc.NamedVectors(vectors=named))
    ident = grpc.PointId(uuid=str(point.id))
    return grpc.PointStruct(id=ident, payload=payload_to_grpc(point.payload), vectors=vectors)


def _grpc_id(point: PointId) -> grpc.PointId:
    return grpc.PointId(num=point) if isinstance(point, int) else grpc.PointId(uuid=str(point))


def _delete(points: models.PointIdsList, client: QdrantClient, name: str) -> object:
    return client.delete(name, points, wait=True)


def _scroll(
    start: PointId | None, limit: int, with_payload: bool, client: QdrantClient, name: str
) -> tuple[list[models.Record], Any]:
    offset = str(start) if isinstance(start, UUID) else start
    return client.scroll(name, limit=limit, offset=offset, with_payload=with_payload, with_vectors=False)


def _may_be_repeated(error: BaseException) -> bool:
    if not isinstance(error, RequestFailedError):
        return False
    return error.failure.is_of_node or error.failure.status == _TOO_MANY_REQUESTS


def _point_id(value: object) -> PointId:
    return value if isinstance(value, int) else UUID(str(value))
