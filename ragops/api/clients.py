"""What the service asks over HTTP: Qdrant, spread over its nodes, and Ollama."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random

from ragops.api.breakers import DependencyFailedError
from ragops.api.nodes import Node, Nodes
from ragops.api.problem import ApiError
from ragops.embedding.ollama import EMBED_PATH, embed_request, read_embeddings, read_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from ragops.api.clock import Clock
    from ragops.api.config import ChatConfig, EmbedderConfig, Secret
    from ragops.api.metrics import Metrics

T = TypeVar("T")
ATTEMPTS = 2
_MOST_NODES_ASKED = 3
_READY = "/readyz"
_LOOK_SECONDS = 0.5
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=50)


class NodeFailedError(DependencyFailedError):
    """One attempt failed in a way that another attempt may not."""


@dataclass(frozen=True)
class Hit:
    """A point that was found; `score` is the cosine of the angle, 1 is the same direction."""

    id: str
    score: float
    payload: Mapping[str, Any]


async def _retried(attempts: int, attempt: Callable[[], Awaitable[T]]) -> T:
    """What `attempt` returns; after NodeFailedError it is made again, `attempts` times in all."""
    async for one in AsyncRetrying(
        stop=stop_after_attempt(attempts),
        wait=wait_random(0, 0.05),
        retry=retry_if_exception_type(NodeFailedError),
        reraise=True,
    ):
        with one:
            return await attempt()
    raise AssertionError("unreachable")


class Qdrant:
    """Reads spread round robin over the nodes; one that fails is left out until it was seen well again.

    Every call raises DependencyFailedError when `attempts` attempts have failed, each on another node as long as there
    are others.
    """

    def __init__(self, urls: Sequence[str], api_key: Secret, *, timeout: float, clock: Clock, metrics: Metrics) -> None:
        self._key = api_key
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout, connect=min(timeout, 0.5)),
            limits=_LIMITS,
            trust_env=False,
        )
        self._nodes = Nodes(urls, self._is_ready, clock, metrics)
        self.attempts = max(ATTEMPTS, min(len(urls), _MOST_NODES_ASKED))

    async def query(self, collection: str, vector: Sequence[float], limit: int) -> list[Hit]:
        """The nearest points with their payloads; ApiError 404 and 409 where the collection is not there or other."""
        body = {"query": list(vector), "limit": limit, "with_payload": True}
        response = await self._ask("POST", f"/collections/{quote(collection, safe='')}/points/query", body)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise ApiError(404, "collection_not_found", f"there is no collection {collection}")
        if response.status_code == httpx.codes.BAD_REQUEST:
            detail = f"the vectors of {collection} are not those of this embedder: ingest it again"
            raise ApiError(409, "embedder_mismatch", detail)
        return _read(response, _hits)

    async def collections(self) -> list[str]:
        """Names of all collections."""
        response = await self._ask("GET", "/collections")
        return _read(response, lambda values: [str(item["name"]) for item in values["result"]["collections"]])

    async def ready(self) -> None:
        """Nothing where a node says that it is ready."""
        response = await self._ask("GET", _READY)
        if response.status_code != httpx.codes.OK:
            raise DependencyFailedError("qdrant", f"{_READY} answers {response.status_code}")

    def left_out(self) -> list[str]:
        """The nodes that get no reads at the moment."""
        return self._nodes.left_out()

    async def close(self) -> None:
        """Give the connections back."""
        await self._nodes.close()
        await self._http.aclose()

    async def _ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        nodes = self._nodes.in_turn()
        response = await _retried(self.attempts, lambda: self._attempt(next(nodes), method, path, body))
        if response.status_code == httpx.codes.NOT_FOUND and len(self._nodes) > 1:
            # A node that has just come back may not have heard of the collection: another one has to say it too.
            return await _retried(self.attempts, lambda: self._attempt(next(nodes), method, path, body))
        return response

    def _headers(self) -> dict[str, str]:
        """The key as it is now: it may be rotated while the service runs."""
        return {"api-key": key} if (key := next(iter(self._key()), "")) else {}

    async def _attempt(self, node: Node, method: str, path: str, body: Any) -> httpx.Response:
        try:
            response = await self._http.request(method, node.url + path, json=body, headers=self._headers())
        except httpx.HTTPError as error:
            self._nodes.leave_out(node, type(error).__name__)
            raise NodeFailedError("qdrant", _words(error)) from error
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            self._nodes.leave_out(node, f"status {response.status_code}")
            raise NodeFailedError("qdrant", f"answers {response.status_code}")
        if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise DependencyFailedError("qdrant", "refuses the API key of this service")
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise DependencyFailedError("qdrant", "has too many requests")
        self._nodes.take_back(node)
        return response

    async def _is_ready(self, node: Node) -> bool:
        try:
            response = await self._http.get(node.url + _READY, timeout=_LOOK_SECONDS)
        except httpx.HTTPError:
            return False
        return response.status_code == httpx.codes.OK


def _words(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return "cannot be reached" if isinstance(error, httpx.ConnectError) else "the connection broke"


def _read(response: httpx.Response, reader: Callable[[Any], T]) -> T:
    if response.status_code != httpx.codes.OK:
        raise DependencyFailedError("qdrant", f"answers {response.status_code}")
    try:
        return reader(response.json())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DependencyFailedError("qdrant", "its answer is not one of Qdrant's") from error


def _hits(values: Any) -> list[Hit]:
    return [
        Hit(str(point["id"]), float(point["score"]), dict(point.get("payload") or {}))
        for point in values["result"]["points"]
    ]


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
        """The vector of one text; raises DependencyFailedError."""
        answer = await self._post(EMBED_PATH, embed_request(config.model, [text]))
        try:
            return read_embeddings(answer, 1, config.dimensions)[0]
        except (ValueError, TypeError) as error:
            raise DependencyFailedError(self._name, str(error)) from error

    async def chat(self, messages: Sequence[Mapping[str, str]], config: ChatConfig) -> str:
        """What the model says; raises DependencyFailedError."""
        body = {"model": config.model, "messages": list(messages), "stream": False}
        answer = await self._post("/api/chat", body)
        try:
            return str(answer["message"]["content"]).strip()
        except (KeyError, TypeError) as error:
            raise DependencyFailedError(self._name, "its answer is not one of Ollama's") from error

    async def ready(self) -> None:
        """Nothing where the server answers."""
        try:
            response = await self._http.get("/api/version")
        except httpx.HTTPError as error:
            raise DependencyFailedError(self._name, _words(error)) from error
        if response.status_code != httpx.codes.OK:
            raise DependencyFailedError(self._name, f"answers {response.status_code}")

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def _post(self, path: str, body: Any) -> Any:
        """Connections that could not be made are tried once more; a model that is at work is not asked twice."""
        return await _retried(ATTEMPTS, lambda: self._attempt(path, body))

    async def _attempt(self, path: str, body: Any) -> Any:
        try:
            response = await self._http.post(path, json=body)
        except (httpx.ConnectError, httpx.RemoteProtocolError) as error:
            raise NodeFailedError(self._name, _words(error)) from error
        except httpx.HTTPError as error:
            raise DependencyFailedError(self._name, _words(error)) from error
        if response.status_code != httpx.codes.OK:
            raise DependencyFailedError(self._name, read_error(response))
        try:
            return response.json()
        except ValueError as error:
            raise DependencyFailedError(self._name, "its answer is not JSON") from error
