"""Versions 1 and 2 over a Qdrant that speaks its protocol: what is found, in which shape, and every way to fail."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from ragops.embedding.hashing import HashingEmbedder
from ragops.services.qdrant.names import HEALTH_COLLECTION, PROVEN_PREFIX, RESTORE_SUFFIX, is_internal
from tests.ports import free_port
from tests.unit.api.fakes import FakeOllama, FakeQdrant, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

pytestmark = pytest.mark.anyio


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The answer is a problem of this kind, whole."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"] == f"urn:ragops:problem:{code.replace('_', '-')}"
    assert body["request_id"] == response.headers["x-request-id"]
    return body


async def test_v1_finds_passages_best_first(api):
    response = await api.search("rotation of the service token")
    body = response.json()
    assert body["embedder"] == "hashing-384-v1"
    assert body["collection"] == "manuals"
    assert next(result["path"] for result in body["results"]) == "rotation.md"
    scores = [result["score"] for result in body["results"]]
    assert scores == sorted(scores, reverse=True)
    passage = {"id", "document_id", "path", "position", "score", "text", "heading", "collection"}
    assert set(body["results"][0]) == passage


async def test_get_and_post_answer_the_same(api):
    asked = {"collection": "manuals", "query": "snapshots of redis and services", "limit": 2}
    by_get = await api.http.get("/api/v1/search", params=asked)
    by_post = await api.http.post("/api/v1/search", json=asked)
    assert by_get.json() == by_post.json()
    assert len(by_get.json()["results"]) == 2


async def test_query_without_a_model_says_that_the_passages_are_the_answer(api):
    response = await api.http.post("/api/v1/query", json={"collection": "manuals", "query": "recovery point"})
    body = response.json()
    assert body["answer"] is None
    assert body["generated"] is False
    assert "No chat model" in body["note"]
    assert body["passages"][0]["path"] == "backup.md"
    assert body["embedder"] == "hashing-384-v1"


async def test_collections_come_from_the_store_where_there_is_no_database(api, qdrant):
    qdrant.collections["another"] = []
    first = (await api.http.get("/api/v1/collections", params={"limit": 1})).json()
    assert [found["name"] for found in first["collections"]] == ["another"]
    second = (await api.http.get("/api/v1/collections", params={"after": first["next"]})).json()
    assert [found["name"] for found in second["collections"]] == ["manuals"]
    assert second["next"] is None


async def test_a_users_collection_with_our_prefix_is_listed_and_our_own_are_not(api, qdrant):
    ours = [HEALTH_COLLECTION, f"docs{RESTORE_SUFFIX}", f"{PROVEN_PREFIX}docs"]
    qdrant.collections |= {name: [] for name in ["ragops-docs", *ours]}
    found = (await api.http.get("/api/v1/collections")).json()
    assert [one["name"] for one in found["collections"]] == ["manuals", "ragops-docs"]
    assert [name for name in qdrant.collections if is_internal(name)] == ours, "as recovery points have it"


async def test_v2_groups_by_document_and_pages_through_all_of_them(api, qdrant):
    texts = {f"{number}.md": f"rotation number {number} " + "words " * number for number in range(25)}
    qdrant.add("many", texts, HashingEmbedder().embed)
    for point in qdrant.collections["many"]:
        point["payload"]["document_id"] //= 2
    seen: list[Any] = []
    cursor, pages = None, 0
    while pages == 0 or cursor:
        asked = {"collection": "many", "query": "rotation", "limit": 5, **({"cursor": cursor} if cursor else {})}
        body = (await api.http.post("/api/v2/search", json=asked)).json()
        seen += body["documents"]
        cursor, pages = body["next_cursor"], pages + 1
    assert pages == 3
    assert sorted(document["document_id"] for document in seen) == list(range(13))
    assert [document["score"] for document in seen] == sorted((d["score"] for d in seen), reverse=True)
    assert sum(len(document["passages"]) for document in seen) == 25
    assert all(document["score"] == document["passages"][0]["score"] for document in seen)


async def test_v2_shows_no_more_passages_of_a_document_than_asked(api, qdrant):
    for point in qdrant.collections["manuals"]:
        point["payload"]["document_id"] = 1
    asked = {"collection": "manuals", "query": "rotation of services", "passages": 2}
    [document] = (await api.http.post("/api/v2/search", json=asked)).json()["documents"]
    assert len(document["passages"]) == 2


def _made_up(values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode()


@pytest.mark.parametrize(
    "cursor", ["x", "é", "eyJ9", _made_up([1]), _made_up({"a": [1, "x"], "q": "other"}), _made_up({"a": 3})]
)
async def test_v2_refuses_a_cursor_that_is_none_of_this_question(api, cursor):
    asked = {"collection": "manuals", "query": "rotation", "cursor": cursor}
    problem(await api.http.post("/api/v2/search", json=asked), 409, "cursor_mismatch")


async def test_v2_refuses_the_cursor_of_another_question(api):
    asked = {"collection": "manuals", "query": "rotation of services", "limit": 1}
    cursor = (await api.http.post("/api/v2/search", json=asked)).json()["next_cursor"]
    assert (await api.http.post("/api/v2/search", json={**asked, "cursor": cursor})).status_code == 200
    problem(
        await api.http.post("/api/v2/search", json={**asked, "query": "other", "cursor": cursor}),
        409,
        "cursor_mismatch",
    )


async def test_unknown_collection(api):
    body = problem(await api.search(collection="nothing"), 404, "collection_not_found")
    assert "nothing" in body["detail"]


async def test_vectors_of_another_embedder(api, qdrant):
    qdrant.dimensions = 768
    problem(await api.search(), 409, "embedder_mismatch")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"collection": "manuals"}, "/body/query"),
        ({"collection": "manuals", "query": "  "}, "/body/query"),
        ({"collection": "manuals", "query": "x" * 2001}, "/body/query"),
        ({"collection": "../../internal", "query": "x"}, "/body/collection"),
        ({"collection": "..", "query": "x"}, "/body/collection"),
        ({"collection": "manuals", "query": "x", "limit": 0}, "/body/limit"),
        ({"collection": "manuals", "query": "x", "surprise": 1}, "/body/surprise"),
    ],
)
async def test_invalid_requests_name_the_place(api, qdrant, body, pointer):
    answer = problem(await api.http.post("/api/v1/search", json=body), 422, "invalid_request")
    assert pointer in [fault["pointer"] for fault in answer["errors"]]
    assert qdrant.calls == []


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b'{"query": "\\ud800", "collection": "a"}', b"[" * 5000])
async def test_what_is_no_json_is_a_problem_too(api, content):
    headers = {"Content-Type": "application/json"}
    response = await api.http.post("/api/v1/search", content=content, headers=headers)
    problem(response, 422, "invalid_request")


async def test_too_large_unknown_and_wrong_method(api):
    body = json.dumps({"collection": "manuals", "query": "x" * 70_000})
    headers = {"Content-Type": "application/json"}
    problem(await api.http.post("/api/v1/search", content=body, headers=headers), 413, "request_too_large")
    problem(await api.http.get("/api/v3/search"), 404, "no_such_path")
    refused = await api.http.delete("/api/v1/search")
    problem(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "GET, POST"


async def test_request_ids_are_kept_when_sane_and_made_when_not(api):
    kept = await api.http.get("/healthz", headers={"X-Request-Id": "abc-123.DEF_456"})
    assert kept.headers["x-request-id"] == "abc-123.DEF_456"
    for given in ("short", "x" * 200, "has spaces in it", "new\tline-line"):
        made = await api.http.get("/healthz", headers={"X-Request-Id": given})
        assert len(made.headers["x-request-id"]) == 32


# --- Qdrant: nodes and breaker ---------------------------------------------------------------------------------------


@pytest.fixture
def other() -> Iterator[FakeQdrant]:
    fake = FakeQdrant()
    fake.add("manuals", {"a.md": "rotation"}, HashingEmbedder().embed)
    fake.server = server = Server(fake).start()  # type: ignore[attr-defined]
    yield fake
    server.stop()


def nodes(*fakes: FakeQdrant) -> dict[str, Any]:
    return {"urls": [fake.server.url for fake in fakes], "api_key_file": "qdrant.key"}


async def test_reads_are_spread_over_the_nodes(start, qdrant, other):
    api = await start(qdrant=nodes(qdrant, other))
    for number in range(10):
        assert (await api.search(f"rotation {number}")).status_code == 200
    assert len(qdrant.calls) == len(other.calls) == 5


async def test_a_node_that_fails_is_left_out_and_no_read_fails(start, qdrant, other, clock):
    api = await start(qdrant=nodes(qdrant, other))
    other.server.stop()
    for number in range(10):
        assert (await api.search(f"rotation {number}")).status_code == 200
    state = (await api.internal()).json()
    assert state["qdrant_nodes_left_out"] == [other.server.url]
    assert state["breakers"][0]["failures"] == 0
    other.server.start()
    other.calls.clear()
    clock.move(6)
    assert (await api.search("rotation again")).status_code == 200
    await until(lambda: "/readyz" in other.calls)
    await until(lambda: api.deps.search.qdrant.ejected() == [])
    for number in range(10, 20):
        assert (await api.search(f"rotation {number}")).status_code == 200
    assert len(other.calls) == 6, "one look and every other read"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_no_read_is_spent_on_a_node_that_is_still_away(start, qdrant, other, clock):
    api = await start(qdrant=nodes(qdrant, other))
    other.fail = 503
    for number in range(4):
        assert (await api.search(f"rotation {number}")).status_code == 200
    for number in range(3):
        clock.move(6)
        looked = other.calls.count("/readyz")
        assert (await api.search(f"question {number}")).status_code == 200
        await until(lambda: other.calls.count("/readyz") > looked)  # noqa: B023  awaited at once
        await until(lambda: not api.deps.search.qdrant._client.balancer._probes)
    assert api.deps.search.qdrant.ejected() == [other.server.url]
    assert len(other.calls) - other.calls.count("/readyz") == 1, "the read that found out"


async def test_where_all_are_left_out_they_are_asked_all_the_same(start, qdrant, other):
    api = await start(qdrant=nodes(qdrant, other))
    qdrant.fail = other.fail = 503
    assert (await api.search()).status_code == 503
    qdrant.fail = other.fail = 0
    assert len(api.deps.search.qdrant.ejected()) == 2
    assert (await api.search()).status_code == 200


async def test_a_collection_that_one_node_has_not_heard_of_is_asked_for_at_another(start, qdrant, other):
    api = await start(qdrant=nodes(qdrant, other))
    del other.collections["manuals"]
    for number in range(4):
        assert (await api.search(f"rotation {number}")).status_code == 200
    del qdrant.collections["manuals"]
    problem(await api.search("rotation of others"), 404, "collection_not_found")


async def test_a_node_that_answers_500_is_left_out(start, qdrant, other):
    api = await start(qdrant=nodes(qdrant, other))
    other.fail = 503
    for number in range(6):
        assert (await api.search(f"rotation {number}")).status_code == 200
    assert len(other.calls) == 1, "one attempt told it"


async def test_breaker_opens_refuses_without_a_call_and_closes_by_itself(api, qdrant, clock):
    qdrant.fail = 500
    for number in range(5):
        body = problem(await api.search(f"question {number}"), 503, "dependency_failed")
        assert body["dependency"] == "qdrant"
    touched = len(qdrant.calls)
    assert touched == 10, "each call is tried twice"
    clock.move(3.5)
    for number in range(20):
        refused = await api.search(f"other {number}")
        problem(refused, 503, "circuit_open")
        assert refused.headers["retry-after"] == "27"
    for path in ("/api/v1/query", "/api/v2/search"):
        problem(await api.http.post(path, json={"collection": "manuals", "query": "x"}), 503, "circuit_open")
    assert len(qdrant.calls) == touched
    assert (await api.http.get("/healthz")).status_code == 200
    assert (await api.http.get("/readyz")).status_code == 503
    assert len(qdrant.calls) == touched, "readiness asks through the breaker"
    [qdrant_state] = (await api.internal()).json()["breakers"]
    assert qdrant_state["state"] == "open"
    assert qdrant_state["last_error"] == "qdrant: answers 500"
    text = (await api.http.get("/metrics")).text
    assert 'ragops_api_breaker_state{dependency="qdrant"} 2.0' in text
    qdrant.fail = 0
    clock.move(26.5)
    assert (await api.search()).status_code == 200
    assert (await api.internal()).json()["breakers"][0]["state"] == "closed"


async def test_a_port_that_is_closed_opens_it_as_well(api, qdrant, clock):
    qdrant.server.stop()
    for number in range(5):
        problem(await api.search(f"question {number}"), 503, "dependency_failed")
    problem(await api.search(), 503, "circuit_open")
    qdrant.server.start()
    problem(await api.search(), 503, "circuit_open")
    assert qdrant.calls == []
    clock.move(30)
    assert (await api.search()).status_code == 200


async def test_a_wrong_key_is_told_without_it(start, qdrant):
    qdrant.api_key = "another"
    api = await start()
    body = problem(await api.search(), 503, "dependency_failed")
    assert "API key" in body["detail"]


async def test_a_slow_qdrant_is_given_up(start, qdrant):
    qdrant.delay = 5
    api = await start(timeouts={"qdrant": 0.05})
    body = problem(await api.search(), 503, "dependency_failed")
    assert "in time" in body["detail"]


async def test_the_whole_request_has_a_deadline(start, qdrant):
    qdrant.delay = 5
    api = await start(timeouts={"qdrant": 4, "request": 0.1})
    problem(await api.search(), 504, "deadline_exceeded")


async def test_answers_that_are_not_qdrants(api, qdrant):
    for point in qdrant.collections["manuals"]:
        del point["payload"]
        point["payload"] = ["no", "object"]
    response = await api.search()
    problem(response, 503, "dependency_failed")


# --- Ollama ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ollama() -> Iterator[FakeOllama]:
    fake = FakeOllama(dimensions=384)
    fake.server = server = Server(fake).start()  # type: ignore[attr-defined]
    yield fake
    server.stop()


async def test_embeddings_of_ollama(start, qdrant, ollama):
    api = await start(embedder={"kind": "ollama", "model": "nomic-embed-text", "url": ollama.server.url})
    body = (await api.search("what")).json()
    assert body["embedder"] == "nomic-embed-text"
    body = {"model": "nomic-embed-text", "input": ["search_query: what"], "truncate": True, "keep_alive": "30m"}
    assert ollama.calls == [("/api/embed", body)]


async def test_ollama_has_a_breaker_of_its_own(start, qdrant, ollama, clock):
    api = await start(embedder={"kind": "ollama", "model": "m", "url": ollama.server.url})
    ollama.fail = 500
    for number in range(5):
        body = problem(await api.search(f"q {number}"), 503, "dependency_failed")
        assert body["dependency"] == "ollama"
    touched = len(ollama.calls)
    assert touched == 5, "a model that answers with an error is not asked twice"
    problem(await api.search("q"), 503, "circuit_open")
    assert len(ollama.calls) == touched
    assert qdrant.calls == [], "nothing else is asked for nothing"
    assert (await api.http.get("/api/v1/collections")).status_code == 200, "the rest keeps answering"
    ollama.fail = 0
    clock.move(30)
    assert (await api.search("q")).status_code == 200


async def test_wrong_dimensions_of_a_model(start, ollama):
    api = await start(embedder={"kind": "ollama", "model": "m", "url": ollama.server.url, "dimensions": 512})
    body = problem(await api.search(), 503, "dependency_failed")
    assert "384 dimensions, not 512" in body["detail"]


async def test_a_chat_model_writes_the_answer_from_the_passages(start, ollama):
    api = await start(chat={"model": "llama", "url": ollama.server.url})
    response = await api.http.post("/api/v1/query", json={"collection": "manuals", "query": "recovery point"})
    body = response.json()
    assert body["answer"] == "Because of [1]."
    assert body["generated"] is True
    assert body["model"] == "llama"
    assert body["note"] is None
    [(path, asked)] = ollama.calls
    assert path == "/api/chat"
    assert asked["stream"] is False
    assert "[1] backup.md" in asked["messages"][1]["content"]
    assert asked["messages"][1]["content"].endswith("Question: recovery point")


async def test_a_chat_model_that_fails_leaves_the_passages(start, ollama):
    api = await start(chat={"model": "llama", "url": f"http://127.0.0.1:{free_port()}"})
    for number in range(6):
        asked = {"collection": "manuals", "query": f"recovery point {number}"}
        body = (await api.http.post("/api/v1/query", json=asked)).json()
        assert body["generated"] is False
        assert body["answer"] is None
        assert body["passages"]
    assert "try again in 30 s" in body["note"]
    assert (await api.search()).status_code == 200


# --- operations ------------------------------------------------------------------------------------------------------


async def test_ready_names_what_is_missing(start, qdrant):
    gone = {"host": "127.0.0.1", "port": free_port(), "user": "rag", "password_file": "qdrant.key"}
    api = await start(redis=gone)
    body = (await api.http.get("/readyz")).json()
    assert body["status"] == "degraded"
    assert {check["name"]: check["status"] for check in body["checks"]} == {
        "qdrant": "ok",
        "tokens": "ok",
        "redis": "degraded",
    }
    assert (await api.search()).status_code == 200, "the cache is allowed to be down"
    qdrant.server.stop()
    response = await api.http.get("/readyz")
    assert response.status_code == 503
    assert response.json()["status"] == "down"


async def test_refresh_says_when_the_cache_cannot_be_reached(start):
    gone = {"host": "127.0.0.1", "port": free_port(), "user": "rag", "password_file": "qdrant.key"}
    api = await start(redis=gone)
    headers = {"X-Service-Token": "operator-token-operator-token"}
    response = await api.http.post("/internal/collections/refresh", json={"collections": ["manuals"]}, headers=headers)
    assert response.json()["forgotten"] is False


async def test_metrics_know_routes_not_paths(api):
    await api.search()
    await api.http.get("/api/v1/secret-path-of-a-scanner")
    text = (await api.http.get("/metrics")).text
    assert 'route="/api/v1/search",status="200"' in text
    assert "scanner" not in text
    assert 'route="unmatched"' in text


async def test_a_fault_of_our_own_is_a_problem_without_its_words(api, monkeypatch):
    async def broken(*_: object) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(api.deps.search, "passages", broken)
    response = await api.search()
    problem(response, 500, "internal_error")
    assert "secret" not in response.text
