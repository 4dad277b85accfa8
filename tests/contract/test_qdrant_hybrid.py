"""Sparse vectors of words and fusion by rank: the development engine and a Qdrant server give the same answers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import qdrant_edge as edge
from pydantic import SecretStr

from ragops.adapters.qdrant.addresses import Address
from ragops.adapters.qdrant.async_client import AsyncClient
from ragops.adapters.qdrant.searching import Question
from ragops.adapters.qdrant.sparse import WordModel
from ragops.ingest.vectors import Point, VectorStore
from ragops.operations.observe import consistency
from ragops.services.contract import Endpoint, Login, Status
from tests.contract.qdrant_servers import error_of, upload

if TYPE_CHECKING:
    import httpx

    from ragops.adapters.qdrant.searching import Hit
    from tests.contract.qdrant_servers import Server

TEXTS = (
    "How do I retry a failing call with exponential backoff?",
    "Tenacity is a retrying library: what was retried is retried again, with a pause between the retries.",
    "Straße, ÄÖÜ, naïve, 日本語のテキスト, foo_bar-baz.qux, C++ 3.11, don't",
    "x" * 300,
    "the and of",
    "",
)
MODEL = "qdrant/bm25"
BODY = {"vectors": {"size": 2, "distance": "Cosine"}, "sparse_vectors": {"bm25": {"modifier": "idf"}}}


def words(text: str, **options: Any) -> dict[str, Any]:
    return {"text": text, "model": MODEL, **({"options": options} if options else {})}


def put(raw: httpx.Client, name: str, *points: dict[str, Any]) -> httpx.Response:
    return raw.put(f"/collections/{name}/points", params={"wait": "true"}, json={"points": list(points)})


def ask(raw: httpx.Client, name: str, body: dict[str, Any]) -> list[tuple[int, float]]:
    answer = raw.post(f"/collections/{name}/points/query", json=body)
    assert answer.status_code == 200, answer.text
    return [(point["id"], point["score"]) for point in answer.json()["result"]["points"]]


@pytest.fixture
def texts(raw: httpx.Client, name: str) -> str:
    """A collection with TEXTS as words, on a quarter circle as vectors."""
    assert raw.put(f"/collections/{name}", json=BODY).status_code == 200
    points = [
        {"id": number, "vector": {"": [len(TEXTS) - number, number], "bm25": words(text)}}
        for number, text in enumerate(TEXTS)
    ]
    assert put(raw, name, *points).status_code == 200
    return name


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"avg_len": 100.0, "b": 0.5},
        {"language": "german"},
        {"language": "portuguese", "ascii_folding": True},
        {"language": "chinese", "ascii_folding": True, "avg_len": 114.28571428571429},
    ],
)
def test_server_and_library_make_the_same_vector_of_a_text(
    raw: httpx.Client,
    texts: str,
    options: dict[str, Any],
) -> None:
    """The finding behind `adapters/qdrant/sparse.py`: the model qdrant/bm25 is what qdrant_edge.Bm25 is."""
    model = edge.Bm25(edge.Bm25Config(**options))
    points = [{"id": number, "vector": {"bm25": words(text, **options)}} for number, text in enumerate(TEXTS)]
    assert put(raw, texts, *points).status_code == 200
    body = {"ids": list(range(len(TEXTS))), "with_vector": ["bm25"]}
    for point in raw.post(f"/collections/{texts}/points", json=body).json()["result"]:
        here = model.embed_document(TEXTS[point["id"]])
        there = (point.get("vector") or {}).get("bm25", {"indices": [], "values": []})
        assert dict(zip(there["indices"], there["values"], strict=True)) == pytest.approx(
            dict(zip(here.indices, here.values, strict=True)), rel=1e-6
        )
    for text in TEXTS[:3]:
        question = model.embed_query(text)
        as_weights = {"indices": list(question.indices), "values": list(question.values)}
        by_text = ask(raw, texts, {"query": words(text, **options), "using": "bm25"})
        assert by_text == ask(raw, texts, {"query": as_weights, "using": "bm25"})


def test_words_that_are_rare_weigh_more(raw: httpx.Client, texts: str) -> None:
    found = ask(raw, texts, {"query": words("retries of backoff"), "using": "bm25"})
    assert [ident for ident, _ in found] == [0, 1]
    assert found[0][1] > found[1][1] > 0


@pytest.mark.parametrize("question", ["zxqv blorp", "the of", ""])
def test_nothing_in_common_finds_nothing(raw: httpx.Client, texts: str, question: str) -> None:
    assert ask(raw, texts, {"query": words(question), "using": "bm25"}) == []


def fused(question: str, vector: list[float], floor: float | None = None, **rrf: Any) -> dict[str, Any]:
    dense = {"query": vector, "limit": 10, **({} if floor is None else {"score_threshold": floor})}
    return {"prefetch": [dense, {"query": words(question), "using": "bm25", "limit": 10}], "query": {"rrf": rrf}}


def test_fusion_by_rank(raw: httpx.Client, texts: str) -> None:
    found = dict(ask(raw, texts, fused("tenacity retries", [1.0, 0.0], k=60)))
    assert found[1] == pytest.approx(1 / 61 + 1 / 60, rel=1e-4), "second by its vector, first by its words"
    assert found[0] == pytest.approx(1 / 60 + 1 / 61, rel=1e-4)
    assert found[4] == pytest.approx(1 / 64, rel=1e-4)
    weighted = ask(raw, texts, fused("tenacity retries", [1.0, 0.0], k=1, weights=[1.0, 3.0]))
    assert weighted[:2] == [(1, pytest.approx(1 / 2 + 3)), (0, pytest.approx(1 + 3 / 2))], "a weight divides the rank"


def test_floor_of_vectors_and_no_word_in_common_finds_nothing(raw: httpx.Client, texts: str) -> None:
    assert ask(raw, texts, fused("zxqv", [-1.0, 0.0], floor=0.5, k=60)) == []
    assert [ident for ident, _ in ask(raw, texts, fused("zxqv", [1.0, 0.0], floor=0.999, k=60))] == [0]


def test_plain_fusion_has_qdrants_own_k(raw: httpx.Client, texts: str) -> None:
    body = {**fused("backoff", [1.0, 0.0]), "query": {"fusion": "rrf"}, "limit": 1}
    assert ask(raw, texts, body) == [(0, pytest.approx(1.0))]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"query": {"fusion": "rrf"}}, 400, "Wrong input: Validation failed: cannot apply Fusion without prefetches"),
        ({"query": words("x"), "using": "other"}, 400, "Wrong input: Not existing vector name error: other"),
        (fused("x", [1.0, 0.0], k=0), 422, None),
        (fused("x", [1.0, 0.0], weights=[1.0]), 400, None),
        (fused("x", [1.0]), 400, "Wrong input: Vector dimension error: expected dim: 2, got 1"),
    ],
)
def test_bad_fusion(raw: httpx.Client, texts: str, body: Any, status: int, message: str | None) -> None:
    answer = raw.post(f"/collections/{texts}/points/query", json=body)
    assert answer.status_code == status
    assert message is None or error_of(answer) == message


@pytest.mark.parametrize(
    ("vector", "status"),
    [
        ({"bm25": [1.0, 2.0]}, 400),
        ({"bm25": {"indices": [1, 1], "values": [1.0, 2.0]}}, 422),
        ({"bm25": {"indices": [1], "values": [1.0, 2.0]}}, 422),
        ({"other": {"indices": [1], "values": [1.0]}}, 400),
    ],
)
def test_a_bad_sparse_vector_is_not_stored(
    raw: httpx.Client,
    texts: str,
    vector: Any,
    status: int,
) -> None:
    assert put(raw, texts, {"id": 51, "vector": vector}).status_code == status
    assert raw.post(f"/collections/{texts}/points", json={"ids": [51]}).json()["result"] == []


def test_a_collection_without_sparse_vectors_is_named(raw: httpx.Client, name: str) -> None:
    raw.put(f"/collections/{name}", json={"vectors": BODY["vectors"]})
    put(raw, name, {"id": 1, "vector": [1.0, 0.0]})
    refused = raw.post(f"/collections/{name}/points/query", json=fused("x", [1.0, 0.0], k=60))
    assert (refused.status_code, error_of(refused)) == (400, "Wrong input: Not existing vector name error: bm25")


def test_a_collection_of_sparse_vectors_alone(raw: httpx.Client, name: str) -> None:
    assert raw.put(f"/collections/{name}", json={"sparse_vectors": BODY["sparse_vectors"]}).status_code == 200
    assert put(raw, name, {"id": 1, "vector": {"bm25": words(TEXTS[0])}}).status_code == 200
    params = raw.get(f"/collections/{name}").json()["result"]["config"]["params"]
    assert (params["vectors"], params["sparse_vectors"]) == ({}, BODY["sparse_vectors"])
    assert [ident for ident, _ in ask(raw, name, {"query": words("backoff"), "using": "bm25"})] == [1]
    assert put(raw, name, {"id": 2, "vector": [1.0, 0.0]}).status_code == 400


def test_health_names_collections_that_an_earlier_release_made(
    raw: httpx.Client, server: Server, texts: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = f"{name}-older"
    raw.put(f"/collections/{older}", json={"vectors": BODY["vectors"]})
    put(raw, older, {"id": 1, "vector": [1.0, 0.0]})
    parts = urlsplit(server.url)
    endpoint = Endpoint(
        service="qdrant", engine="qdrant", version="", runtime="test", host=parts.hostname or "", port=parts.port or 0,
        logins={"operator": Login("", "key", SecretStr(server.key))},
    )  # fmt: skip
    monkeypatch.setattr(consistency.timescaledb, "indexed_collections", lambda *_: [texts, older])
    monkeypatch.setattr(consistency.timescaledb, "chunk_counts", lambda *_: {texts: 1, older: 1})
    checks = consistency.probe({"timescaledb": endpoint, "qdrant": endpoint}, 30.0).checks
    [check] = [one for one in checks if one.name == "vectors"]
    raw.delete(f"/collections/{older}")
    assert (check.status, texts in check.detail.split(older)[0]) == (Status.OK, False)
    assert f"searched by vectors alone: {older}" in check.detail
    assert f"`ragops ingest --rebuild {older}`" in check.hint


def test_snapshot_has_sparse_vectors_too(raw: httpx.Client, texts: str) -> None:
    body = fused("tenacity retries", [1.0, 0.0], k=60)
    snapshots, before = f"/collections/{texts}/shards/0/snapshots", ask(raw, texts, body)
    made = raw.post(snapshots, params={"wait": "true"}).json()["result"]
    content = raw.get(f"{snapshots}/{made['name']}").content
    params = raw.get(f"/collections/{texts}").json()["result"]["config"]["params"]
    assert raw.delete(f"/collections/{texts}").json()["result"] is True
    shown = {key: params[key] for key in ("vectors", "sparse_vectors")}
    assert raw.put(f"/collections/{texts}", json=shown).status_code == 200
    assert upload(raw, texts, content).status_code == 200
    deadline = time.monotonic() + 10
    while (after := ask(raw, texts, body)) != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert after == before


# --- ragops' own clients ----------------------------------------------------------------------------------------------


class Silent:
    def ejected(self, node: Address, reason: str) -> None:
        pass

    def readmitted(self, node: Address) -> None:
        pass


def search(server: Server, name: str, *questions: Question, grpc_url: str = "") -> list[list[Hit]]:
    async def run() -> list[list[Hit]]:
        address = Address("node", server.url, grpc_url)
        client = AsyncClient([address], lambda: server.key, seconds=20, monotonic=time.monotonic, observer=Silent())
        try:
            return [await client.query(name, question) for question in questions]
        finally:
            await client.close()

    return asyncio.run(run())


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
@pytest.mark.parametrize("size", [2, 0])
def test_clients_of_ingest_and_api(
    raw: httpx.Client,
    server: Server,
    name: str,
    protocol: str,
    size: int,
) -> None:
    if protocol == "grpc" and not server.grpc_url:
        pytest.skip("this server has no gRPC here")
    grpc_url = server.grpc_url if protocol == "grpc" else ""
    points = [
        Point(UUID(int=number + 1), [float(number), 1.0][:size], {"text": text}, WordModel().of_passage(text, 800))
        for number, text in enumerate(TEXTS)
    ]
    with VectorStore([Address("node", server.url, grpc_url)], server.key) as store:
        store.ensure(name, size)
        store.ensure(name, size)
        assert store.has_words(name)
        store.upsert(name, points)
        assert store.count(name) == len(TEXTS)
    words = WordModel().of_question("tenacity")
    by_words = Question(None, words, 3)
    both, by_vector = Question([0.0, 1.0], words, 1, least_cosine=0.7), Question([0.0, 1.0], None, 2)
    asked = [by_words, both, by_vector] if size else [by_words]
    found = [[UUID(hit.id).int for hit in hits] for hits in search(server, name, *asked, grpc_url=grpc_url)]
    assert found == ([[2], [2], [1, 2]] if size else [[2]])


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
@pytest.mark.parametrize(
    ("language", "passage", "question"),
    [
        ("german", "Die Größe der Wiederherstellungen", "größe"),
        ("german", "Die Größe der Wiederherstellungen", "Groesse Grösse"),
        ("german", "Straßen und Häuser", "strasse"),
        ("german", "Gro\u0308ße, in Teilen geschrieben", "Größe"),
        ("portuguese", "A configuração do serviço", "configuracao"),
        ("english", "Crème brûlée", "creme brulee"),
        ("chinese", "数据库的备份方法和恢复", "备份"),
        ("chinese", "数据库的备份方法和恢复", "如何恢复"),
        ("english", "数据库的备份方法和恢复", "库"),
        ("japanese", "データベースのバックアップを取る", "バックアップ"),
        ("english", "\uff26\uff55\uff4c\uff4c width", "full"),
    ],
)
def test_words_of_other_languages_are_found(
    raw: httpx.Client, server: Server, name: str, protocol: str, language: str, passage: str, question: str
) -> None:
    if protocol == "grpc" and not server.grpc_url:
        pytest.skip("this server has no gRPC here")
    assert raw.put(f"/collections/{name}", json={"sparse_vectors": BODY["sparse_vectors"]}).status_code == 200
    grpc_url, words = server.grpc_url if protocol == "grpc" else "", WordModel(language)
    texts = (passage, "something else: 天气很好, Wetter, tempo")
    points = [Point(UUID(int=n), [], {}, words.of_passage(text, 800)) for n, text in enumerate(texts, 1)]
    with VectorStore([Address("node", server.url, grpc_url)], server.key) as store:
        store.upsert(name, points)
    [hits] = search(server, name, Question(None, words.of_question(question), 3), grpc_url=grpc_url)
    assert [UUID(hit.id).int for hit in hits] == [1]
