"""What surrounds every request: its id, its line in the log, its time limit, and the end of old paths."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from datetime import UTC, datetime
from datetime import time as time_of_day
from email.utils import format_datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

from ragops.adapters import trace_context
from ragops.api.logs import log, request_id
from ragops.api.problem import ApiError
from ragops.api.streaming import is_event_stream

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import date

    from prometheus_client import Counter, Histogram
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ragops.adapters.trace_context import TraceContext
    from ragops.api.clock import Clock
    from ragops.api.config import LegacyConfig
    from ragops.api.metrics import Metrics

_LOG = logging.getLogger(__name__)
_SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,127}", re.ASCII)
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_QUESTIONS, _FROM_THE_START = ("/search", "/query"), (200, 500, 503, 504)
LEGACY_PATHS = frozenset({"/search", "/query", "/collections"})


class RequestLogging:
    """Outermost: gives the request an id, answers 500 for uncaught exceptions, counts and logs it."""

    def __init__(self, app: ASGIApp, clock: Clock, metrics: Metrics, paths: Collection[str]) -> None:
        self._app = app
        self._clock = clock
        self._metrics = metrics
        self._paths = paths
        self._children = lru_cache(maxsize=None)(self._labelled)  # few: no label is made up by a client
        for path in paths:
            if path.endswith(_QUESTIONS):
                for status in _FROM_THE_START:  # from 0 on: the first one is an increase already
                    self._children("POST", path, status)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with an id that the answer and every line of the log have."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        identifier, carried = _identify(scope["headers"])
        token = request_id.set(identifier)
        known = trace_context.current.get()  # a span that records this request
        trace_token = trace_context.current.set(known if known.parent else carried)
        trace = trace_context.trace_id().encode()
        started, status = self._clock.monotonic(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = [(b"x-request-id", identifier.encode())]
                if trace:
                    added.append((b"x-trace-id", trace))
                message["headers"] = [*message["headers"], *added]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            _LOG.exception("request_failed")
            if status:
                raise
            detail = "the service failed; its log has the reason under this request's id"
            await ApiError(500, "internal_error", detail).response()(scope, receive, send_with_id)
        finally:
            self._record(scope, status, self._clock.monotonic() - started)
            request_id.reset(token)
            trace_context.current.reset(trace_token)

    def _labelled(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        requests = self._metrics.requests.labels(method, route, str(status))
        return requests, self._metrics.request_seconds.labels(method, route, f"{status // 100}xx")

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope["path"] if scope["path"] in self._paths else "unmatched"
        counted, timed = self._children(_method(scope), route, status)
        counted.inc()
        timed.observe(seconds)
        if route in _QUIET and status < 400:
            return
        state = scope.get("state", {})
        log(
            _LOG, logging.INFO, "request",
            method=scope["method"], path=scope["path"][:200], status=status, ms=round(seconds * 1000, 2),
            consumer=state.get("consumer"), service=state.get("service"),
        )  # fmt: skip


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "other"


def _identify(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, TraceContext]:
    """Return the id that the gateway or the client gave if it has a safe form, else a new one, and the trace."""
    given = parent = state = ""
    for name, value in headers:
        if name == b"x-request-id":
            given = given or value.decode("latin-1")
        elif name == b"traceparent":
            parent = value.decode("latin-1")
        elif name == b"tracestate":
            state = value.decode("latin-1")
    identifier = given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
    return identifier, trace_context.read(parent, state) if parent else trace_context.NONE


class BodyLimit:
    """Reads the body of a request, at most `most` bytes, before anything is done with it."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body, or answer 413."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        message = await receive()
        body = bytearray(message.get("body", b""))
        while message.get("more_body") and len(body) <= self._most:
            message = await receive()
            body += message.get("body", b"")
        if len(body) > self._most:
            detail = f"the request is larger than {self._most // 1024} KiB"
            return await ApiError(413, "request_too_large", detail).response()(scope, receive, send)
        if message["type"] == "http.request":
            message = {"type": "http.request", "body": bytes(body), "more_body": False}
        waiting = [message]

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        return await self._app(scope, replay, send)


class Deadline:
    """Ends a request after `seconds`; running calls of dependencies continue to their own, shorter, time-outs.

    An answer that is streamed has begun by then; how long it may take is the affair of what writes it.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, answer 504 where it takes too long."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = False

        async def send_watched(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "http.response.start" and is_event_stream(message):
                limit.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(self._seconds) as limit:
                await self._app(scope, receive, send_watched)
        except TimeoutError:
            if started or not limit.expired():
                raise
            detail = f"the request took longer than {self._seconds:g} s"
            await ApiError(504, "deadline_exceeded", detail).response()(scope, receive, send)


class Legacy:
    """Marks the paths without a version as deprecated (RFC 9745, RFC 8594), and as gone from their sunset on."""

    def __init__(self, app: ASGIApp, config: LegacyConfig, clock: Clock, metrics: Metrics) -> None:
        self._app = app
        self._clock = clock
        self._metrics = metrics
        self._sunset = _midnight(config.sunset)
        self._headers = {
            "Deprecation": f"@{int(_midnight(config.deprecated).timestamp())}",
            "Sunset": format_datetime(self._sunset, usegmt=True),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the headers, or answer 410."""
        if scope["type"] != "http" or scope["path"] not in LEGACY_PATHS:
            await self._app(scope, receive, send)
            return
        successor = f"/api/v1{scope['path']}"

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                headers.append("Link", f'<{successor}>; rel="successor-version"')
            await send(message)

        if self._clock.now() >= self._sunset:
            detail = f"{scope['path']} was taken out of service on {self._sunset:%Y-%m-%d}: use {successor}"
            answer = ApiError(410, "gone", detail, successor=successor).response()
            await answer(scope, receive, send_marked)
            return
        await self._app(scope, receive, send_marked)
        self._metrics.legacy.labels(scope["path"]).inc()
        consumer = scope.get("state", {}).get("consumer")
        log(_LOG, logging.WARNING, "legacy_path", path=scope["path"], use=successor, consumer=consumer)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time_of_day(), UTC)
