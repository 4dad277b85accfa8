"""Reads of single points, to compare a restored store with its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid4

from ragops.adapters.qdrant import sparse
from ragops.adapters.qdrant.addresses import path_of
from ragops.adapters.qdrant.failures import RequestFailedError, client_error, suppress_missing
from ragops.services.qdrant.cluster.nodes import addresses, connect, operator_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ragops.adapters.qdrant.client import Client, PointId
    from ragops.services.contract import Endpoint

_SECONDS = 60.0
_NOT_FOUND = 404


def points(endpoint: Endpoint, collection: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the payloads of those points that exist, by id; none if there is no such collection."""
    wanted = [int(point) if point.isdecimal() else UUID(point) for point in ids]
    return _read(endpoint, lambda client: client.retrieve(collection, wanted, payload=True))


def some_points(endpoint: Endpoint, collection: str, limit: int) -> dict[str, dict[str, Any]]:
    """Return the payloads of points from a random id on, by id."""
    found = _read(endpoint, lambda client: client.scroll(collection, limit, uuid4()))
    return found if len(found) >= limit else _read(endpoint, lambda client: client.scroll(collection, limit)) | found


def count_points(endpoint: Endpoint, collection: str, timeout: float) -> int | None:
    """Return the number of points of a collection, None if there is no such collection. Raises RagopsError.

    Over REST, as `ragops health` calls it: it does not import the library.
    """
    with suppress_missing(), connect(endpoint, timeout) as nodes:
        return int(nodes.first.send("POST", f"{path_of(collection)}/points/count", {"exact": True})["count"])
    return None


class Vectors(NamedTuple):
    """What the points of a collection have: numbers of a dense vector (None without one), and weights of words."""

    size: int | None
    has_words: bool


def vectors_of(endpoint: Endpoint, collection: str, timeout: float) -> Vectors | None:
    """Return the vectors of a collection, None if there is no such collection. Raises RagopsError.

    Over REST, as `count_points` is.
    """
    with suppress_missing(), connect(endpoint, timeout) as nodes:
        params = nodes.first.get(path_of(collection))["config"]["params"]
        return Vectors((params.get("vectors") or {}).get("size"), sparse.NAME in (params.get("sparse_vectors") or {}))
    return None


def aliases(endpoint: Endpoint, timeout: float) -> dict[str, str]:
    """Return the collection of each alias. Raises RagopsError."""
    with connect(endpoint, timeout) as nodes:
        return nodes.first.aliases()


def _read(
    endpoint: Endpoint, request: Callable[[Client], Mapping[PointId, dict[str, Any]]]
) -> dict[str, dict[str, Any]]:
    from ragops.adapters.qdrant.client import Client  # takes a second: only for a drill

    with Client(addresses(endpoint), operator_key(endpoint), seconds=_SECONDS) as client:
        try:
            found = request(client)
        except RequestFailedError as error:
            if error.failure.status == _NOT_FOUND:
                return {}
            raise client_error(error.failure, endpoint.service) from error
    return {str(point): payload for point, payload in found.items()}
