"""What every request passes first: its id, the key, how many may run at once; and the line in the log after it."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
from typing import TYPE_CHECKING
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

from ragops.devserver.qdrant.errors import ApiError
from ragops.devserver.qdrant.http import failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ragops.devserver.qdrant.metrics import Metrics

OPEN = frozenset({"/", "/healthz", "/livez", "/readyz"})
_QUIET = OPEN | {"/metrics"}
_RUNNING, _WAITING = 16, 256
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = logging.getLogger("ragops.qdrant.access")


class Guard:
    """ASGI middleware; a request must bring one of `keys` as `api-key` or as a bearer token."""

    def __init__(self, app: ASGIApp, keys: Callable[[], Sequence[str]], metrics: Metrics) -> None:
        self._app = app
        self._keys = keys
        self._metrics = metrics
        self._slots = asyncio.Semaphore(_RUNNING)
        self._present = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, headers, status = time.monotonic(), Headers(scope=scope), 500
        scope["path"] = scope["path"].rstrip("/") or "/"
        request_id = scope["ragops.request_id"] = _request_id(headers)

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self._admit(scope, headers, receive, answered, started)
        finally:
            seconds = time.monotonic() - started
            pattern = scope.get("ragops.pattern", "unknown")
            self._metrics.note(scope["method"], pattern, status, seconds)
            if scope["path"] not in _QUIET:
                extra = {
                    "request_id": request_id,
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "milliseconds": round(seconds * 1000, 2),
                }
                _log.info("request", extra=extra)

    async def _admit(self, scope: Scope, headers: Headers, receive: Receive, send: Send, started: float) -> None:
        if scope["path"] in OPEN:
            await self._app(scope, receive, send)
        elif refusal := self._refusal(headers):
            await PlainTextResponse(refusal, 401)(scope, receive, send)
        elif self._present >= _WAITING:
            error = ApiError(503, f"Service unavailable: {_WAITING} requests are waiting already, try again later")
            response = failure(error, started)
            response.headers["retry-after"] = "1"
            await response(scope, receive, send)
        else:
            self._present += 1
            try:
                async with self._slots:
                    await self._app(scope, receive, send)
            finally:
                self._present -= 1

    def _refusal(self, headers: Headers) -> str:
        """Return why the key is not accepted, in Qdrant's wording, empty if it is."""
        given = headers.get("api-key")
        if given is None:
            scheme, _, token = headers.get("authorization", "").partition(" ")
            given = token if scheme == "Bearer" else None
        if given is None:
            return "Must provide an API key or an Authorization bearer token"
        sent = given.encode("latin-1", "replace")
        same = [hmac.compare_digest(sent, key.encode()) for key in self._keys()]
        return "" if any(same) else "Invalid API key or JWT"


def _request_id(headers: Headers) -> str:
    """Return the caller's id if it is harmless in a log, else a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid4().hex
