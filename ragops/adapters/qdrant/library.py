"""The library `qdrant-client`: how ragops opens it, and the failures behind its exceptions.

Import this module only in a long run or a long-lived process: it takes 0.5 to 1 s and 60 MB. Commands that end within
a second (`status`, `health`) use `http.py`.
"""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import grpc
import httpx
from qdrant_client import AsyncQdrantClient, QdrantClient
from qdrant_client import grpc as qdrant_grpc
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from ragops.adapters import trace_context
from ragops.adapters.qdrant.addresses import root_certificates, verification
from ragops.adapters.qdrant.failures import NO_ANSWER, Failure, RequestFailedError, error_text, no_answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.adapters.qdrant.addresses import Address

_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=50)
_GRPC_PORT = 6334
_GRPC_OPTIONS = {
    # A node that is back is reached within half a second; by default the next try comes after up to two minutes.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 500,
    "grpc.max_reconnect_backoff_ms": 500,
    "grpc.enable_http_proxy": 0,
    # Calls are repeated here, at another node.
    "grpc.enable_retries": 0,
    # A connection that a firewall or a dead host has cut is noticed while calls wait for it.
    "grpc.keepalive_time_ms": 20_000,
    "grpc.keepalive_timeout_ms": 5_000,
}
_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
}
_BAD_GATEWAY = 502
_NO_ANSWER = {
    grpc.StatusCode.DEADLINE_EXCEEDED: "no answer in time",
    grpc.StatusCode.UNAVAILABLE: "cannot be reached",
    grpc.StatusCode.CANCELLED: "the connection broke",
}
_EXCEPTIONS = (
    grpc.RpcError,
    ApiException,
    QdrantException,
    TimeoutError,
    ValueError,
    KeyError,
    TypeError,
    AssertionError,
)


def open_client(address: Address, key: str, seconds: float) -> QdrantClient:
    """Return a client of one node; it connects with the first call, each call has a deadline of `seconds`."""
    with _insecure_is_meant():
        return QdrantClient(**_arguments(address, key, seconds))


def open_async_client(address: Address, key: str, seconds: float) -> AsyncQdrantClient:
    """Return a client of one node for coroutines, with deadlines of `seconds` rounded up to whole ones."""
    with _insecure_is_meant():
        hooks: dict[str, Any] = {} if address.grpc_url else {"event_hooks": {"request": [_pass_trace_on]}}
        return AsyncQdrantClient(**_arguments(address, key, seconds), **hooks)


async def _pass_trace_on(request: httpx.Request) -> None:
    request.headers.update(trace_context.headers())


class Stub:
    """The library's bare stub of one node's gRPC, without the interceptors that its client calls it through."""

    def __init__(self, address: Address, key: str) -> None:
        parts = urlsplit(address.grpc_url)
        unlimited = {"grpc.max_send_message_length": -1, "grpc.max_receive_message_length": -1}
        options = [*_GRPC_OPTIONS.items(), *unlimited.items()]
        target = f"{parts.hostname}:{parts.port or _GRPC_PORT}"
        if parts.scheme == "https":
            credentials = grpc.ssl_channel_credentials(root_certificates())
            self._channel = grpc.aio.secure_channel(target, credentials, options)
        else:
            self._channel = grpc.aio.insecure_channel(target, options)
        self._metadata: tuple[tuple[str, str], ...] | None = (("api-key", key),) if key else None
        self._points: Any = qdrant_grpc.PointsStub(self._channel)  # type: ignore[no-untyped-call]
        self._collections: Any = qdrant_grpc.CollectionsStub(self._channel)  # type: ignore[no-untyped-call]

    async def query(self, request: qdrant_grpc.QueryPoints, seconds: float) -> qdrant_grpc.QueryResponse:
        """Return the answer to a query; the deadline is `seconds`. Raises grpc.RpcError."""
        metadata = self._metadata
        if trace := trace_context.headers():
            metadata = (*(metadata or ()), *trace.items())
        found: qdrant_grpc.QueryResponse = await self._points.Query(request, timeout=seconds, metadata=metadata)
        return found

    async def greet(self, seconds: float) -> None:
        """Call the node, and wait up to `seconds` until it is connected. Raises grpc.RpcError."""
        request = qdrant_grpc.CollectionExistsRequest(collection_name="ragops-health")
        await self._collections.CollectionExists(request, timeout=seconds, metadata=self._metadata, wait_for_ready=True)

    async def close(self) -> None:
        """Close the connection, and end the calls on it."""
        await self._channel.close()


def collection_path(address: Address, collection: str) -> str:
    """Return a collection's name as a client of this node takes it: the library puts it into REST paths as it is."""
    return collection if address.grpc_url else quote(collection, safe="")


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise RequestFailedError for every exception of the library in the block."""
    try:
        yield
    except _EXCEPTIONS as error:
        raise RequestFailedError(_failure(error)) from error


def _arguments(address: Address, key: str, seconds: float) -> dict[str, Any]:
    common: dict[str, Any] = {"api_key": key or None, "timeout": math.ceil(seconds), "check_compatibility": False}
    # Texts are for Qdrant to embed. Without it the library looks at every number of every vector for some of its own.
    common["cloud_inference"] = True
    if not address.grpc_url:
        parts = urlsplit(address.url)
        rest = {"trust_env": False, "limits": _LIMITS, "verify": verification(address.url)}
        return {"url": address.url, "port": parts.port, **rest, **common}
    parts = urlsplit(address.grpc_url)
    certificates = root_certificates() if parts.scheme == "https" else None
    return {
        "host": parts.hostname,
        "https": parts.scheme == "https",
        "grpc_port": parts.port or _GRPC_PORT,
        "prefer_grpc": True,
        "pool_size": 1,  # one connection carries all calls
        "grpc_options": {**_GRPC_OPTIONS, "root_certificates": certificates},
        "verify": False,  # no call goes over REST; reading the certificates of the system takes longer than a search
        "trust_env": False,
        **common,
    }


@contextmanager
def _insecure_is_meant() -> Iterator[None]:
    """Within a host or a private network, `http` with a key is the value of the settings."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        yield


def _failure(error: BaseException) -> Failure:
    if isinstance(error, grpc.RpcError):
        return _grpc_failure(error)
    if isinstance(error, UnexpectedResponse):
        status = error.status_code or 500
        return Failure(status, f"answers {status}", error_text(error.content))
    if isinstance(error, ResponseHandlingException) and isinstance(error.source, httpx.HTTPError):
        return Failure(NO_ANSWER, no_answer(error.source))
    if isinstance(error, TimeoutError):
        return Failure(NO_ANSWER, "no answer in time")
    if isinstance(error, QdrantException):
        return Failure(429, "answers 429", str(error))
    return Failure(_BAD_GATEWAY, f"an answer that is not Qdrant's ({type(error).__name__})")


def _grpc_failure(error: grpc.RpcError) -> Failure:
    code, text = error.code(), str(error.details() or "")
    detail = text[:300]
    if code in _NO_ANSWER:
        return Failure(NO_ANSWER, _NO_ANSWER[code], detail)
    # A node that loses its connection to another one may report that as exhausted (seen on 1.18.3).
    status = _BAD_GATEWAY if "transport::Error" in text else _STATUS.get(code, 500)
    return Failure(status, f"answers {status}", detail)
