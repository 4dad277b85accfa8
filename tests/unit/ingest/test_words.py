"""What a chunk is searched with besides its text, how its words are weighed, and ingestion without an embedder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from ragops.adapters.qdrant.sparse import WordModel
from ragops.embedding.hashing import HashingEmbedder
from ragops.ingest.context import lead_of, path_words, with_context
from ragops.ingest.plan import Change
from ragops.ingest.progress import StageTimes
from ragops.ingest.rows import ChunkRow, Collection, FileVersion
from ragops.ingest.split import Splitter
from ragops.ingest.stage_workers import Batch, Steps, Work
from ragops.operations.data.models import Models

if TYPE_CHECKING:
    from ragops.ingest.vectors import Point


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


def points(words: WordModel | None, *texts: str) -> list[Point]:
    """The points that a batch of the chunks of one document becomes."""
    collection = Collection(1, "docs", "", "", 800, 100, ["md"], recursive=True, enabled=True)
    steps = Steps(None, HashingEmbedder(), Splitter(800, 100), collection, Path(), StageTimes(), words)  # type: ignore[arg-type]
    work = Work(1, Change(FileVersion("doc-1.md", "", 1, datetime.now(UTC)), None), lead=lead_of(texts[0]))
    batch = Batch([(ChunkRow(UUID(int=n), 1, n, text, ""), work) for n, text in enumerate(texts)])
    steps.embed(batch)
    return batch.points


def test_later_chunks_are_found_by_the_beginning_of_their_document_too() -> None:
    found = [one.words.text for one in points(WordModel(), "# Retry", "by hand") if one.words]
    assert found == ["doc 1\n# Retry", "doc 1 # Retry\nby hand"]


def test_a_collection_without_words_gets_none() -> None:
    assert [one.words for one in points(None, "a")] == [None]


def test_a_chunk_is_embedded_below_the_words_of_its_path() -> None:
    assert points(None, "a")[0].vector == HashingEmbedder().embed(["doc 1\na"])[0]


# --- words ------------------------------------------------------------------------------------------------------------


def test_words_of_before_are_asked_as_they_were_made() -> None:
    before = WordModel.read({"splitter": 2})
    assert before.of_question("备份") == ("备份", {})
    assert before.of_passage("备份 ação", 800) == ("备份 ação", {})
    assert before.params == {}


@pytest.mark.parametrize("language", ["english", "german"])
def test_a_model_of_words_is_recorded_and_read_again(language: str) -> None:
    model = WordModel(language)
    assert WordModel.read(model.params) == model
    assert WordModel.read({name: str(value) for name, value in model.params.items()}) == model, "as the database has it"
    assert model.of_question("x").options == {"language": language, "ascii_folding": True}
    assert model.of_passage("x", 700).options == {"language": language, "ascii_folding": True, "avg_len": 100.0}


def test_scripts_without_spaces_are_cut_into_neighbours() -> None:
    model = WordModel()
    assert model.of_question("用pgBackRest备份,好").text.split() == ["用", "pgBackRest", "备份", ",", "好"]
    assert model.of_passage("备份法", 800).text.split() == ["备份", "份法", "备", "份", "法"]
    assert model.of_question("한국어 문서").text == "한국어 문서", "Korean has spaces"


def test_search_by_words_alone_needs_no_model() -> None:
    models = Models({}, lambda _name: "", words_alone=True)
    embedder: Any = models.open("a-model-that-is-nowhere")
    assert (models.default, embedder.name, embedder.dimensions) == ("bm25", "bm25", 0)
    assert embedder.embed(["a", "b"]) == [[], []]
