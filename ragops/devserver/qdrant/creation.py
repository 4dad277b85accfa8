"""What a collection is made with: the request, the stored settings, and the description that Qdrant gives of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import qdrant_edge as edge
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ragops.adapters.files import SECRET_MODE, write_atomic
from ragops.devserver.qdrant.errors import invalid, malformed, quoted, unsupported
from ragops.devserver.qdrant.values import Json, body_object, refuse, required, whole

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "collection.json"
_FORMAT = 1
_LARGEST_SIZE = 65536
_LONGEST_NAME = 255
_ILLEGAL = '<>:"/\\|?*\0\x1f'
_DISTANCES = {
    "Cosine": edge.Distance.Cosine,
    "Euclid": edge.Distance.Euclid,
    "Dot": edge.Distance.Dot,
    "Manhattan": edge.Distance.Manhattan,
}
_MODIFIERS = (None, "none", "idf")
_HNSW = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000, "max_indexing_threads": 0, "on_disk": False}
_OPTIMIZERS = {
    "deleted_threshold": 0.2,
    "vacuum_min_vector_number": 1000,
    "default_segment_number": 0,
    "max_segment_size": None,
    "memmap_threshold": None,
    "indexing_threshold": 10000,
    "flush_interval_sec": 5,
    "max_optimization_threads": None,
}
_WAL = {"wal_capacity_mb": 32, "wal_segments_ahead": 0, "wal_retain_closed": 1}


class Settings(BaseModel):
    """What is known of a collection besides its shard; written once, before the collection is visible.

    `size` is 0 without dense vectors; `sparse` are the parameters of sparse vectors by name. `tuning` holds what was
    asked for and has no effect here: parameters of the HNSW index, the optimizer and the log.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = _FORMAT
    name: str
    size: int = Field(ge=0, le=_LARGEST_SIZE)
    distance: str
    sparse: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)
    vectors: dict[str, JsonValue] = Field(default_factory=dict)
    params: dict[str, JsonValue] = Field(default_factory=dict)
    tuning: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)
    metadata: dict[str, JsonValue] | None = None

    def edge_config(self) -> edge.EdgeConfig:
        """As Edge takes it."""
        vectors = edge.EdgeVectorParams(size=self.size, distance=_DISTANCES[self.distance]) if self.size else None
        sparse = {name: _edge_sparse(params) for name, params in self.sparse.items()}
        return edge.EdgeConfig(vectors=vectors, sparse_vectors=sparse or None)

    def describe(self) -> Json:
        """`config` of a collection's description."""
        params = {"shard_number": 1, "replication_factor": 1, "write_consistency_factor": 1, "on_disk_payload": True}
        vectors = {"size": self.size, "distance": self.distance, **self.vectors} if self.size else {}
        sparse = {"sparse_vectors": self.sparse} if self.sparse else {}
        answer: Json = {
            "params": {"vectors": vectors, **params, **self.params, **sparse},
            "hnsw_config": {**_HNSW, **self.tuning.get("hnsw_config", {})},
            "optimizer_config": {**_OPTIMIZERS, **self.tuning.get("optimizers_config", {})},
            "wal_config": {**_WAL, **self.tuning.get("wal_config", {})},
            "quantization_config": None,
        }
        return answer if self.metadata is None else {**answer, "metadata": self.metadata}

    def save(self, folder: Path) -> None:
        """Write them into the collection's `folder`."""
        write_atomic(folder / FILE_NAME, self.model_dump_json(indent=2) + "\n", SECRET_MODE)

    @classmethod
    def read(cls, folder: Path) -> Settings:
        """Those in `folder`. Raises OSError, ValueError."""
        return cls.model_validate(json.loads((folder / FILE_NAME).read_text(encoding="utf-8")))


def parse(name: str, body: Json) -> Settings:
    """Return the settings of a collection to be created. Raises ApiError."""
    check_name(name)
    refuse(body, "quantization_config", "strict_mode_config", "init_from")
    if body.get("sharding_method") not in (None, "auto"):
        raise unsupported("Custom sharding")
    if whole(body, "shard_number", 1, 1) != 1:
        raise unsupported("A collection of several shards")
    sparse = _sparse(body_object(body.get("sparse_vectors") or {}))
    vectors = body_object(body.get("vectors") or {} if sparse else required(body, "vectors"))
    if "size" not in vectors and (vectors or not sparse):
        raise unsupported("A collection with named dense vectors, or with no vectors,")
    refuse(vectors, "multivector_config", "quantization_config", "datatype")
    return Settings(
        name=name,
        size=_size(vectors) if vectors else 0,
        distance=_distance(required(vectors, "distance")) if vectors else "Cosine",
        sparse=sparse,
        vectors={key: vectors[key] for key in ("on_disk", "hnsw_config") if vectors.get(key) is not None},
        params=_params(body),
        tuning=_tuning(body),
        metadata=None if body.get("metadata") is None else body_object(body["metadata"]),
    )


def _sparse(given: Json) -> dict[str, Json]:
    sparse = {name: body_object(one) for name, one in given.items()}
    for name, params in sparse.items():
        if not name:
            raise unsupported("A sparse vector without a name")
        refuse(params, "index")
        if params.get("modifier") not in _MODIFIERS:
            raise malformed(f"unknown variant {quoted(params['modifier'])}, expected `none` or `idf`")
    return {name: {"modifier": one["modifier"]} if one.get("modifier") else {} for name, one in sparse.items()}


def _edge_sparse(params: Json) -> edge.EdgeSparseVectorParams:
    return edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf if params.get("modifier") == "idf" else None)


def check_name(name: str) -> None:
    """Raise ApiError (422) if Qdrant would not accept it for a new collection."""
    length = len(name.encode())
    if not 1 <= length <= _LONGEST_NAME:
        what = f"value {quoted(name)} invalid, must be from 1 to {_LONGEST_NAME} characters"
        raise invalid("path parameters", "collection_name", what)
    if illegal := next((sign for sign in name if sign in _ILLEGAL), None):
        raise invalid("path parameters", "collection_name", f"cannot contain {quoted(illegal)}")


def _size(vectors: Json) -> int:
    size = whole(vectors, "size", 0, 0)
    if size == 0:
        raise malformed("data did not match any variant of untagged enum VectorsConfig")
    if size > _LARGEST_SIZE:
        what = f"value {size} invalid, must be from 1 to {_LARGEST_SIZE}"
        raise invalid("JSON body", "vectors.size", what)
    return size


def _distance(value: object) -> str:
    if not isinstance(value, str) or value not in _DISTANCES:
        raise malformed(f"unknown variant {quoted(value)}, expected one of {', '.join(_DISTANCES)}")
    return value


def _params(body: Json) -> Json:
    """Return what is recorded and shown; a single node keeps one copy in any case."""
    params: Json = {}
    for key in ("replication_factor", "write_consistency_factor"):
        if body.get(key) is not None:
            params[key] = whole(body, key, 1, 1)
    if body.get("on_disk_payload") is not None:
        params["on_disk_payload"] = bool(body["on_disk_payload"])
    return params


def _tuning(body: Json) -> dict[str, Json]:
    asked = {key: body_object(body[key]) for key in ("hnsw_config", "optimizers_config", "wal_config") if body.get(key)}
    return {key: {name: value for name, value in part.items() if value is not None} for key, part in asked.items()}
