"""The vector store as an ingestion uses it: Qdrant's REST API through httpx.

Not qdrant-client: seven paths are called, and the client brings grpc, numpy and protobuf with it, knows one URL only
and warns about versions that a ragops project pins by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import quote
from uuid import UUID

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential, wait_random

from ragops.errors import IntegrityError, MissingError, RagopsError, UnhealthyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ragops.services.contract import Endpoint

_PAGE = 1000
_SECONDS = 30.0
_CLUSTER_SECONDS = 15.0  # then another node is asked: writes may be repeated
_PLACEMENT = ("shard_number", "replication_factor")
_LOG = "see `ragops logs qdrant`"


class Point(NamedTuple):
    """A point as it is stored."""

    id: UUID
    vector: list[float]
    payload: dict[str, Any]


class PointsRefusedError(RagopsError):
    """The store understood and does not take these points: another try would not help."""


class _NodeFailedError(Exception):
    """One node did not answer, or not sensibly: worth another try, at another node where there is one."""


class VectorStore:
    """A client of one or several nodes; every call ends within about `attempts` times its time-outs, in seconds.

    Raises UnhealthyError (qdrant_unreachable), MissingError (qdrant_key_refused, qdrant_not_supported, disk_full),
    PointsRefusedError, RagopsError (qdrant_error).
    """

    def __init__(
        self,
        urls: Sequence[str],
        api_key: str,
        *,
        timeout: float = _SECONDS,
        connect_timeout: float = 3,
        attempts: int = 4,
        placement: Mapping[str, int] | None = None,
    ) -> None:
        self._urls = [url.rstrip("/") for url in urls]
        self._attempts = max(attempts, len(urls) + 1)
        self._placement = dict(placement or {})
        limits = httpx.Timeout(timeout, connect=connect_timeout)
        self._client = httpx.Client(headers={"api-key": api_key}, timeout=limits, trust_env=False)

    @classmethod
    def at(cls, endpoint: Endpoint, role: str = "application") -> Self:
        """A client of the nodes of an endpoint (option `urls`, divided by commas, else its host and port).

        New collections get its `shard_number` and `replication_factor`, where it is a cluster.
        """
        urls = [url for url in endpoint.options.get("urls", "").split(",") if url]
        key = endpoint.logins[role].password.get_secret_value()
        placement = {name: int(endpoint.options[name]) for name in _PLACEMENT if endpoint.options.get(name)}
        # One replica's word is enough for a write: the others are brought up to it when their node is back.
        placement |= {"write_consistency_factor": 1} if placement else {}
        # The first write after a node was lost waits until the cluster has noticed, mostly less than ten seconds.
        timeout = _CLUSTER_SECONDS if len(urls) > 1 else _SECONDS
        return cls(urls or [f"http://{endpoint.host}:{endpoint.port}"], key, timeout=timeout, placement=placement)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ensure(self, collection: str, size: int) -> None:
        """Make the collection for vectors of `size` numbers where there is none.

        Raises IntegrityError (vectors_differ) where there is one for other vectors: nothing is ever deleted here.
        """
        found = self._call("GET", _path(collection), absent=True)
        if found is None:
            body = {"vectors": {"size": size, "distance": "Cosine"}, **self._placement}
            try:
                self._call("PUT", _path(collection), body)
            except PointsRefusedError:  # made meanwhile, by a try whose answer was lost
                found = self._call("GET", _path(collection), absent=True)
                if found is None:
                    raise
        if found is not None:
            _check_vectors(collection, found, size)

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Store points; they can be found when this returns."""
        body = {"points": [{"id": str(point.id), "vector": point.vector, "payload": point.payload} for point in points]}
        self._call("PUT", f"{_path(collection)}/points?wait=true", body)

    def delete(self, collection: str, ids: Sequence[UUID]) -> None:
        """Delete points, those that are there."""
        for start in range(0, len(ids), _PAGE):
            body = {"points": [str(point) for point in ids[start : start + _PAGE]]}
            self._call("POST", f"{_path(collection)}/points/delete?wait=true", body)

    def count(self, collection: str) -> int:
        """How many points there are, exactly."""
        return int(self._call("POST", f"{_path(collection)}/points/count", {"exact": True})["count"])

    def pages(self, collection: str) -> Iterator[list[int | UUID]]:
        """The ids of all points, page by page."""
        offset = None
        while True:
            body = {"limit": _PAGE, "offset": offset, "with_payload": False, "with_vector": False}
            answer = self._call("POST", f"{_path(collection)}/points/scroll", body)
            if answer["points"]:
                yield [_id(point["id"]) for point in answer["points"]]
            offset = answer["next_page_offset"]
            if offset is None:
                return

    def collections_of(self, collection: str, ids: Sequence[UUID]) -> dict[UUID, Any]:
        """What the payload of each point says under `collection`; points that are not there are left out."""
        body = {"ids": [str(point) for point in ids], "with_payload": ["collection"], "with_vector": False}
        points = self._call("POST", f"{_path(collection)}/points", body)
        return {UUID(str(point["id"])): (point.get("payload") or {}).get("collection") for point in points}

    # --- one request --------------------------------------------------------------------------------------------

    def _call(self, method: str, path: str, body: Any = None, *, absent: bool = False) -> Any:
        """The `result` of a request that may be repeated; None for a 404 where something may be `absent`."""
        try:
            for attempt in Retrying(
                stop=stop_after_attempt(self._attempts),
                wait=wait_exponential(multiplier=0.1, max=2) + wait_random(0, 0.1),
                retry=retry_if_exception_type(_NodeFailedError),
                reraise=True,
            ):
                with attempt:
                    return self._attempt(method, path, body, absent)
        except _NodeFailedError as error:
            hint = f"`ragops health qdrant`; {_LOG}; then run the command again, it goes on"
            raise UnhealthyError("qdrant_unreachable", f"qdrant: {error}", hint) from error
        raise AssertionError("unreachable")

    def _attempt(self, method: str, path: str, body: Any, absent: bool) -> Any:
        try:
            response = self._client.request(method, self._urls[0] + path, json=body)
        except httpx.HTTPError as error:
            self._turn()
            raise _NodeFailedError(f"{type(error).__name__}: {error}") from error
        if response.status_code == httpx.codes.NOT_FOUND and absent:
            return None
        if response.status_code != httpx.codes.OK:
            raise self._failure(response)
        try:
            return response.json()["result"]
        except (ValueError, KeyError, TypeError) as error:
            self._turn()
            raise _NodeFailedError(f"an answer that is not Qdrant's ({type(error).__name__})") from error

    def _turn(self) -> None:
        """The next node first."""
        self._urls.append(self._urls.pop(0))

    def _failure(self, response: httpx.Response) -> Exception:
        status, said = response.status_code, _reason(response)
        match status:
            case 401 | 403:
                return MissingError("qdrant_key_refused", f"qdrant refuses the key: {said}", "`ragops up` renews it")
            case 501:
                return MissingError("qdrant_not_supported", f"qdrant: {said}", "use a Qdrant server")
            case 507:
                return MissingError("disk_full", f"qdrant: {said}", "free some space, then run the command again")
            case 400 | 409 | 413 | 422:
                return PointsRefusedError("qdrant_refused", f"qdrant answers {status}: {said}", _LOG)
        if status >= 500 or status in (408, 429):
            self._turn()
            return _NodeFailedError(f"answers {status}: {said}")
        return RagopsError("qdrant_error", f"qdrant answers {status}: {said}", _LOG)


def _path(collection: str) -> str:
    return f"/collections/{quote(collection, safe='')}"


def _id(value: object) -> int | UUID:
    return value if isinstance(value, int) else UUID(str(value))


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["status"]["error"])[:300]
    except (ValueError, KeyError, TypeError):
        return response.text[:200].strip()


def _check_vectors(collection: str, description: Any, size: int) -> None:
    vectors = description["config"]["params"].get("vectors") or {}
    found, distance = vectors.get("size"), vectors.get("distance")
    if (found, distance) == (size, "Cosine"):
        return
    has = f"{found} numbers, {distance}" if found else "another kind"
    raise IntegrityError(
        "vectors_differ",
        f"the vector store has a collection {collection} for vectors of {has}; these are of {size} numbers, Cosine",
        "go back to the embedder it was made with; or take a recovery point (`ragops backup run`), delete it"
        f" in Qdrant (DELETE {_path(collection)}), run `ragops ingest {collection}` again",
    )
