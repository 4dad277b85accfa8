"""Clients of the dependencies that answer questions: Qdrant, spread over its nodes, and Ollama."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from typing import TYPE_CHECKING, Any

import httpx

from ragops.adapters.qdrant import sparse
from ragops.adapters.qdrant.async_client import AsyncClient
from ragops.adapters.qdrant.balancing import EJECTED_SECONDS
from ragops.adapters.qdrant.failures import RequestFailedError, no_answer
from ragops.api.breakers import DependencyFailedError
from ragops.api.chat_stream import read_ollama, stream_chat
from ragops.api.logs import log
from ragops.api.problem import ApiError
from ragops.embedding.ollama import EMBED_PATH, embed_request, read_embeddings, read_error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from ragops.adapters.qdrant.addresses import Address
    from ragops.adapters.qdrant.failures import Failure
    from ragops.adapters.qdrant.searching import Hit, Question
    from ragops.api.clock import Clock
    from ragops.api.config import ChatConfig, EmbedderConfig, QdrantConfig, Secret
    from ragops.api.metrics import Metrics

_LOG = logging.getLogger(__name__)
_PAUSE_SECONDS = 0.05
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=50)


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


class NotConnectedError(DependencyFailedError):
    """There was no connection, so that the request may be sent again."""


class Qdrant:
    """The vector store, with its failures as errors of this service.

    Every call raises DependencyFailedError when `attempts` attempts have failed, each on another node as long as there
    are others.
    """

    def __init__(
        self, config: QdrantConfig, api_key: Secret, *, timeout: float, clock: Clock, metrics: Metrics
    ) -> None:
        self._client = AsyncClient(
            config.addresses(),
            lambda: next(iter(api_key()), ""),  # the key as it is now: it may be rotated while the service runs
            seconds=timeout,
            monotonic=clock.monotonic,
            observer=_NodeLog(metrics),
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

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def ejected(self, node: Address, reason: str) -> None:
        """Log and count a failure."""
        self._metrics.node_failures.labels(node.url).inc()
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


class Ollama:
    """One Ollama server; `name` is how it is called in errors. Times in seconds."""

    def __init__(self, name: str, url: str, timeout: float) -> None:
        self._name = name
        self._http = httpx.AsyncClient(
            base_url=url.rstrip("/"),
            timeout=httpx.Timeout(timeout, connect=min(timeout, 0.5)),
            limits=_LIMITS,
            trust_env=False,
        )

    async def embed(self, text: str, config: EmbedderConfig) -> list[float]:
        """Return the vector of one text; raises DependencyFailedError."""
        answer = await self._post(EMBED_PATH, embed_request(config.model, [text]))
        try:
            return read_embeddings(answer, 1, config.dimensions)[0]
        except (ValueError, TypeError) as error:
            raise DependencyFailedError(self._name, str(error)) from error

    async def chat(self, messages: Sequence[Mapping[str, str]], config: ChatConfig) -> str:
        """Return the model's answer; raises DependencyFailedError."""
        body = {"model": config.model, "messages": list(messages), "stream": False}
        answer = await self._post("/api/chat", body)
        try:
            return str(answer["message"]["content"]).strip()
        except (KeyError, TypeError) as error:
            raise DependencyFailedError(self._name, "its answer is not one of Ollama's") from error

    def chat_stream(self, messages: Sequence[Mapping[str, str]], config: ChatConfig) -> AsyncGenerator[str]:
        """Yield the pieces of the model's answer as they come; raises DependencyFailedError."""
        body = {"model": config.model, "messages": list(messages), "stream": True}
        return stream_chat(self._http, self._name, "/api/chat", body, read_ollama)

    async def ready(self) -> None:
        """Return if the server answers; raises DependencyFailedError."""
        try:
            response = await self._http.get("/api/version")
        except httpx.HTTPError as error:
            raise DependencyFailedError(self._name, no_answer(error)) from error
        if response.status_code != httpx.codes.OK:
            raise DependencyFailedError(self._name, f"answers {response.status_code}")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _post(self, path: str, body: Any) -> Any:
        """Send a request; repeat it once if there was no connection, never if the model may be at work on it."""
        try:
            return await self._attempt(path, body)
        except NotConnectedError:
            await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311  spreads retries, no secret
            return await self._attempt(path, body)

    async def _attempt(self, path: str, body: Any) -> Any:
        try:
            response = await self._http.post(path, json=body)
        except (httpx.ConnectError, httpx.RemoteProtocolError) as error:
            raise NotConnectedError(self._name, no_answer(error)) from error
        except httpx.HTTPError as error:
            raise DependencyFailedError(self._name, no_answer(error)) from error
        if response.status_code != httpx.codes.OK:
            raise DependencyFailedError(self._name, read_error(response))
        try:
            return response.json()
        except ValueError as error:
            raise DependencyFailedError(self._name, "its answer is not JSON") from error
