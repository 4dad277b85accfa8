"""Servers of models as the API asks them: vectors of questions, and answers, over Ollama's protocol or OpenAI's."""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING, Any

import httpx

from ragops.api.breakers import DependencyFailedError
from ragops.api.chat_stream import READERS, stream_chat
from ragops.api.problem import ApiError
from ragops.embedding import protocols
from ragops.embedding.protocols import Fault, ServerError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from ragops.api.config import Secret
    from ragops.embedding.spec import ChatSpec, ModelSpec

_PAUSE_SECONDS = 0.05
_READY_SECONDS = 5.0
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=50)


class NotConnectedError(DependencyFailedError):
    """There was no connection, so that the request may be sent again."""


class ModelServer:
    """One server; `name` is how it is called in errors. Times in seconds.

    Every call raises DependencyFailedError, which a breaker counts: also for an answer that did not come within
    `timeout`, with words that tell a slow server from one that is down. A server that is busy, or does not take the
    text, raises another ApiError: it is in order.
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
        answer = await self._post("embed", protocols.embed_body(spec, [whole]))
        try:
            return protocols.read_vectors(spec.kind, answer, 1, spec.dimensions)[0]
        except ServerError as error:
            raise DependencyFailedError(self._name, str(error)) from error

    async def chat(self, messages: Sequence[Mapping[str, str]], spec: ChatSpec) -> str:
        """Return the model's answer."""
        answer = await self._post("chat", protocols.chat_body(spec, messages, stream=False))
        try:
            return protocols.read_chat(spec.kind, answer)
        except ServerError as error:
            raise DependencyFailedError(self._name, str(error)) from error

    def chat_stream(self, messages: Sequence[Mapping[str, str]], spec: ChatSpec) -> AsyncGenerator[str]:
        """Yield the pieces of the model's answer as they come."""
        body = protocols.chat_body(spec, messages, stream=True)
        request = self._http.build_request("POST", protocols.path(self._kind, "chat"), json=body, headers=self._headers)
        return stream_chat(self._http, request, READERS[self._kind], self._failed)

    async def ready(self) -> None:
        """Return if the server answers. Raises ApiError (dependency_slow) if it takes too long, which is no failure."""
        path = protocols.path(self._kind, "ready")
        try:
            response = await self._http.get(path, headers=self._headers, timeout=_READY_SECONDS)
        except httpx.HTTPError as error:
            found = protocols.call_error(error, _READY_SECONDS)
            if found.fault is Fault.SLOW:
                detail = f"{self._name}: {found}"
                raise ApiError(503, "dependency_slow", detail, dependency=self._name) from error
            raise DependencyFailedError(self._name, str(found)) from error
        # Not every server of OpenAI's protocol lists its models: that it answers is enough.
        if response.status_code in (401, 403) or response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise DependencyFailedError(self._name, f"answers {response.status_code}")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @property
    def _headers(self) -> dict[str, str]:
        return protocols.headers(next(iter(self._key()), ""))

    async def _post(self, what: str, body: Any) -> Any:
        """Send a request; repeat it once if there was no connection, never if the model may be at work on it."""
        try:
            return await self._attempt(what, body)
        except NotConnectedError:
            await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311  spreads retries, no secret
            return await self._attempt(what, body)

    async def _attempt(self, what: str, body: Any) -> Any:
        try:
            response = await self._http.post(protocols.path(self._kind, what), json=body, headers=self._headers)
        except httpx.HTTPError as error:
            raise self._failed(error) from error
        try:
            return protocols.read_answer(response, next(iter(self._key()), ""))
        except ServerError as error:
            raise self._failed(error) from error

    def _failed(self, error: httpx.HTTPError | ServerError) -> ApiError:
        """Return the error of this service for a call that failed."""
        if isinstance(error, httpx.ConnectError | httpx.RemoteProtocolError):
            return NotConnectedError(self._name, str(protocols.call_error(error, self.timeout)))
        found = error if isinstance(error, ServerError) else protocols.call_error(error, self.timeout)
        detail = f"{self._name}: {found}"
        match found.fault:
            case Fault.BUSY:
                wait = {"Retry-After": str(max(1, math.ceil(found.wait or 1)))}
                return ApiError(503, "dependency_busy", detail, headers=wait, dependency=self._name)
            case Fault.REFUSED:
                return ApiError(422, "question_refused", detail, dependency=self._name)
        return DependencyFailedError(self._name, str(found))
