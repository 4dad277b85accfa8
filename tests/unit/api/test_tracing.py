"""Trace context in and out, with and without spans; spans as an OTLP collector gets them, over its own protocol."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters import trace_context
from tests.unit.api.fakes import FakeOllama, Server, read_body
from tests.unit.api.test_auth import lines

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
QUESTION = {"collection": "manuals", "query": "rotation of secrets"}


@pytest.fixture
def ollama() -> Iterator[FakeOllama]:
    fake = FakeOllama(dimensions=384)
    fake.server = Server(fake).start()  # type: ignore[attr-defined]
    yield fake
    fake.server.stop()  # type: ignore[attr-defined]


def models(ollama: FakeOllama) -> dict[str, Any]:
    url = ollama.server.url  # type: ignore[attr-defined]
    return {
        "embedder": {"kind": "ollama", "url": url, "model": "e", "dimensions": 384},
        "chat": {"kind": "ollama", "url": url, "model": "c"},
    }


# --- without spans ---------------------------------------------------------------------------------------------------


async def test_a_callers_context_is_passed_on_as_it_came(start, qdrant, ollama, caplog):
    caplog.set_level(logging.INFO)
    api = await start(**models(ollama))
    headers = {"traceparent": PARENT, "tracestate": "vendor=1"}
    for accept in ("application/json", "text/event-stream"):
        answer = await api.http.post("/api/v1/query", json=QUESTION, headers={**headers, "Accept": accept})
        assert (answer.status_code, answer.headers["x-trace-id"]) == (200, TRACE)
    asked = [*qdrant.headers, *ollama.headers]
    assert len(asked) >= 6
    assert all((one["traceparent"], one["tracestate"]) == (PARENT, "vendor=1") for one in asked)
    assert {line["trace_id"] for line in lines(caplog, "request")} == {TRACE}
    assert trace_context.trace_id() == "", "nothing is left of it"


@pytest.mark.parametrize(
    "parent",
    ["", "x", PARENT[:-1], PARENT.upper(), f"ff{PARENT[2:]}", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01"],
)
async def test_what_is_no_context_is_not_passed_on(api, qdrant, parent, caplog):
    caplog.set_level(logging.INFO)
    answer = await api.http.post("/api/v1/search", json=QUESTION, headers={"traceparent": parent})
    assert answer.status_code == 200
    assert "x-trace-id" not in answer.headers
    assert all("traceparent" not in one for one in qdrant.headers)
    assert "trace_id" not in lines(caplog, "request")[0]


def test_a_state_that_could_break_a_header_is_left_out():
    assert trace_context.read(PARENT, "a=1\r\nx: y").state == ""
    assert trace_context.read(PARENT, "a" * 600).state == ""
    assert trace_context.read(f"01-{PARENT[3:]}-more", "a=1") == (f"01-{PARENT[3:]}-more", "a=1")


def test_without_a_collector_nothing_that_makes_spans_is_imported():
    program = (
        "import sys; import ragops.api.app, ragops.api.__main__, ragops.adapters.qdrant.async_client;"
        "made = ('opentelemetry.exporter.otlp.proto.http', 'ragops.api.tracing');"
        "sys.exit(any(name.startswith(made) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


# --- with spans ------------------------------------------------------------------------------------------------------


class Collector:
    """A collector of OpenTelemetry, as far as it takes spans: OTLP over HTTP, in protobuf."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.arrived = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
            ExportTraceServiceResponse,
        )

        if scope["type"] != "http":
            return
        assert (scope["path"], dict(scope["headers"])[b"content-type"]) == ("/v1/traces", b"application/x-protobuf")
        request = ExportTraceServiceRequest.FromString(await read_body(receive))
        for found in request.resource_spans:
            self.resources.append({one.key: one.value.string_value for one in found.resource.attributes})
            self.spans += [span for scoped in found.scope_spans for span in scoped.spans]
        self.arrived.set()
        body = ExportTraceServiceResponse().SerializeToString()
        headers = [(b"content-type", b"application/x-protobuf")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def attributes(self, span: Any) -> dict[str, Any]:
        return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}

    def parents(self) -> dict[str, str]:
        """The name of each span's parent, by its own name."""
        names = {span.span_id: span.name for span in self.spans}
        return {span.name: names.get(span.parent_span_id, span.parent_span_id.hex()) for span in self.spans}


