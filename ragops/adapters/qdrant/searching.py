"""A search by the library's stub of gRPC: half the processor time of its `query_points`.

That inspects every query for text to embed, and makes a validated model of every point and value of an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from qdrant_client import grpc, models
from qdrant_client.conversions.conversion import payload_to_grpc

from ragops.adapters.qdrant import sparse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qdrant_client import AsyncQdrantClient

    from ragops.adapters.qdrant.library import Stub
    from ragops.adapters.qdrant.sparse import WordText

Mode = Literal["hybrid", "dense", "sparse"]
# Of a quantized collection twice as many candidates are compared by their exact vectors; others take no notice.
_OVERSAMPLING = 2.0
_GRPC_RESCORED = grpc.SearchParams(quantization=grpc.QuantizationSearchParams(rescore=True, oversampling=_OVERSAMPLING))
_RESCORED = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=True, oversampling=_OVERSAMPLING))


@dataclass(frozen=True)
class Hit:
    """A point that was found.

    `score` is the cosine of the angle if vectors alone were asked, the weight of common words if words alone were, and
    the sum of weighted reciprocal ranks if both were.
    """

    id: str
    score: float
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """What is asked: the vector of a question, its words, or both, whose results are fused by rank then.

    `least_cosine` is the floor of what counts as near; `depth` is how many results of each kind are fused.
    """

    vector: Sequence[float] | None
    words: WordText | None
    limit: int
    least_cosine: float | None = None
    depth: int = 100
    rrf_k: int = 60
    rrf_weights: tuple[float, float] = (1.0, 1.0)  # of vectors, of words
    with_payload: bool = True

    @property
    def mode(self) -> Mode:
        """How it is asked."""
        if self.vector is not None and self.words is not None:
            return "hybrid"
        return "sparse" if self.vector is None else "dense"


class _Payload(Mapping[str, Any]):
    """A payload as JSON has it; a value is converted when it is asked for, since most passages are never shown."""

    def __init__(self, fields: Any) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> Any:
        if name not in self._fields:  # the map of protobuf would make one
            raise KeyError(name)
        return _plain(self._fields[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


async def search_by_grpc(stub: Stub, collection: str, asked: Question, seconds: float) -> list[Hit]:
    """Return the best points, best first; the deadline is `seconds`. Raises what the library raises."""
    answer = await stub.query(_grpc_request(collection, asked), seconds)
    return [Hit(_point_id(point.id), point.score, _Payload(point.payload)) for point in answer.result]


def _grpc_request(collection: str, asked: Question) -> grpc.QueryPoints:
    parts, payload = _parts(asked), grpc.WithPayloadSelector(enable=asked.with_payload)
    if len(parts) == 1:
        [(query, using, floor)] = parts
        return grpc.QueryPoints(
            collection_name=collection, query=_grpc_nearest(query), using=using, score_threshold=floor,
            limit=asked.limit, with_payload=payload, params=_GRPC_RESCORED if using is None else None,
        )  # fmt: skip
    prefetch = [
        grpc.PrefetchQuery(
            query=_grpc_nearest(query),
            using=using,
            score_threshold=floor,
            limit=asked.depth,
            params=_GRPC_RESCORED if using is None else None,
        )
        for query, using, floor in parts
    ]
    fusion = grpc.Query(rrf=grpc.Rrf(k=asked.rrf_k, weights=asked.rrf_weights))
    return grpc.QueryPoints(
        collection_name=collection, prefetch=prefetch, query=fusion, limit=asked.limit, with_payload=payload
    )


def _grpc_nearest(query: WordText | Sequence[float]) -> grpc.Query:
    if isinstance(query, sparse.WordText):
        return grpc.Query(nearest=grpc.VectorInput(document=grpc_document(query)))
    return grpc.Query(nearest=grpc.VectorInput(dense=grpc.DenseVector(data=query)))


def grpc_document(words: WordText) -> grpc.Document:
    """Return a text as gRPC's stub sends it to be turned into weights."""
    return grpc.Document(text=words.text, model=sparse.MODEL, options=payload_to_grpc(dict(words.options)))


async def search_by_rest(client: AsyncQdrantClient, collection: str, asked: Question) -> list[Hit]:
    """Return the best points, best first. Raises what the library raises."""
    parts = _parts(asked)
    options: dict[str, Any] = {"limit": asked.limit, "with_payload": asked.with_payload}
    if len(parts) == 1:
        [(query, using, floor)] = parts
        found = await client.query_points(
            collection, _rest_nearest(query), using=using, score_threshold=floor,
            search_params=_RESCORED if using is None else None, **options,
        )  # fmt: skip
    else:
        prefetch = [
            models.Prefetch(
                query=_rest_nearest(query),
                using=using,
                score_threshold=floor,
                limit=asked.depth,
                params=_RESCORED if using is None else None,
            )
            for query, using, floor in parts
        ]
        fusion = models.RrfQuery(rrf=models.Rrf(k=asked.rrf_k, weights=list(asked.rrf_weights)))
        found = await client.query_points(collection, fusion, prefetch=prefetch, **options)
    return [Hit(str(point.id), point.score, point.payload or {}) for point in found.points]


def _rest_nearest(query: WordText | Sequence[float]) -> Any:
    return sparse_document(query) if isinstance(query, sparse.WordText) else list(query)


def sparse_document(words: WordText) -> models.Document:
    """Return a text as the library sends it to be turned into weights."""
    return models.Document(text=words.text, model=sparse.MODEL, options=dict(words.options) or None)


def _parts(asked: Question) -> list[tuple[WordText | Sequence[float], str | None, float | None]]:
    """Return each query with the name of the vectors that it goes to and the least score that counts."""
    parts: list[tuple[WordText | Sequence[float], str | None, float | None]] = []
    if asked.vector is not None:
        parts.append((asked.vector, None, asked.least_cosine))
    if asked.words is not None:
        parts.append((asked.words, sparse.NAME, None))
    return parts


def _point_id(value: Any) -> str:
    return str(value.num) if value.WhichOneof("point_id_options") == "num" else str(value.uuid)


def _plain_map(fields: Any) -> dict[str, Any]:
    return {name: _plain(value) for name, value in fields.items()}


def _plain(value: Any) -> Any:
    """Return a value of a payload as JSON has it."""
    kind = value.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    if kind == "struct_value":
        return _plain_map(value.struct_value.fields)
    return getattr(value, kind)
