"""The part `collections.json`: what shard snapshots lack, which is parameters, payload indexes, shards and aliases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from ragops.errors import IntegrityError
from ragops.hints import OTHER_POINT
from ragops.services.qdrant.cluster.shards import ShardKey  # noqa: TC001  pydantic reads the annotations

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ragops.adapters.qdrant.http import HttpClient

PART = "collections.json"
_STRICT = ConfigDict(frozen=True, extra="forbid")
_FileName = Annotated[str, StringConstraints(pattern=r"^\d{4,}-\d+\.snapshot$")]
# Parameters of a collection that a server takes at its creation; below by the names of both requests.
_PARAMS = (
    "vectors", "sparse_vectors", "shard_number", "sharding_method", "replication_factor", "write_consistency_factor",
    "on_disk_payload",
)  # fmt: skip
# Parameters that a server takes only later, in a change of the collection.
_LATER = ("read_fan_out_factor", "read_fan_out_delay_ms")
_CONFIG = {
    "hnsw_config": "hnsw_config",
    "optimizer_config": "optimizers_config",
    "wal_config": "wal_config",
    "quantization_config": "quantization_config",
    "strict_mode_config": "strict_mode_config",
    "metadata": "metadata",
}


class Shard(BaseModel):
    """A shard and the part that holds it; `points` is None if no engine here can read that part.

    `key` is the shard key of custom sharding, `nodes` are those that had an active replica.
    """

    model_config = _STRICT

    id: int = Field(ge=0)
    file: _FileName
    points: int | None = Field(ge=0)
    key: ShardKey | None = None
    nodes: tuple[str, ...] = ()


class Index(BaseModel):
    """A payload index as Qdrant takes it."""

    model_config = _STRICT

    field_name: str
    field_schema: JsonValue


class CollectionRecord(BaseModel):
    """A collection; `create` is the body that creates it, `later` are parameters that are set after that."""

    model_config = _STRICT

    name: str = Field(min_length=1)
    create: dict[str, JsonValue]
    indexes: tuple[Index, ...]
    shards: tuple[Shard, ...] = ()
    later: dict[str, JsonValue] = {}

    @property
    def points(self) -> int | None:
        """Return the points of all shards, None if they were not counted."""
        counts = [shard.points for shard in self.shards if shard.points is not None]
        return sum(counts) if len(counts) == len(self.shards) else None


class Catalogue(BaseModel):
    """The whole of `collections.json`; `aliases` by their own names."""

    model_config = _STRICT

    format: int = 1
    collections: tuple[CollectionRecord, ...]
    aliases: dict[str, str]

    def counts(self) -> dict[str, int]:
        """Return the counts for the manifest."""
        return {"collections": len(self.collections), "aliases": len(self.aliases)}


def record(client: HttpClient, name: str) -> CollectionRecord:
    """Return a collection as it is now, without its shards."""
    info = client.collection(name)
    schema: Mapping[str, Any] = info["payload_schema"]
    indexes = (
        Index(field_name=field, field_schema=known.get("params") or known["data_type"])
        for field, known in sorted(schema.items())
    )
    params = info["config"]["params"]
    later = {name: params[name] for name in _LATER if params.get(name) is not None}
    return CollectionRecord(name=name, create=_creation(info["config"]), indexes=tuple(indexes), later=later)


def _creation(config: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: config["params"].get(name) for name in _PARAMS}
    given |= {target: config.get(name) for name, target in _CONFIG.items()}
    return {name: _without_nulls(value) for name, value in given.items() if value is not None}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return value


def read(path: Path) -> Catalogue:
    """Read the part in `path`. Raises IntegrityError (collections_unreadable)."""
    try:
        return Catalogue.model_validate_json(path.read_bytes())
    except OSError as error:
        raise IntegrityError("collections_unreadable", f"cannot read {path}: {error.strerror}", OTHER_POINT) from error
    except ValidationError as error:
        first = error.errors()[0]
        what = f"cannot read {path}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise IntegrityError("collections_unreadable", what, OTHER_POINT) from error
