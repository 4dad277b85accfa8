"""Points as ragops gives them to the stub of gRPC: byte for byte what the library makes of its own models."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from qdrant_client.conversions.conversion import RestToGrpc

from ragops.adapters.qdrant.client import Point, _grpc_point, _rest_point
from ragops.adapters.qdrant.sparse import WordText

PAYLOAD = {"path": "ä/b.md", "position": 0, "metadata": {"title": "x", "tags": ["a", None, True, 0.5]}, "empty": ""}


@pytest.mark.parametrize("vector", [[], [0.25, -1.0, 3e-9]])
@pytest.mark.parametrize("words", [None, WordText(""), WordText("words of a chunk", {"language": "german"})])
@pytest.mark.parametrize("payload", [{}, PAYLOAD])
def test_a_point_is_what_the_library_makes_of_it(
    vector: list[float], words: WordText | None, payload: dict[str, Any]
) -> None:
    point = Point(UUID(int=7), vector, payload, words)
    expected = RestToGrpc.convert_point_struct(_rest_point(point))
    assert _grpc_point(point) == expected
    assert _grpc_point(point).SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)
