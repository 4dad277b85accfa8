"""What a chunk is searched with besides its text, and ingestion without an embedder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from ragops.adapters.qdrant.addresses import Address
from ragops.ingest.context import lead_of, path_words, with_context
from ragops.ingest.vectors import Point, VectorStore
from ragops.operations.data.models import Models

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.mark.parametrize(
    ("path", "words"),
    [("guides/key-rotation_2.md", "guides key rotation 2"), ("a.tar.gz", "a tar"), ("", ""), ("/.env", "env")],
)
def test_words_of_a_path(path: str, words: str) -> None:
    assert path_words(path) == words


def test_context_stands_above_the_text() -> None:
    assert with_context("text") == "text"
    assert with_context("text", "", "name", "lead") == "name lead\ntext"
    assert lead_of("# Title\n\n" + "word " * 100) == ("# Title " + "word " * 100)[:120]


class Stored(VectorStore):
    """Keeps what it would send."""

    def __init__(self) -> None:
        super().__init__([Address("node", "http://127.0.0.1:1")], "key")
        self.points: list[Point] = []
        self._client.upsert = lambda _collection, points: self.points.extend(points)  # type: ignore[method-assign]


def points(document: int, *texts: str) -> Sequence[Point]:
    def payload(position: int, text: str) -> dict[str, Any]:
        return {"document_id": document, "path": f"doc-{document}.md", "position": position, "text": text}

    return [Point(UUID(int=position), [1.0], payload(position, text)) for position, text in enumerate(texts)]


def test_later_chunks_are_found_by_the_beginning_of_their_document_too() -> None:
    with Stored() as store:
        store._with_words = {"docs": True}
        store.upsert("docs", [*points(1, "# Retry", "by hand"), *points(2, "Other", "things")])
        assert [one.text for one in store.points] == [
            "doc 1\n# Retry", "doc 1 # Retry\nby hand", "doc 2\nOther", "doc 2 Other\nthings"
        ]  # fmt: skip


def test_a_collection_without_words_gets_none() -> None:
    with Stored() as store:
        store._with_words = {"docs": False}
        store.upsert("docs", points(1, "a"))
        assert [one.text for one in store.points] == [None]


def test_search_by_words_alone_needs_no_model() -> None:
    models = Models({}, lambda _name: "", words_alone=True)
    embedder = models.open("a-model-that-is-nowhere")
    assert (models.default, embedder.name, embedder.dimensions) == ("bm25", "bm25", 0)
    assert embedder.embed(["a", "b"]) == [[], []]
