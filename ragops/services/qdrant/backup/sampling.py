"""Reads of single points, to compare a restored store with its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ragops.errors import RagopsError
from ragops.services.qdrant.backup.manifest import path_of
from ragops.services.qdrant.cluster.nodes import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.services.contract import Endpoint

_SECONDS = 60.0


def points(endpoint: Endpoint, collection: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the payloads of those points that exist, by id; none if there is no such collection."""
    body = {"ids": list(ids), "with_payload": True, "with_vector": False}
    return _payloads(_send(endpoint, f"{path_of(collection)}/points", body) or [])


def some_points(endpoint: Endpoint, collection: str, limit: int) -> dict[str, dict[str, Any]]:
    """Return the payloads of points from a random id on, by id."""
    start = str(uuid4())
    found = _scroll(endpoint, collection, limit, start)
    return found if len(found) >= limit else _scroll(endpoint, collection, limit, None) | found


def has_points(endpoint: Endpoint, collection: str, timeout: float) -> bool | None:
    """Return whether the collection has a point, None if there is no such collection. Raises RagopsError."""
    body = {"limit": 1, "with_payload": False, "with_vector": False}
    answer = _send(endpoint, f"{path_of(collection)}/points/scroll", body, timeout)
    return None if answer is None else bool(answer["points"])


def _scroll(endpoint: Endpoint, collection: str, limit: int, start: str | None) -> dict[str, dict[str, Any]]:
    body = {"limit": limit, "offset": start, "with_payload": True, "with_vector": False}
    answer = _send(endpoint, f"{path_of(collection)}/points/scroll", body) or {"points": []}
    return _payloads(answer["points"])


def _send(endpoint: Endpoint, path: str, body: dict[str, Any], seconds: float = _SECONDS) -> Any:
    with connect(endpoint, seconds) as nodes:
        try:
            return nodes.first.send("POST", path, body)
        except RagopsError as error:
            if error.code == "qdrant_not_found":
                return None
            raise


def _payloads(found: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {str(point["id"]): point.get("payload") or {} for point in found}
