"""How vectors are stored, by their size."""

from __future__ import annotations

from typing import Any

import pytest

from ragops.services.qdrant.vector_storage import int8, storage_for, with_storage

INT8 = int8(held=True)
INDEXED = {"optimizers_config": {"indexing_threshold": 2000}, "hnsw_config": {"full_scan_threshold": 2000}}


@pytest.mark.parametrize(
    ("points", "numbers", "shards", "storage"),
    [
        (0, 384, 1, {}),
        (10_000, 384, 1, {}),
        (11_000, 384, 1, {"quantization_config": INT8}),
        (11_000, 384, 3, {}),
        (1_300_000, 384, 1, {"quantization_config": INT8}),
        (1_400_000, 384, 1, {"quantization_config": INT8, "on_disk": True}),
        (700_000, 768, 1, {"quantization_config": INT8, "on_disk": True}),
        (3_000_000, 768, 1, {"quantization_config": int8(held=False), "on_disk": True}),
        (10_000_000, 0, 1, {}),
    ],
)
def test_large_ones_are_quantized_and_larger_ones_are_on_disk_too(
    points: int, numbers: int, shards: int, storage: dict[str, Any]
) -> None:
    assert storage_for(points, numbers, shards) == {**INDEXED, **storage}


def test_what_a_collection_says_itself_stays() -> None:
    storage = {"quantization_config": INT8, "on_disk": True}
    binary = {"binary": {"always_ram": True}}
    body = {"vectors": {"size": 4, "on_disk": False}, "quantization_config": binary}
    assert with_storage(body, storage) == body
    assert with_storage({"vectors": {"size": 4}}, storage) == {
        "vectors": {"size": 4, "on_disk": True}, "quantization_config": INT8,
    }  # fmt: skip
    named = with_storage({"vectors": {"a": {"size": 4}, "b": {"size": 8, "on_disk": False}}}, storage)
    assert named["vectors"] == {"a": {"size": 4, "on_disk": True}, "b": {"size": 8, "on_disk": False}}
    assert with_storage({"vectors": {}}, {}) == {"vectors": {}}


def test_the_servers_own_limits_of_an_index_are_replaced_and_those_of_somebody_stay() -> None:
    body = {
        "optimizers_config": {"indexing_threshold": 10_000, "deleted_threshold": 0.3},
        "hnsw_config": {"m": 32, "full_scan_threshold": 50},
    }
    assert with_storage(body, INDEXED) == {
        "optimizers_config": {"indexing_threshold": 2000, "deleted_threshold": 0.3},
        "hnsw_config": {"m": 32, "full_scan_threshold": 50},
    }
    assert with_storage({}, INDEXED) == INDEXED
