"""How the vectors of a new collection are stored, by their size: docs/performance.md has the measurements.

Every node holds them, and its memory is limited (`qdrant.memory`): what is searched in large collections has to be
small, and exact vectors are read for the few best results only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# Bytes of the vectors of one shard: 11,000 of 384 numbers. From here on an index is searched, and quantized vectors
# cost half the processor time of exact ones at the same recall, if twice as many candidates are compared exactly.
QUANTIZED_BYTES = 16 << 20
# 1.4 million of 384 numbers: the vectors alone would fill the memory that a node has by default.
ON_DISK_BYTES = 2 << 30
# Up to here the quantized vectors, a quarter, are held in memory; larger ones would take half of a node's.
HELD_BYTES = 4 << 30
_NUMBER_BYTES = 4
# KB of vectors from which on a segment gets an index, and is searched by it: 1,300 of 384 numbers. At the server's
# default, 10,000, most of the processor time of a search is spent on the points that have no index yet.
INDEXED_KB, _SERVERS_KB = 2000, 10_000


def storage_for(points: int, numbers: int, shards: int) -> dict[str, Any]:
    """Return the parameters of a collection for `points` vectors of so many `numbers`, those of `VectorParams` apart.

    `optimizers_config` and `hnsw_config` always, `quantization_config` if it is to be quantized, `on_disk` if the exact
    vectors are to be read from disk.
    """
    size = points * numbers * _NUMBER_BYTES / shards
    found: dict[str, Any] = {
        "optimizers_config": {"indexing_threshold": INDEXED_KB},
        "hnsw_config": {"full_scan_threshold": INDEXED_KB},
    }
    found |= {"quantization_config": int8(held=size <= HELD_BYTES)} if size > QUANTIZED_BYTES else {}
    return found | ({"on_disk": True} if size > ON_DISK_BYTES else {})


def int8(*, held: bool) -> dict[str, Any]:
    """Return the configuration of scalar quantization; with `held` its vectors stay in memory."""
    return {"scalar": {"type": "int8", "quantile": 0.99, "always_ram": held}}


def with_storage(body: Mapping[str, Any], storage: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body that creates a collection with this storage, as far as it does not set another one itself."""
    made = dict(body)
    for section in ("optimizers_config", "hnsw_config"):
        own = made.get(section) or {}
        changed = {key: value for key, value in storage.get(section, {}).items() if own.get(key) in (None, _SERVERS_KB)}
        made |= {section: {**own, **changed}} if changed else {}
    if "quantization_config" in storage:
        made.setdefault("quantization_config", storage["quantization_config"])
    vectors = made.get("vectors") or {}
    if storage.get("on_disk") and "size" in vectors:
        made["vectors"] = {"on_disk": True, **vectors}
    elif storage.get("on_disk"):
        made["vectors"] = {name: {"on_disk": True, **one} for name, one in vectors.items()}
    return made
