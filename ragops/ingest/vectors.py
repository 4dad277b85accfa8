"""The vector store as an ingestion uses it, with the errors of a run."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from ragops.adapters.qdrant.client import Client, Point, VectorParams
from ragops.adapters.qdrant.failures import LOG_HINT, RequestFailedError, client_error
from ragops.config.collection_names import base
from ragops.errors import IntegrityError, RagopsError
from ragops.services.qdrant.cluster.nodes import addresses
from ragops.services.qdrant.shard_layout import LayoutRules, ShardLayout, layout_of, worse_than_default
from ragops.services.qdrant.vector_storage import storage_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

    from ragops.adapters.qdrant.addresses import Address
    from ragops.services.contract import Endpoint

    ChooseLayout = Callable[[LayoutRules], ShardLayout]

__all__ = ["FoundLayout", "Point", "PointsRefusedError", "VectorStore"]

_SECONDS = 30.0
_CLUSTER_SECONDS = 15.0  # then another node is asked: writes may be repeated
_NOT_FOUND = 404
_REFUSED = (400, 409, 413, 422)


class PointsRefusedError(RagopsError):
    """The store understood and does not take these points: another try would not help."""


class FoundLayout(NamedTuple):
    """The layout that a collection has, and what makes it worse than that of a new one, empty if nothing does."""

    layout: ShardLayout
    worse: str


class VectorStore:
    """A client of one or several nodes; every call ends within about `attempts` times `seconds`.

    Raises UnhealthyError (qdrant_unreachable), MissingError (qdrant_key_refused, qdrant_not_supported, disk_full),
    PointsRefusedError, RagopsError (qdrant_error).
    """

    def __init__(
        self,
        nodes: Sequence[Address],
        api_key: str,
        *,
        seconds: float = _SECONDS,
        attempts: int = 4,
        rules: LayoutRules | None = None,
    ) -> None:
        self._rules = rules
        self._most_points = (
            sys.maxsize
        )  # of one request, as far as it is known: strict mode allows as few as it is set to
        self._client = Client(nodes, api_key, seconds=seconds, attempts=attempts)
        self._with_words: dict[str, bool] = {}

    @classmethod
    def at(cls, endpoint: Endpoint, role: str = "application") -> Self:
        """Return a client of the nodes of an endpoint, over gRPC if they have it."""
        nodes = addresses(endpoint)
        key = endpoint.logins[role].password.get_secret_value()
        # The first write after a node was lost waits until the cluster has noticed, mostly less than ten seconds.
        seconds = _CLUSTER_SECONDS if len(nodes) > 1 else _SECONDS
        return cls(nodes, key, seconds=seconds, rules=LayoutRules.of(endpoint))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.__exit__(*error)

    def ensure(self, collection: str, size: int, choose: ChooseLayout | None = None) -> ShardLayout | None:
        """Create the collection for vectors of `size` numbers (0: none) and words if there is none.

        In a cluster `choose` decides on its layout, which is returned if the collection was created by this call.
        Raises IntegrityError (vectors_differ) if there is one for other vectors: nothing is ever deleted here, and what
        `choose` raises.
        """
        layout = None
        found = self._vector_params(collection)
        if found is None:
            layout = self._choose(size, choose)
            try:
                with _translate_errors():
                    wanted = VectorParams(size, "Cosine", sparse=True)
                    self._client.create_collection(collection, wanted, _options(layout, size))
                    self._with_words[collection] = True
            except PointsRefusedError:  # created in between, by an attempt whose answer was lost
                found = self._vector_params(collection)
                if found is None:
                    raise
        if found is not None:
            _check_vectors(collection, found, size)
            self._with_words[collection] = found.sparse
        return layout

    def _choose(self, size: int, choose: ChooseLayout | None) -> ShardLayout | None:
        if self._rules is None:
            return None
        return choose(self._rules) if choose else self._rules.choose(0, size)

    def has_words(self, collection: str) -> bool:
        """Whether its points are found by their words, too: one that an earlier release made has vectors alone."""
        if collection not in self._with_words:
            found = self._vector_params(collection)
            self._with_words[collection] = found is not None and found.sparse
        return self._with_words[collection]

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Store points; they can be found when this returns. What is refused at once is stored in smaller parts.

        Raises PointsRefusedError with the server's text if it refuses a single point; others may be stored then.
        """
        most = self._most_points
        for start in range(0, max(len(points), 1), most):
            self._upsert_part(collection, points[start : start + most])

    def delete(self, collection: str, ids: Sequence[UUID]) -> None:
        """Delete points, those that are there."""
        with _translate_errors():
            self._client.delete(collection, ids)

    def count(self, collection: str) -> int:
        """Return the exact number of points."""
        with _translate_errors():
            return self._client.count(collection)

    def count_if_there(self, collection: str) -> int | None:
        """Return the exact number of points, None if there is no such collection."""
        return None if self._vector_params(collection) is None else self.count(collection)

    def layout(self, collection: str) -> FoundLayout | None:
        """Return the layout of a collection of a cluster, None elsewhere and if there is no such collection."""
        if self._rules is None or self._vector_params(collection) is None:
            return None
        with _translate_errors():
            info = self._client.describe(collection)
        return FoundLayout(layout_of(info), worse_than_default(collection, info, self._rules))

    def drop(self, collection: str) -> None:
        """Delete a collection with all its points, if it is there."""
        with _translate_errors():
            self._client.delete_collection(collection)

    def names(self) -> list[str]:
        """Return the names of all collections."""
        with _translate_errors():
            return self._client.collection_names()

    def point_alias(self, alias: str, collection: str) -> None:
        """Create an alias of `collection`, or move it there; writes nothing if it is there already."""
        with _translate_errors():
            if alias not in self._client.aliases_of(collection):
                self._client.change_aliases({alias: collection}, [])

    def pages(self, collection: str) -> Iterator[list[int | UUID]]:
        """Return the ids of all points, page by page."""
        with _translate_errors():
            yield from self._client.pages(collection)

    def collections_of(self, collection: str, ids: Sequence[UUID]) -> dict[int | UUID, Any]:
        """Return the payload's `collection` of each point by its id; points that are not there are left out."""
        with _translate_errors():
            found = self._client.retrieve(collection, ids, ["collection"])
        return {point: payload.get("collection") for point, payload in found.items()}

    def _upsert_part(self, collection: str, points: Sequence[Point]) -> None:
        try:
            with _translate_errors():
                self._client.upsert(collection, points)
        except PointsRefusedError:
            if len(points) <= 1:
                raise
            half = (len(points) + 1) // 2
            for part in (points[:half], points[half:]):
                self._upsert_part(collection, part)
            self._most_points = min(self._most_points, half)

    def _vector_params(self, collection: str) -> VectorParams | None:
        with _translate_errors():
            try:
                return self._client.vector_params(collection)
            except RequestFailedError as error:
                if error.failure.status == _NOT_FOUND:
                    return None
                raise


def _options(layout: ShardLayout | None, size: int) -> dict[str, Any]:
    if layout is None:
        return {}
    return layout.placement() | storage_for(layout.expected, size, layout.shards)


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except RequestFailedError as error:
        failure = error.failure
        if failure.status in _REFUSED:
            raise PointsRefusedError("qdrant_refused", f"qdrant {failure}", LOG_HINT) from error
        raise client_error(failure, "qdrant", "then run the command again, it continues") from error


def _check_vectors(collection: str, found: VectorParams, size: int) -> None:
    if (found.size, found.distance) == (size, "Cosine") or (not size and found.sparse):
        return
    has = f"{found.size} numbers, {found.distance}" if found.size else "another kind"
    raise IntegrityError(
        "vectors_differ",
        f"the vector store has a collection {collection} for vectors of {has}; these are of {size} numbers, Cosine",
        f"build it again for these: `ragops ingest --rebuild {base(collection)}`; or go back to the model before",
    )
