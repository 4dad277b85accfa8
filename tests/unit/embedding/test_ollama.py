"""Embeddings from a server that speaks Ollama's protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from ragops.embedding.ollama import OllamaEmbedder, read_embeddings, read_error
from ragops.errors import RagopsError
from tests.ports import free_port
from tests.unit.api.fakes import FakeOllama, Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def ollama() -> Iterator[FakeOllama]:
    fake = FakeOllama()
    fake.server = server = Server(fake).start()  # type: ignore[attr-defined]
    yield fake
    server.stop()


def test_embeds_in_batches_and_in_order(ollama):
    embedder = OllamaEmbedder(ollama.server.url + "/", "nomic")
    texts = ["x" * length for length in range(1, 71)]
    assert [vector[1] for vector in embedder.embed(texts)] == [float(length) for length in range(1, 71)]
    assert [len(asked["input"]) for _, asked in ollama.calls] == [32, 32, 6]
    assert embedder.dimensions == 8
    assert embedder.embed([]) == []
    embedder.close()


def test_says_how_to_get_the_model_and_how_to_start_it(ollama):
    ollama.fail = 404
    with pytest.raises(RagopsError) as refused:
        OllamaEmbedder(ollama.server.url, "nomic").embed(["x"])
    assert refused.value.code == "ollama_refused"
    assert refused.value.hint == "get the model: ollama pull nomic"
    with pytest.raises(RagopsError) as unreachable:
        OllamaEmbedder(f"http://127.0.0.1:{free_port()}", "nomic").embed(["x"])
    assert unreachable.value.code == "ollama_unreachable"


def test_other_dimensions_than_configured_are_refused(ollama):
    with pytest.raises(RagopsError, match="8 dimensions, not 768"):
        OllamaEmbedder(ollama.server.url, "nomic", 768).embed(["x"])


@pytest.mark.parametrize(
    "answer",
    [None, [], {}, {"embeddings": []}, {"embeddings": [[]]}, {"embeddings": [[1.0], [2.0]]},
     {"embeddings": [["x"]]}, {"embeddings": [[float("nan")]]}, {"embeddings": [[None]]}],
)  # fmt: skip
def test_answers_that_are_none(answer):
    with pytest.raises(ValueError):
        read_embeddings(answer, 1, None)


def test_errors_are_read_whatever_they_are():
    assert read_error(httpx.Response(404, json={"error": "model not found"})) == "model not found"
    assert read_error(httpx.Response(500, text="<html>")) == "status 500"
    assert read_error(httpx.Response(500, json=[1])) == "status 500"
