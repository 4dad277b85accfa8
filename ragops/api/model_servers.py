"""Servers of models as the API asks them: vectors of questions, and answers, over Ollama's protocol or OpenAI's."""

from __future__ import annotations

import asyncio
import math
import random
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import httpx

from ragops.adapters import trace_context
from ragops.api.chat_stream import read_body, stream_chat
from ragops.api.dependency_errors import SLOW, DependencyFailedError, SlowError
from ragops.api.problem import ApiError
from ragops.embedding import protocols, responses
from ragops.embedding.protocols import Fault, ServerError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from ragops.api.config import Secret
    from ragops.embedding.responses import Piece
    from ragops.embedding.spec import ChatSpec, ModelSpec

BUSY = "dependency_busy"
_WITHOUT_LIST = (Fault.UNREADABLE, Fault.REFUSED, Fault.MISSING)  # not every server of OpenAI's protocol has a list
_PAUSE_SECONDS = 0.05
_READY_SECONDS = 5.0
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=50)


class NotConnectedError(DependencyFailedError):
    """There was no connection, so that the request may be sent again."""


class TooLongError(ApiError):
    """The model takes less text than that."""


class ModelServer:
    """One server; `name` is how it is called in errors. Times in seconds.

    Every call raises DependencyFailedError, which a breaker counts; SlowError is one for an answer that did not come
    within `timeout`. A server that is busy (dependency_busy), or does not take the text (question_refused;
    TooLongError if it takes less), raises another ApiError: it is in order.
    """

    def __init__(self, name: str, kind: str, url: str, timeout: float, key: Secret = lambda: ()) -> None:
        self.timeout = timeout
        self._name = name
        self._kind = kind
        self._key = key
        self._http = httpx.AsyncClient(
            base_url=protocols.base_url(kind, url),
            timeout=httpx.Timeout(timeout, connect=min(timeout, protocols.CONNECT_SECONDS)),
            limits=_LIMITS,
            trust_env=False,
        )

    async def embed(self, text: str, spec: ModelSpec, *, prefixed: bool = True) -> list[float]:
        """Return the vector of a question, `prefixed` as the model's family has it if its passages were."""
        whole = f"{spec.prefixes[0]}{text}" if prefixed else text
        most = responses.most_bytes(1, spec.dimensions)
        answer = await self._post("embed", protocols.embed_body(spec, [whole]), most)
        try:
            return responses.read_vectors(spec.kind, answer, 1, spec.dimensions)[0]
        except ServerError as error:
            raise DependencyFailedError(self._name, str(error)) from error

    async def chat(self, messages: Sequence[Mapping[str, str]], spec: ChatSpec) -> Piece:
        """Return the model's answer, which is a single piece."""
        answer = await self._post("chat", protocols.chat_body(spec, messages, stream=False), responses.MOST_BYTES)
        try:
            return responses.read_chat(spec.kind, answer)
        except ServerError as error:
            raise DependencyFailedError(self._name, str(error)) from error

    def chat_stream(self, messages: Sequence[Mapping[str, str]], spec: ChatSpec) -> AsyncGenerator[Piece]:
        """Yield the pieces of the model's answer as they come."""
        body = protocols.chat_body(spec, messages, stream=True)
        headers = {**protocols.headers(next(iter(self._key()), "")), **trace_context.headers()}
        request = self._http.build_request("POST", protocols.path(self._kind, "chat"), json=body, headers=headers)
        return self._traced(stream_chat(self._http, request, self._kind, self._failed))

    async def ready(self, model: str) -> None:
        """Return if the server answers and has `model`, as far as it lists its models.

        Raises what a call raises; an answer that takes too long is no failure here (ApiError, dependency_slow).
        """
        try:
            path = protocols.path(self._kind, "models")
            listed = await self._ask("GET", path, None, responses.MOST_BYTES, _READY_SECONDS)
        except ServerError as error:
            if self._kind == "openai" and error.fault in _WITHOUT_LIST:
                return
            if error.fault is Fault.SLOW:
                raise ApiError(503, SLOW, f"{self._name}: {error}", dependency=self._name) from error
            raise self._failed(error) from error
        except httpx.HTTPError as error:
            raise self._failed(error) from error
        if not responses.has_model(self._kind, listed, model):
            raise ApiError(503, "model_missing", f"{self._name}: it does not list {model}", dependency=self._name)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _post(self, what: str, body: Any, most: int) -> Any:
        """Send a request; repeat it once if there was no connection, never if the model may be at work on it."""
        path = protocols.path(self._kind, what)
        for is_last in (False, True):
            try:
                return await self._ask("POST", path, body, most, self.timeout)
            except (httpx.HTTPError, ServerError) as error:
                failed = self._failed(error)
                if is_last or not isinstance(failed, NotConnectedError):
                    raise failed from error
            await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311  spreads retries, no secret
        raise AssertionError("unreachable")

    async def _ask(self, method: str, path: str, body: Any, most: int, seconds: float) -> Any:
        """Return the JSON that the server answers within so many seconds. Raises httpx.HTTPError, ServerError."""
        key = next(iter(self._key()), "")
        with trace_context.span("model", is_call=True, server=self._name, path=path):
            headers = {**protocols.headers(key), **trace_context.headers()}
            try:
                async with (
                    asyncio.timeout(seconds),
                    self._http.stream(method, path, json=body, headers=headers) as found,
                ):
                    return responses.read_response(found, await read_body(found, most), key)
            except TimeoutError:
                raise protocols.slow(seconds) from None

    async def _traced(self, pieces: AsyncGenerator[Piece]) -> AsyncGenerator[Piece]:
        with trace_context.detached_span("model", server=self._name, path=protocols.path(self._kind, "chat")):
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece

    def _failed(self, error: httpx.HTTPError | ServerError) -> ApiError:
        """Return the error of this service for a call that failed."""
        if isinstance(error, httpx.ConnectError | httpx.RemoteProtocolError):
            return NotConnectedError(self._name, str(protocols.call_error(error, self.timeout)))
        found = error if isinstance(error, ServerError) else protocols.call_error(error, self.timeout)
        detail = f"{self._name}: {found}"
        match found.fault:
            case Fault.BUSY:
                wait = {"Retry-After": str(max(1, math.ceil(found.wait or 1)))}
                return ApiError(503, BUSY, detail, headers=wait, dependency=self._name)
            case Fault.REFUSED:
                kind = TooLongError if found.is_too_long else ApiError
                return kind(422, "question_refused", detail, dependency=self._name)
            case Fault.SLOW:
                return SlowError(self._name, str(found))
        return DependencyFailedError(self._name, str(found))
