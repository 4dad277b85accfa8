"""A question to all collections: the best of each, each text once, and what cannot be asked left out."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ragops.api.config import SearchConfig
from ragops.api.load_shedding import Overload
from ragops.api.metrics import Metrics
from ragops.api.problem import ApiError
from ragops.api.search import MOST_COLLECTIONS, Found, FoundPassage, Search, search_all
from ragops.embedding.hashing import HashingEmbedder
from tests.unit.api.conftest import TEXTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.unit.api.fakes import FakeQdrant

pytestmark = pytest.mark.anyio


def passage(id: str, score: float, text: str = "", collection: str = "a") -> FoundPassage:
    return FoundPassage(id, 1, f"{id}.md", 0, score, text or id, collection=collection)


async def ask(answers: dict[str, Any], limit: int = 5) -> Found:
    async def search(name: str, _query: str, _limit: int) -> Found:
        found = answers[name]
        if isinstance(found, ApiError):
            raise found
        return Found(tuple(found), cached=False, embedder=f"of-{name}")

    return await search_all(search, list(answers), "question", limit)


async def test_the_best_of_all_come_first_and_each_text_once() -> None:
    first = [passage("1", 0.9), passage("2", 0.3, "twice")]
    second = [passage("3", 0.5, collection="b"), passage("4", 0.4, "twice", "b")]
    found = await ask({"a": first, "b": second})
    assert [one.id for one in found.passages] == ["1", "3", "4"]
    assert found.embedder == "of-a, of-b"
    assert [one.id for one in (await ask({"a": first, "b": second}, limit=1)).passages] == ["1"]


@pytest.mark.parametrize("status", [404, 409])
async def test_what_cannot_be_asked_is_left_out(status: int) -> None:
    refused = ApiError(status, "why", "because")
    assert [one.id for one in (await ask({"a": refused, "b": [passage("1", 1)]})).passages] == ["1"]
    with pytest.raises(ApiError, match="because"):
        await ask({"a": refused, "b": refused})


async def test_a_service_that_is_down_fails_the_question() -> None:
    with pytest.raises(ApiError, match="down"):
        await ask({"a": [passage("1", 1)], "b": ApiError(503, "dependency_failed", "down")})


class Engines:
    """The vector store, its breaker and the models, of which those of `away` are down."""

    def __init__(self, points: list[str]) -> None:
        self.points = points

    async def collections(self) -> list[str]:
        return self.points

    async def call(self, request: Callable[[], Awaitable[Any]]) -> Any:
        return await request()

    async def find(self, collection: str, *, by_words: bool) -> Any:
        return SimpleNamespace(points=f"{collection}@1", by_words=by_words)


@pytest.mark.parametrize("ingested", [True, False])
async def test_a_model_that_is_down_costs_nothing_if_its_collection_was_never_ingested(
    ingested: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines: Any = Engines(["manuals@1", *(["away@1"] if ingested else [])])
    metrics = Metrics()
    overload = Overload(time.monotonic, 1, metrics)
    search = Search(engines, engines, engines, None, SearchConfig(), metrics, overload)

    async def passages(name: str, _query: str, _limit: int) -> Found:
        if name == "away":
            raise ApiError(503, "dependency_failed", "its model is down")
        return Found((passage("1", 1),), cached=False)

    async def names() -> list[str]:
        return ["away", "manuals"]

    monkeypatch.setattr(search, "_passages", passages)
    search.names = names
    if ingested:
        with pytest.raises(ApiError, match="its model is down"):
            await search.passages(None, "question", 5)
    else:
        assert [one.id for one in (await search.passages(None, "question", 5)).passages] == ["1"]


async def test_no_collection_has_no_passages() -> None:
    assert (await ask({})).passages == ()


async def test_too_many_are_refused() -> None:
    with pytest.raises(ApiError, match="name the one"):
        await ask({str(number): [] for number in range(MOST_COLLECTIONS + 1)})


async def test_over_http_without_a_collection(api: Any, qdrant: FakeQdrant) -> None:
    qdrant.add("notes", {"note.md": TEXTS["rotation.md"] + " Rotation."}, HashingEmbedder().embed)
    qdrant.collections["notes@1"] = []
    answer = await api.http.post("/api/v1/search", json={"query": "rotation of the service token"})
    body = answer.json()
    assert (answer.status_code, body["collection"]) == (200, None)
    assert {one["collection"] for one in body["results"]} == {"manuals", "notes"}
    answer = await api.http.post("/api/v1/query", json={"query": "rotation of the service token", "limit": 1})
    assert len(answer.json()["passages"]) == 1
