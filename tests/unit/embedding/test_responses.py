"""How answers of servers of models are read: those that real servers gave, and those that none should give."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from ragops.embedding import responses
from ragops.embedding.protocols import Fault, ServerError, base_url


@pytest.mark.parametrize("places", [[0, 0, 1], [1, 2, 3], ["0", "1", "2"], [0.0, 1.0, 2.0], [None, 1, 0]])
def test_places_that_fit_no_text(places: list[Any]) -> None:
    answer = {"data": [{"index": place, "embedding": [1.0]} for place in places]}
    with pytest.raises(ServerError, match="does not hold 3 embeddings"):
        responses.read_vectors("openai", answer, 3, None)


def test_places_that_are_left_out_are_those_of_the_texts() -> None:
    answer = {"data": [{"index": None, "embedding": [1.0]}, {"embedding": [2.0]}]}
    assert responses.read_vectors("openai", answer, 2, 1) == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("http://a:1", "http://a:1/v1"),
        ("http://a:1/v1/", "http://a:1/v1"),
        ("http://a:1/openai", "http://a:1/openai/v1"),
        ("https://a/v1beta/openai/", "https://a/v1beta/openai"),
    ],
)
def test_the_version_in_a_url(url: str, whole: str) -> None:
    assert base_url("openai", url) == whole
    assert base_url("ollama", url) == url.rstrip("/")


@pytest.mark.parametrize(
    ("kind", "listed", "is_there"),
    [
        ("ollama", {"models": [{"name": "m:latest"}]}, True),
        ("ollama", {"models": [{"name": "m:v1.5"}]}, False),
        ("ollama", {"models": []}, False),
        ("openai", {"data": [{"id": "m"}]}, True),
        ("openai", {"data": [{"id": "m:latest", "owned_by": "library"}]}, True),  # Ollama by OpenAI's protocol
        ("openai", {"data": [{"id": "other", "owned_by": "vllm"}]}, False),
        ("openai", {"data": [{"id": "/models/x.gguf", "owned_by": "llamacpp"}]}, True),  # it takes any name
        ("openai", {"data": None}, True),
        ("openai", [], True),
    ],
)
def test_which_models_a_server_lists(kind: str, listed: Any, is_there: bool) -> None:
    assert responses.has_model(kind, listed, "m") is is_there


# --- what real servers answer -----------------------------------------------------------------------------------------

# Seen at Ollama 0.17.4 and at llama.cpp's server of the same year, each with a llama and a bert of random weights.
SEEN = [
    ("Ollama, embed, no such model", 404, {"error": 'model "nope" not found, try pulling it first'}, Fault.MISSING),
    ("Ollama, chat, no such model", 404, {"error": "model 'nope' not found"}, Fault.MISSING),
    (
        "Ollama by /v1, no such model",
        404,
        {"error": {"message": "model 'nope' not found", "code": None}},
        Fault.MISSING,
    ),
    ("Ollama, chat with an embedder", 400, {"error": '"tiny-embed" does not support chat'}, Fault.REFUSED),
    ("Ollama, too long", 400, {"error": "the input length exceeds the context length"}, Fault.REFUSED),
    ("Ollama, no such path", 404, "404 page not found", Fault.UNREADABLE),
    ("Ollama, too many wait", 503, {"error": "server busy, please try again"}, Fault.BUSY),
    ("llama.cpp, loading", 503, {"error": {"code": 503, "message": "Loading model"}}, Fault.BUSY),
    ("llama.cpp, no key", 401, {"error": {"code": 401, "message": "Invalid API Key"}}, Fault.KEY),
    ("llama.cpp, no such path", 404, {"error": {"code": 404, "message": "File Not Found"}}, Fault.UNREADABLE),
    (
        "llama.cpp, prompt too long",
        400,
        {"error": {"code": 400, "message": "request (9016 tokens) exceeds the available context size"}},
        Fault.REFUSED,
    ),
    (
        "llama.cpp, chunk too long",
        500,
        {"error": {"code": 500, "message": "input (3002 tokens) is too large to process"}},
        Fault.FAILED,
    ),
    (
        "llama.cpp without --embeddings",
        501,
        {"error": {"code": 501, "message": "This server does not support embeddings"}},
        Fault.FAILED,
    ),
]


@pytest.mark.parametrize(("status", "body", "fault"), [row[1:] for row in SEEN], ids=[row[0] for row in SEEN])
def test_what_real_servers_answer(status: int, body: Any, fault: Fault) -> None:
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    response = httpx.Response(status, request=httpx.Request("POST", "http://a:1/v1/embeddings"))
    with pytest.raises(ServerError) as caught:
        responses.read_response(response, content)
    assert caught.value.fault is fault
    assert caught.value.is_too_long is (fault is Fault.REFUSED and "exceeds" in str(body))


def test_a_runner_that_dies_in_the_middle_is_an_error_in_a_line() -> None:
    """Ollama goes on with status 200, and its next request works again."""
    line = json.dumps({"error": "an error was encountered while running the model: unexpected EOF"})
    with pytest.raises(ServerError, match=r"it failed while it wrote: .*unexpected EOF") as caught:
        responses.read_line("ollama", line)
    assert caught.value.fault is Fault.FAILED
