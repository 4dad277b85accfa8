"""How a question is asked and what of the answer is shown: modes, folding, the floor, what a collection lacks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.qdrant.searching import Hit
from ragops.api import retrieval as relevance
from ragops.api.search import FoundDocument, by_document, page
from ragops.embedding.hashing import HashingEmbedder
from tests.ports import free_port
from tests.unit.embedding.model_server import ModelServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.api.conftest import Api
    from tests.unit.api.fakes import FakeQdrant

asynchronous = pytest.mark.anyio


def hit(number: int, text: str, score: float = 1.0) -> Hit:
    return Hit(f"id-{number}", score, {"text": text, "path": f"{number}.md"})


# --- folding ----------------------------------------------------------------------------------------------------------


def test_a_text_is_shown_once_whatever_its_spaces_and_signs() -> None:
    texts = ["Keep two keys.", "other", "Keep  two\nkeys", "* keep *two* keys", "Keep two keys more", "", " "]
    kept = relevance.fold([hit(number, text, 1 - number / 10) for number, text in enumerate(texts)])
    assert [one.id for one in kept] == ["id-0", "id-1", "id-4", "id-5", "id-6"]


def test_the_best_of_equal_texts_stays_and_ties_have_one_order() -> None:
    hits = [hit(3, "same", 0.5), hit(1, "same", 0.7), hit(2, "tie", 0.7)]
    assert list(relevance.fold(hits)) == list(relevance.fold(hits[::-1])) == [hits[1], hits[2]]


@asynchronous
async def test_no_passage_twice_in_an_answer_that_is_as_long_as_asked(api: Api, qdrant: FakeQdrant) -> None:
    texts = {f"{number}.md": "rotation of a secret" if number % 2 else f"rotation {number}" for number in range(20)}
    qdrant.add("many", texts, HashingEmbedder().embed)
    asked = {"collection": "many", "query": "rotation of a secret", "limit": 5}
    for path in ("/api/v1/search", "/api/v2/search"):
        body = (await api.http.post(path, json=asked)).json()
        passages = body.get("results") or [one for found in body["documents"] for one in found["passages"]]
        found = [passage["text"] for passage in passages]
        assert (len(found), len(set(found))) == (5, 5), path


# --- the floor --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "text", "shares"),
    [
        ("How do I retry?", "Retrying is easy", True),
        ("zorb blint quux flim", "a flim", True),
        ("zorb blint quux flim grub", "a flim", False),
        ("dabomix tidoq kituzax", "anything at all", False),
        ("how is it", "how is it done", True),
        ("?!", "anything", True),
        ("如何备份数据库", "数据库的备份方法", True),
        ("如何备份数据库", "天气很好", False),
        ("backup.md", "nothing of it in the text", True),
    ],
)
def test_words_in_common(question: str, text: str, shares: bool) -> None:
    found = Hit("1", 1.0, {"text": text, "path": "docs/backup.md" if "backup" in question else ""})
    assert relevance.QuestionWords(question).shares_words([hit(0, "nothing"), found]) is shares


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Wie stelle ich eine Sicherung wieder her?", "Sicherungen liegen im Ordner backups."),
        ("Como faço a restauração do banco de dados?", "Restauracao do banco: ragops restore"),
        ("データの復元", "復元の手順"),
    ],
)
def test_stop_words_of_other_languages_hide_no_passage(question: str, text: str) -> None:
    assert relevance.QuestionWords(question).shares_words([hit(0, text)])


@asynchronous
async def test_a_passage_without_a_word_of_the_question_is_not_shown(
    start: Callable[..., Any], qdrant: FakeQdrant
) -> None:
    """In a tiny collection every passage is among the nearest."""
    for mode in ("hybrid", "dense", "sparse"):
        api = await start(search={"mode": mode})
        found = (await api.search("rotation of secrets")).json()["results"]
        assert [one["path"] for one in found] == ["rotation.md"], mode
        again = await api.http.post("/api/v2/search", json={"collection": "manuals", "query": "rotation of secrets"})
        assert [one["path"] for one in again.json()["documents"]] == ["rotation.md"], mode
    api = await start(search={"least_cosine": -1.0})
    assert len((await api.search("rotation of secrets")).json()["results"]) == 3, "all of them are near enough"


@asynchronous
async def test_a_passage_that_qdrant_finds_by_words_stays_if_no_word_is_seen_here(
    start: Callable[..., Any], qdrant: FakeQdrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By stems of another language, or by the beginning of its document, which its text does not hold."""
    api = await start(search={"least_cosine": 0.99})
    monkeypatch.setattr(relevance.QuestionWords, "has_word", lambda _asked, _hit: False)
    assert [one["path"] for one in (await api.search("rotation of secrets")).json()["results"]] == ["rotation.md"]
    assert [part.get("score_threshold") for part in qdrant.asked[-1]["prefetch"]] == [0.99, None]
    assert qdrant.asked[-1]["with_payload"] is False