@pytest.fixture
def collector() -> Iterator[Collector]:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    made = Collector()
    server = Server(made).start()
    made.url = server.url  # type: ignore[attr-defined]
    yield made
    server.stop()


async def test_the_spans_of_a_request(start, qdrant, ollama, collector, caplog):
    caplog.set_level(logging.INFO)
    redis = {"host": "127.0.0.1", "port": 1, "user": "u", "password_file": "qdrant.key"}
    api = await start(**models(ollama), redis=redis, tracing={"endpoint": collector.url})
    answer = await api.http.post("/api/v1/query", json=QUESTION, headers={"traceparent": PARENT})
    assert answer.json()["generated"] is True
    await api.http.get("/healthz")
    await api.deps.close()
    assert collector.parents() == {
        "POST /api/v1/query": SPAN,
        "cache get": "POST /api/v1/query",
        "cache put": "POST /api/v1/query",
        "embed": "POST /api/v1/query",
        "search": "POST /api/v1/query",
        "model": "POST /api/v1/query",
    }
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert collector.resources[0]["service.name"] == "ragops-api"
    assert collector.resources[0]["service.namespace"] == "test"
    by_name = {span.name: span for span in collector.spans}
    root, search = by_name["POST /api/v1/query"], by_name["search"]
    assert collector.attributes(root) == {
        "http.request.method": "POST", "http.route": "/api/v1/query", "http.response.status_code": 200,
        "ragops.request_id": answer.headers["x-request-id"],
    }  # fmt: skip
    assert collector.attributes(search) == {"node": qdrant.server.url, "collection": "manuals"}
    for asked, name in ((qdrant.headers, "search"), (ollama.headers, "model")):
        found = [f"00-{TRACE}-{span.span_id.hex()}-01" for span in collector.spans if span.name == name]
        assert [one["traceparent"] for one in asked] == found, "each is the parent of what the other service does"
    assert (answer.headers["x-trace-id"], lines(caplog, "request")[0]["trace_id"]) == (TRACE, TRACE)
    assert not any("rotation" in str(span) for span in collector.spans), "no question in a span"


async def test_a_stream_and_a_failure(start, qdrant, ollama, collector):
    api = await start(**models(ollama), tracing={"endpoint": collector.url})
    streamed = await api.http.post("/api/v1/query", json=QUESTION, headers={"Accept": "text/event-stream"})
    assert "event: answer" in streamed.text
    qdrant.fail = 500
    failed = await api.search("another question")
    assert failed.status_code == 503
    await api.deps.close()
    assert "model" in collector.parents()
    roots = {span.name: span for span in collector.spans if not span.parent_span_id}
    assert roots["POST /api/v1/search"].status.code == 2
    assert roots["POST /api/v1/query"].status.code == 0
    assert {span.status.code for span in collector.spans if span.name == "search"} == {0, 2}
    assert streamed.headers["x-trace-id"] == roots["POST /api/v1/query"].trace_id.hex()


async def test_a_share_of_traces_and_a_collector_that_is_away(start, collector):
    api = await start(tracing={"endpoint": collector.url, "sample": 0})
    assert (await api.search()).status_code == 200
    assert (await api.http.post("/api/v1/search", json=QUESTION, headers={"traceparent": PARENT})).status_code == 200
    await api.deps.close()
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}, "one that the caller records"
    away = await start(tracing={"endpoint": "http://127.0.0.1:1"})
    assert (await away.search()).status_code == 200
