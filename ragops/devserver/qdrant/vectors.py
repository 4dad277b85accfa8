"""Vectors of requests and answers: one dense vector without a name, sparse ones with names, texts as BM25 weights."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import qdrant_edge as edge

from ragops.devserver.qdrant.errors import bad_input, invalid, malformed, quoted, unsupported

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ragops.devserver.qdrant.values import Json

_LARGEST_FLOAT32 = 3.4028234663852886e38
_LARGEST_INDEX = 2**32 - 1
_BM25 = "qdrant/bm25"
# Of the model's options, those with which a server of the pinned version gives the same vectors.
_OPTIONS = ("k", "b", "avg_len", "language", "lowercase", "ascii_folding", "min_token_len", "max_token_len")


def dense(value: object, size: int) -> list[float]:
    """One dense vector of `size` finite numbers."""
    if not isinstance(value, list):
        raise malformed(f"invalid type of `vector`: {quoted(value)}, expected a sequence")
    if value and isinstance(value[0], list):
        raise unsupported("A multi-vector")
    if not size:
        raise bad_input("Not existing vector name error: ")
    try:
        largest = max(map(abs, value), default=0.0)
    except TypeError:
        raise malformed("invalid value of `vector`: expected numbers") from None
    if largest > _LARGEST_FLOAT32:
        raise malformed("invalid value of `vector`: a number is out of range")
    if len(value) != size:
        raise bad_input(f"Vector dimension error: expected dim: {size}, got {len(value)}")
    return value


def of_point(value: object, size: int, sparse: Collection[str]) -> Any:
    """Return the vectors of a point as Edge takes them: a list, or vectors by name. Raises ApiError."""
    if not isinstance(value, dict):
        return dense(value, size)
    if is_inference(value):
        raise unsupported("Inference on the server, but for sparse vectors by `qdrant/bm25`,")
    if not value:
        raise unsupported("A point without a vector")
    return {name: _named(name, one, size, sparse) for name, one in value.items()}


def _named(name: str, value: object, size: int, sparse: Collection[str]) -> Any:
    if not name:
        return dense(value, size)
    check_name(name, sparse)
    if not isinstance(value, dict):
        raise bad_input("Conversion between sparse and regular vectors failed")
    return of_document(value) if is_inference(value) else of_weights(value, "points.vector")


def check_name(name: str, sparse: Collection[str]) -> None:
    """Raise ApiError (400) if the collection has no such sparse vector."""
    if name not in sparse:
        raise bad_input(f"Not existing vector name error: {name}")


def is_inference(value: Mapping[str, object]) -> bool:
    """Whether a vector is to be made from something else."""
    return any(kind in value for kind in ("text", "image", "object"))


def of_weights(value: Json, where: str) -> edge.SparseVector:
    """Return a sparse vector given as indices and values."""
    indices, weights = value.get("indices"), value.get("values")
    if not isinstance(indices, list) or not isinstance(weights, list):
        raise malformed(f"invalid sparse vector: {quoted(value)}, expected indices and values")
    if not all(isinstance(one, int) and 0 <= one <= _LARGEST_INDEX for one in indices):
        raise malformed("invalid value of `indices`: expected u32")
    if len(set(indices)) != len(indices):
        raise invalid("JSON body", f"{where}.indices", "must be unique")
    if len(indices) != len(weights):
        raise invalid("JSON body", f"{where}.values", "must be the same length as indices")
    return edge.SparseVector(indices, weights)


def of_document(value: Json) -> edge.SparseVector:
    """Return the BM25 weights of a text that is stored."""
    return _model(value).embed_document(_text(value))


def of_question(value: Json) -> edge.SparseVector:
    """Return the BM25 weights of a text that is asked."""
    return _model(value).embed_query(_text(value))


def _text(value: Json) -> str:
    if not isinstance(value.get("text"), str):
        raise unsupported("Inference of anything but text")
    return str(value["text"])


def _model(value: Json) -> edge.Bm25:
    if str(value.get("model", "")).lower() != _BM25:
        raise unsupported(f"The model {quoted(value.get('model'))}")
    options = value.get("options") or {}
    if not isinstance(options, dict) or (unknown := sorted(set(options) - set(_OPTIONS))):
        raise unsupported(f"The option `{unknown[0]}` of {_BM25}" if isinstance(options, dict) else "Such options")
    return _made(tuple(sorted(options.items())))


@lru_cache(maxsize=16)
def _made(options: tuple[tuple[str, Any], ...]) -> edge.Bm25:
    try:
        return edge.Bm25(edge.Bm25Config(**dict(options)))
    except (TypeError, ValueError) as error:
        raise bad_input(f"Invalid options of {_BM25}: {error}") from error


def show(value: Any) -> Any:
    """Return the vectors of a point as JSON has them."""
    if not isinstance(value, dict):
        return value
    return {name: _show_one(one) for name, one in value.items()}


def _show_one(value: Any) -> Any:
    if isinstance(value, edge.SparseVector):
        return {"indices": list(value.indices), "values": list(value.values)}
    return value
