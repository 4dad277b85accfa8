"""What is counted and timed, by which labels, and what a scrape sums over the workers."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ragops.api.metrics import MOST_COLLECTIONS, OTHER, Metrics
from tests.unit.api.fakes import FakeOllama, Server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_WORKER = """
from ragops.api.metrics import Metrics
metrics = Metrics()
metrics.breaker_state.labels("qdrant").set({level})
metrics.log_waiting.set({level})
metrics.legacy.labels("/search").inc()
metrics.question("manuals", "ok").observe(0.01)
print(metrics.text().decode())
"""


def worker(folder: Path, level: int) -> str:
    """What a worker that sets its breaker exposes; it has ended when this returns."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    command = [sys.executable, "-c", _WORKER.format(level=level)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_the_state_of_a_worker_that_died_is_forgotten_and_its_counts_stay(tmp_path: Path) -> None:
    assert 'ragops_api_breaker_state{dependency="qdrant"} 2.0' in worker(tmp_path, 2)
    text = worker(tmp_path, 0)
    assert 'ragops_api_breaker_state{dependency="qdrant"} 0.0' in text
    assert "ragops_api_query_log_waiting 0.0" in text
    assert 'ragops_api_legacy_requests_total{path="/search"} 2.0' in text
    assert 'ragops_api_question_seconds_count{collection="manuals",outcome="ok"} 2.0' in text


def asked(metrics: Metrics, collection: str, outcome: str) -> float | None:
    labels = {"collection": collection, "outcome": outcome}
    return metrics.registry.get_sample_value("ragops_api_question_seconds_count", labels)


def test_a_collection_is_a_label_after_its_first_answer_and_there_are_only_so_many() -> None:
    metrics = Metrics()
    metrics.question("made up", "refused").observe(1)
    assert (asked(metrics, "made up", "refused"), asked(metrics, OTHER, "refused")) == (None, 1)
    for number in range(MOST_COLLECTIONS + 5):
        metrics.question(f"collection {number}", "ok").observe(1)
    last = f"collection {MOST_COLLECTIONS - 1}"
    metrics.question(last, "failed").observe(1)
    assert (asked(metrics, last, "ok"), asked(metrics, last, "failed")) == (1, 1)
    assert (asked(metrics, f"collection {MOST_COLLECTIONS}", "ok"), asked(metrics, OTHER, "ok")) == (None, 5)


@pytest.mark.anyio
async def test_what_a_request_leaves(start: Callable[..., Any]) -> None:
    model = Server(FakeOllama()).start()
    api = await start(chat={"kind": "ollama", "url": model.url, "model": "m"})
    value = api.deps.metrics.registry.get_sample_value

    def count(name: str, **labels: str) -> float | None:
        return value(f"ragops_api_{name}", labels)

    assert count("auth_refused_total", kind="service", reason="forged") == 0, "its first one is an increase"
    assert count("breaker_changes_total", dependency="qdrant", state="open") == 0
    try:
        assert (await api.search()).status_code == 200
        await api.search(collection="nothing")
        body = {"collection": "manuals", "query": "rotation"}
        assert (await api.http.post("/api/v1/query", json=body)).json()["generated"] is True
        streamed = await api.http.post("/api/v1/query", json=body, headers={"Accept": "text/event-stream"})
        assert "event: answer" in streamed.text
    finally:
        model.stop()
    route = {"method": "POST", "route": "/api/v1/search"}
    assert count("requests_total", method="POST", route="/api/v2/search", status="503") == 0
    assert count("requests_total", **route, status="404") == 1
    assert count("request_seconds_count", **route, **{"class": "2xx"}) == 1
    assert count("request_seconds_count", **route, **{"class": "4xx"}) == 1
    assert count("question_seconds_count", collection="manuals", outcome="ok") == 3
    assert count("question_seconds_count", collection=OTHER, outcome="refused") == 1
    assert count("embedding_seconds_count", embedder="hashing-384-v1") == 4
    assert count("vector_search_seconds_count", node=api.deps.config.qdrant.urls[0]) == 3
    assert (count("model_seconds_count", model="m"), count("model_first_piece_seconds_count", model="m")) == (2, 1)


@pytest.mark.anyio
async def test_refused_tokens_are_counted_by_what_is_wrong_with_them(api: Any, issuer: Any) -> None:
    for token in ("Bearer x.y.z", f"Bearer {issuer.issue(exp=1, nbf=0, iat=0)}", ""):
        await api.http.get("/api/v1/collections", headers={"Authorization": token})
    for headers in ({}, {"X-Service-Token": "wrong-token-wrong-token"}):
        await api.http.get("/internal/breakers", headers=headers)
    read = api.deps.metrics.registry.get_sample_value
    found = {
        (kind, reason): read("ragops_api_auth_refused_total", {"kind": kind, "reason": reason})
        for kind in ("user", "service")
        for reason in ("missing", "expired", "forged")
    }
    user = {("user", "missing"): 1, ("user", "expired"): 1, ("user", "forged"): 1}
    assert found == user | {("service", "missing"): 1, ("service", "expired"): 0, ("service", "forged"): 1}
