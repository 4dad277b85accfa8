"""Spans of requests, embedding, cache, searches and models, sent to an OTLP collector by OpenTelemetry's own library.

Imported only if the configuration names a collector.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import ragops
from ragops.adapters import trace_context
from ragops.adapters.trace_context import TraceContext
from ragops.errors import MissingError

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
except ImportError as error:
    raise MissingError(
        "tracing_missing",
        "cannot send traces: the exporter of OpenTelemetry is not installed",
        "run `pip install 'ragops-platform[tracing]'`, or take `tracing` out of section `api`",
    ) from error

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from opentelemetry.trace import Span
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ragops.api.config import TracingConfig

_PATH = "/v1/traces"
_SECONDS = 5.0  # of one export
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_PROPAGATOR = TraceContextTextMapPropagator()


class Tracing:
    """The recorder of this process; `close` sends what waits."""

    def __init__(self, config: TracingConfig, platform: str) -> None:
        resource = {
            "service.name": "ragops-api", "service.namespace": platform, "service.version": ragops.__version__,
            "service.instance.id": str(os.getpid()),
        }  # fmt: skip
        sampler = ParentBased(TraceIdRatioBased(config.sample))
        self._provider = TracerProvider(sampler=sampler, resource=Resource.create(resource), shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=config.endpoint.rstrip("/") + _PATH, timeout=_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("ragops.api", ragops.__version__)

    def close(self) -> None:
        """Send the spans that wait, and end; takes at most some seconds."""
        self._provider.shutdown()

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, str], *, is_call: bool) -> Iterator[object]:
        """Record the block."""
        kind = SpanKind.CLIENT if is_call else SpanKind.INTERNAL
        with self._tracer.start_as_current_span(name, attributes=attributes, kind=kind) as made, _passed_on(made):
            yield made

    @contextmanager
    def detached(self, name: str, attributes: Mapping[str, str]) -> Iterator[object]:
        """Record the block without making it the parent of what it calls."""
        made = self._tracer.start_span(name, attributes=attributes, kind=SpanKind.CLIENT)
        try:
            yield made
        except Exception as error:
            made.record_exception(error)
            made.set_status(StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            made.end()

    @contextmanager
    def request(self, name: str, attributes: Mapping[str, str], carried: TraceContext) -> Iterator[Span]:
        """Record a request, as a part of the trace that it claims to belong to."""
        carrier = {"traceparent": carried.parent, "tracestate": carried.state}
        parent = _PROPAGATOR.extract(carrier) if carried.parent else None
        started = self._tracer.start_as_current_span(
            name, context=parent, attributes=attributes, kind=SpanKind.SERVER, record_exception=False
        )
        with started as made, _passed_on(made):
            yield made


@contextmanager
def _passed_on(span: Span) -> Iterator[None]:
    """Have calls in the block pass this span on as their parent."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
    context = TraceContext(carrier.get("traceparent", ""), carrier.get("tracestate", ""))
    token = trace_context.current.set(context)
    try:
        yield
    finally:
        trace_context.current.reset(token)


class Traced:
    """ASGI middleware, outermost: records each request but those of health probes and scrapes."""

    def __init__(self, app: ASGIApp, tracing: Tracing, paths: Collection[str]) -> None:
        self._app = app
        self._tracing = tracing
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on as the current span."""
        if scope["type"] != "http" or scope["path"] in _QUIET:
            await self._app(scope, receive, send)
            return
        found = {name: value.decode("latin-1") for name, value in scope["headers"] if name.startswith(b"trace")}
        carried = trace_context.read(found.get(b"traceparent", ""), found.get(b"tracestate", ""))
        route = scope["path"] if scope["path"] in self._paths else "unmatched"
        attributes = {"http.request.method": scope["method"], "http.route": route}
        with self._tracing.request(f"{scope['method']} {route}", attributes, carried) as span:

            async def send_noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _note(span, message)
                await send(message)

            await self._app(scope, receive, send_noted)


def _note(span: Span, message: Message) -> None:
    """Keep the status of an answer, and the id by which logs name the request."""
    status = message["status"]
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR)
    identifier = next((value for name, value in message["headers"] if name == b"x-request-id"), b"")
    span.set_attribute("ragops.request_id", identifier.decode("latin-1"))
