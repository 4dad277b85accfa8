"""The client of the vector store, spread over its nodes."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import httpx

from ragops.adapters.qdrant import sparse
from ragops.adapters.qdrant.async_client import AsyncClient
from ragops.adapters.qdrant.balancing import EJECTED_SECONDS
from ragops.adapters.qdrant.failures import RequestFailedError
from ragops.api.dependency_errors import DependencyFailedError
from ragops.api.logs import log
from ragops.api.problem import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ragops.adapters.qdrant.addresses import Address
    from ragops.adapters.qdrant.failures import Failure
    from ragops.adapters.qdrant.searching import Hit, Question
    from ragops.api.clock import Clock
    from ragops.api.config import QdrantConfig, Secret
    from ragops.api.metrics import Metrics

_LOG = logging.getLogger(__name__)
_DENSE_MISSING = re.compile(r"Not existing vector name error: ?$")


class VectorsMissingError(ApiError):
    """The collection has no vectors of the kind that was asked; `lacks_words`: none of words."""

    def __init__(self, collection: str, *, lacks_words: bool) -> None:
        detail = f"{collection} was made without {'words' if lacks_words else 'vectors'} to search by"
        super().__init__(409, "vectors_missing", f"{detail}: ragops ingest --rebuild {collection}")
        self.lacks_words = lacks_words


class SearchRefusedError(ApiError):
    """Qdrant understood and does not carry out the search: strict mode, or a parameter."""

    def __init__(self, detail: str) -> None:
        super().__init__(409, "search_refused", f"Qdrant refuses the search: {detail}")


class Qdrant:
    """The vector store, with its failures as errors of this service.

    Every call raises DependencyFailedError when `attempts` attempts have failed, each on another node as long as there
    are others.
    """

    def __init__(
        self, config: QdrantConfig, api_key: Secret, *, timeout: float, clock: Clock, metrics: Metrics
    ) -> None:
        addresses = config.addresses()
        timers = {one.name: metrics.search_seconds.labels(one.name) for one in addresses}
        self._client = AsyncClient(
            addresses,
            lambda: next(iter(api_key()), ""),  # the key as it is now: it may be rotated while the service runs
            seconds=timeout,
            monotonic=clock.monotonic,
            observer=_NodeLog(metrics, addresses),
            on_hedge=metrics.hedges.inc,
            on_answer=lambda node, seconds: timers[node.name].observe(seconds),
        )
        self.attempts = self._client.attempts

    async def query(self, collection: str, asked: Question) -> list[Hit]:
        """Return the best points with their payloads.

        Raises ApiError 404 if there is no such collection, 409 if its vectors are of another embedder,
        VectorsMissingError, SearchRefusedError.
        """
        try:
            return await self._client.query(collection, asked)
        except RequestFailedError as error:
            if error.failure.status == httpx.codes.NOT_FOUND:
                raise ApiError(404, "collection_not_found", f"there is no collection {collection}") from error
            if error.failure.status == httpx.codes.BAD_REQUEST:
                raise _refused(collection, error.failure.detail) from error
            raise _qdrant_failed(error.failure) from error

    async def collections(self) -> list[str]:
        """Return the names of all collections."""
        try:
            return await self._client.collections()
        except RequestFailedError as error:
            raise _qdrant_failed(error.failure) from error

    async def ready(self) -> None:
        """Return if a node reports that it is ready."""
        try:
            await self._client.check_ready()
        except RequestFailedError as error:
            raise _qdrant_failed(error.failure) from error

    def ejected(self) -> list[str]:
        """Return the URLs of the nodes that get no reads at the moment."""
        return [address.url for address in self._client.balancer.ejected()]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


class _NodeLog:
    """Logs and counts which nodes fail and come back."""

    def __init__(self, metrics: Metrics, addresses: Iterable[Address]) -> None:
        self._failures = {one: metrics.node_failures.labels(one.url) for one in addresses}

    def ejected(self, node: Address, reason: str) -> None:
        """Log and count a failure."""
        self._failures[node].inc()
        values = {"node": node.url, "reason": reason, "left_out_seconds": EJECTED_SECONDS}
        log(_LOG, logging.WARNING, "qdrant_node_failed", **values)

    def readmitted(self, node: Address) -> None:
        """Log it."""
        log(_LOG, logging.INFO, "qdrant_node_back", node=node.url)


def _refused(collection: str, detail: str) -> ApiError:
    if detail.endswith(f"Not existing vector name error: {sparse.NAME}"):
        return VectorsMissingError(collection, lacks_words=True)
    if _DENSE_MISSING.search(detail):
        return VectorsMissingError(collection, lacks_words=False)
    if "dimension" in detail:
        what = f"the vectors of {collection} are not those of this embedder: ragops ingest --rebuild {collection}"
        return ApiError(409, "embedder_mismatch", what)
    return SearchRefusedError(detail)


def _qdrant_failed(failure: Failure) -> DependencyFailedError:
    match failure.status:
        case 401 | 403:
            reason = "refuses the API key of this service"
        case 429:
            reason = "has too many requests"
        case _:
            reason = failure.reason
    return DependencyFailedError("qdrant", reason)