def test_floor_is_the_models_own_unless_one_is_configured() -> None:
    assert relevance.floor_of("hashing-384-v1") > 1, "equal buckets are no equal meaning"
    assert relevance.floor_of("wordllama-l2-256-v2") == 0.6
    assert relevance.floor_of("nomic-embed-text") == 0.5
    assert relevance.floor_of("intfloat/multilingual-e5-large") == 0.8
    assert relevance.floor_of("sentence-transformers/all-MiniLM-L6-v2") == 0.3
    assert relevance.floor_of("wordllama-l2-256-v2", 0.3) == 0.3


@asynchronous
@pytest.mark.parametrize(
    ("embedder", "search", "floor"),
    [
        ({}, {}, 0.8),
        ({"name": "ours"}, {}, 0.8),
        ({"least_cosine": 0.3}, {}, 0.3),
        ({"least_cosine": 0.3}, {"least_cosine": 0.4}, 0.3),
        ({}, {"least_cosine": 0.4}, 0.4),
    ],
)
async def test_floor_of_a_model_is_its_own_else_the_platforms_else_its_familys(
    start: Callable[..., Any], qdrant: FakeQdrant, embedder: Any, search: Any, floor: float
) -> None:
    with ModelServer("ollama", 384) as server:
        model = {"kind": "ollama", "model": "intfloat/e5-small", "url": server.url, **embedder}
        api = await start(embedder=model, search=search)
        await api.search("nothing shared")
    assert qdrant.asked[-1]["score_threshold"] == floor


@asynchronous
async def test_answers_name_the_mode_that_was_used(start: Callable[..., Any], qdrant: FakeQdrant) -> None:
    asked = {"collection": "manuals", "query": "rotation of secrets"}
    for mode, has_words, used in (
        ("hybrid", True, "hybrid"), ("dense", True, "dense"), ("sparse", True, "sparse"), ("hybrid", False, "dense"),
    ):  # fmt: skip
        qdrant.has_words = has_words
        api = await start(search={"mode": mode})
        for path in ("/api/v1/search", "/api/v1/query", "/api/v2/search"):
            assert (await api.http.post(path, json=asked)).json()["mode"] == used, (mode, path)


@asynchronous
async def test_nothing_is_found_for_a_question_without_sense(api: Api) -> None:
    assert (await api.search("dabomix tidoq kituzax")).json()["results"] == []
    asked = {"collection": "manuals", "query": "gderckybrv"}
    answer = (await api.http.post("/api/v1/query", json=asked)).json()
    assert (answer["passages"], answer["note"]) == ([], "Nothing was found.")
    found = (await api.http.post("/api/v2/search", json=asked)).json()
    assert (found["documents"], found["next_cursor"]) == ([], None)


@asynchronous
async def test_a_near_vector_counts_without_common_words(start: Callable[..., Any], qdrant: FakeQdrant) -> None:
    api = await start(search={"least_cosine": -1.0})
    assert (await api.search("dabomix tidoq kituzax")).json()["results"]
    assert qdrant.asked[-1]["score_threshold"] == -1.0
    assert "prefetch" not in qdrant.asked[-1]


# --- modes ------------------------------------------------------------------------------------------------------------


@asynchronous
async def test_hybrid_is_the_default_and_one_query(api: Api, qdrant: FakeQdrant) -> None:
    assert (await api.search("rotation of secrets")).json()["results"][0]["path"] == "rotation.md"
    [asked] = qdrant.asked
    dense, words = asked["prefetch"]
    assert "using" not in dense
    assert (words["using"], words["query"]["model"]) == ("bm25", "qdrant/bm25")
    assert words["query"]["text"] == "rotation of secrets"
    assert set(asked["query"]) == {"rrf"}


@asynchronous
async def test_dense_asks_by_vector_alone(start: Callable[..., Any], qdrant: FakeQdrant) -> None:
    qdrant.has_words = False
    api = await start(search={"mode": "dense"})
    assert (await api.search("rotation of secrets")).json()["results"][0]["path"] == "rotation.md"
    assert ["prefetch" in asked or "using" in asked for asked in qdrant.asked] == [False]
    assert (await api.search("dabomix tidoq")).json()["results"] == []


