"""Real servers of models, if there are any: what this package takes for granted of their protocols.

`RAGOPS_TEST_OLLAMA` and `RAGOPS_TEST_OPENAI_EMBED`, `RAGOPS_TEST_OPENAI_CHAT` are `URL MODEL [MODEL]`: of Ollama its
embedding model and its chat model, of servers with OpenAI's protocol the one that they serve. Models with random
weights will do: what is compared are facts, not quality. Ollama's own `/v1` fails here, for it cuts long prompts.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ragops.api.chat_model import messages
from ragops.api.model_servers import ModelServer, TooLongError
from ragops.api.problem import ApiError
from ragops.api.search import FoundPassage
from ragops.embedding.batch import RejectedText, embed_batch
from ragops.embedding.server import ServerEmbedder
from ragops.embedding.spec import ChatSpec, ModelSpec
from ragops.errors import MissingError, UnhealthyError

if TYPE_CHECKING:
    from ragops.embedding.responses import Piece

CHINESE = ("\u5907\u4efd\u548c\u6062\u590d\u662f\u4e00\u56de\u4e8b\uff0c" * 1300)[:12_726]
CONTEXT, ANSWER = 2048, 32
# Read here because every test runs without the RAGOPS_ variables of the environment.
_GIVEN = {
    name: os.environ.get(name, "")
    for name in ("RAGOPS_TEST_OLLAMA", "RAGOPS_TEST_OPENAI_EMBED", "RAGOPS_TEST_OPENAI_CHAT")
}


def given(variable: str) -> list[str]:
    """Return the words of a variable; skips the test without it."""
    words = _GIVEN[variable].split()
    if not words:
        pytest.skip(f"{variable} names no server: what real ones do was not compared")
    return words


@pytest.fixture(params=["ollama", "openai"])
def embed_spec(request: pytest.FixtureRequest) -> ModelSpec:
    url, model, *_ = given("RAGOPS_TEST_OLLAMA" if request.param == "ollama" else "RAGOPS_TEST_OPENAI_EMBED")
    return ModelSpec(kind=request.param, url=url, model=model, batch_size=4)


@pytest.fixture(params=["ollama", "openai"])
def chat_spec(request: pytest.FixtureRequest) -> ChatSpec:
    if request.param == "ollama":
        url, _, model = given("RAGOPS_TEST_OLLAMA")
    else:
        url, model = given("RAGOPS_TEST_OPENAI_CHAT")
    return ChatSpec(kind=request.param, url=url, model=model, context=CONTEXT, max_tokens=ANSWER, timeout=120)


def test_vectors_in_batches_are_those_of_the_texts_alone(embed_spec: ModelSpec) -> None:
    embedder = ServerEmbedder(embed_spec)
    texts = [f"{'word ' * number}restore" for number in range(1, 10)]
    together = embedder.embed(texts)
    assert {len(vector) for vector in together} == {embedder.dimensions}
    for text, vector in zip(texts, together, strict=True):
        assert vector == pytest.approx(embedder.embed([text])[0], abs=1e-3)


def test_a_text_beyond_the_context_costs_no_neighbour(embed_spec: ModelSpec) -> None:
    found = embed_batch(ServerEmbedder(embed_spec), ["short", "backup " * 3000, "another"])
    assert [isinstance(one, RejectedText) for one in found] in ([False, True, False], [False, False, False])
    if embed_spec.kind == "ollama":  # it embeds the beginning
        assert not isinstance(found[1], RejectedText)


def test_a_model_that_is_not_there(embed_spec: ModelSpec) -> None:
    missing = ServerEmbedder(embed_spec.model_copy(update={"model": "not-there"}))
    try:
        missing.embed(["word"])
    except MissingError as error:
        assert error.code == f"{embed_spec.kind}_model_missing"
    else:
        assert embed_spec.kind == "openai"  # llama.cpp takes any name for its only model


def test_a_wrong_path_is_no_missing_model(embed_spec: ModelSpec) -> None:
    wrong = ServerEmbedder(embed_spec.model_copy(update={"url": f"{embed_spec.url}/elsewhere"}))
    with pytest.raises(UnhealthyError, match="answers 404 to /elsewhere") as caught:
        wrong.embed(["word"])
    assert caught.value.code == f"{embed_spec.kind}_answer_unreadable"


async def answer(spec: ChatSpec, asked: list[dict[str, str]], *, stream: bool) -> list[Piece]:
    server = ModelServer("chat", spec.kind, spec.url, spec.timeout)
    try:
        await server.ready(spec.model)
        if stream:
            return [piece async for piece in server.chat_stream(asked, spec)]
        return [await server.chat(asked, spec)]
    finally:
        await server.close()


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_ends_at_its_limit_and_says_so(chat_spec: ChatSpec, stream: bool) -> None:
    pieces = asyncio.run(answer(chat_spec, [{"role": "user", "content": "Why?"}], stream=stream))
    assert "".join(piece.text for piece in pieces)
    assert pieces[-1].is_cut, pieces[-3:]


@pytest.mark.parametrize("stream", [True, False])
def test_a_prompt_beyond_the_context_is_refused_not_cut(chat_spec: ChatSpec, stream: bool) -> None:
    long = [{"role": "user", "content": "restore the backup " * 3000}]
    with pytest.raises(TooLongError):
        asyncio.run(answer(chat_spec, long, stream=stream))


def test_chinese_passages_fit_by_the_estimate(chat_spec: ChatSpec) -> None:
    found = [FoundPassage("1", 1, "a.md", 0, 1.0, CHINESE), FoundPassage("2", 2, "b.md", 0, 0.5, CHINESE)]
    asked = messages("\u5982\u4f55\u6062\u590d\uff1f", found, CONTEXT - ANSWER)
    assert "[1] a.md" in asked[1]["content"]
    assert asyncio.run(answer(chat_spec, asked, stream=False))


def test_a_missing_chat_model(chat_spec: ChatSpec) -> None:
    missing = chat_spec.model_copy(update={"model": "not-there"})
    if chat_spec.kind == "ollama":
        with pytest.raises(ApiError, match="not list not-there"):
            asyncio.run(answer(missing, [{"role": "user", "content": "Why?"}], stream=False))


def test_a_loaded_model_stays_as_long_as_it_is_told(chat_spec: ChatSpec) -> None:
    if chat_spec.kind == "openai":
        pytest.skip("OpenAI's protocol has no such time")
    asyncio.run(answer(chat_spec, [{"role": "user", "content": "Why?"}], stream=False))
    running: list[dict[str, Any]] = httpx.get(f"{chat_spec.url}/api/ps").json()["models"]
    [mine] = [one for one in running if one["name"].startswith(chat_spec.model)]
    assert mine["context_length"] == CONTEXT