@asynchronous
async def test_sparse_needs_no_embedder(start: Callable[..., Any], qdrant: FakeQdrant) -> None:
    qdrant.dimensions = 0
    gone = {"kind": "ollama", "model": "m", "url": f"http://127.0.0.1:{free_port()}"}
    api = await start(search={"mode": "sparse"}, embedder=gone)
    for number in range(6):
        found = (await api.search(f"rotation of secrets {number}")).json()["results"]
        assert found[0]["path"] == "rotation.md"
    nothing = (await api.search("dabomix tidoq")).json()
    assert (nothing["results"], nothing["embedder"]) == ([], "bm25")
    assert all(asked["using"] == "bm25" for asked in qdrant.asked)


class Kept:
    """A cache that keeps everything."""

    def __init__(self) -> None:
        self.answers: dict[Any, Any] = {}

    async def get(self, collection: str, question: Any) -> Any:
        return self.answers.get((collection, *question))

    async def put(self, collection: str, question: Any, answer: Any) -> None:
        self.answers[collection, *question] = answer


@asynchronous
async def test_an_answer_of_one_mode_is_not_given_for_another(start: Callable[..., Any]) -> None:
    cache = Kept()
    for mode in ("hybrid", "dense", "sparse"):
        api = await start(search={"mode": mode})
        api.deps.search.cache = cache
        assert (await api.search()).json()["cached"] is False
        assert (await api.search()).json()["cached"] is True
    assert len(cache.answers) == 3


# --- what a collection lacks, and what Qdrant refuses -----------------------------------------------------------------


@asynchronous
async def test_a_collection_without_words_is_asked_by_its_vectors(api: Api, qdrant: FakeQdrant) -> None:
    qdrant.has_words = False
    assert (await api.search()).json()["results"][0]["path"] == "rotation.md"
    assert "prefetch" not in qdrant.asked[-1]


@asynchronous
async def test_a_collection_without_vectors_is_asked_by_its_words(api: Api, qdrant: FakeQdrant) -> None:
    qdrant.dimensions = 0
    assert (await api.search()).json()["results"][0]["path"] == "rotation.md"
    assert qdrant.asked[-1]["using"] == "bm25"


@asynchronous
async def test_what_has_nothing_to_be_asked_by_names_the_command(start: Callable[..., Any], qdrant: FakeQdrant) -> None:
    qdrant.has_words = False
    api = await start(search={"mode": "sparse"})
    body = (await api.search()).json()
    assert (body["status"], body["code"]) == (409, "vectors_missing")
    assert "ragops ingest --rebuild manuals" in body["detail"]
    for number in range(6):
        assert (await api.search(f"question {number}")).status_code == 409, "no failure of Qdrant opens its breaker"


@asynchronous
async def test_a_limit_of_strict_mode_is_kept_to(api: Api, qdrant: FakeQdrant) -> None:
    qdrant.most = 10
    assert (await api.search(limit=5)).status_code == 200
    body = (await api.search(limit=20)).json()
    assert (body["status"], body["code"]) == (409, "search_refused")
    assert body["detail"].endswith('Limit exceeded 20 > 10 for "limit"')
    assert "embedder" not in body["detail"]


# --- pages by document ------------------------------------------------------------------------------------------------


def documents(*names: str) -> list[FoundDocument]:
    return [FoundDocument(name, f"{name}.md", 1 / (1 + place), ()) for place, name in enumerate(names)]


def test_documents_that_come_and_go_between_pages_neither_repeat_nor_hide_others() -> None:
    question = ("manuals", "rotation")
    first, cursor = page(documents("a", "b", "c", "d", "e"), 2, None, question)
    assert [one.document_id for one in first] == ["a", "b"]
    # One came to the top and one went: by ranks and scores every other one has moved.
    second, cursor = page(documents("new", "b", "c", "d", "e"), 2, cursor, question)
    assert [one.document_id for one in second] == ["new", "c"]
    third, cursor = page(documents("new", "b", "c", "d", "e"), 2, cursor, question)
    assert ([one.document_id for one in third], cursor) == (["d", "e"], None)


def test_a_cursor_of_all_documents_fits_into_a_request() -> None:
    found = documents(*map(str, range(200)))
    cursor, pages = None, 0
    while pages == 0 or cursor:
        shown, cursor = page(found, 50, cursor, ("x",))
        pages += 1
        assert len(shown) == 50
        assert len(cursor or "") < 4096
    assert pages == 4


def test_a_document_has_its_best_passages() -> None:
    from ragops.api.search import FoundPassage

    one = FoundPassage("1", 7, "a.md", 0, 0.5, "x")
    found = by_document([one, replace(one, id="2", score=0.9), replace(one, id="3", score=0.7)], 2)
    assert [passage.id for passage in found[0].passages] == ["2", "3"]
