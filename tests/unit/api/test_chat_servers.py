"""Chat models behind Ollama's protocol and OpenAI's, over real HTTP: what they send, how they fail, who leaves."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ragops.api import chat_model, model_servers
from tests.unit.api.event_streams import QUESTION, SECONDS, ask, events_of
from tests.unit.embedding.model_server import ModelServer
from tests.waiting import wait_until
from tests.web_server import WebServer

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "sk-very-secret"
PIECES = ["A \u2028 b\x85", " naïve 你好", " [1]."]


@pytest.fixture(params=["ollama", "openai"])
def server(request: pytest.FixtureRequest) -> Iterator[ModelServer]:
    with ModelServer(request.param) as made:
        made.chat = lambda _body: iter([*map(made_piece(made.kind), PIECES), end(made.kind)])
        yield made


@pytest.fixture
def openai() -> Iterator[ModelServer]:
    with ModelServer("openai") as made:
        yield made


def made_piece(kind: str) -> Any:
    return lambda text: line(kind, text)


def line(kind: str, text: str) -> bytes:
    """A piece as servers send it: signs beyond ASCII as they are."""
    if kind == "ollama":
        return (json.dumps({"message": {"content": text}, "done": False}, ensure_ascii=False) + "\n").encode()
    values = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    return f"data: {json.dumps(values, ensure_ascii=False)}\n\n".encode()


def end(kind: str, reason: str = "stop", *, done: bool = True) -> bytes:
    if kind == "ollama":
        return (json.dumps({"message": {"content": ""}, "done": True, "done_reason": reason}) + "\n").encode()
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    usage = {"choices": [], "usage": {"total_tokens": 9}}
    tail = f"data: {json.dumps(usage)}\n\ndata: [DONE]\n\n" if done else ""
    return f"data: {json.dumps(last)}\n\n{tail}".encode()


def chat(server: ModelServer, **changes: Any) -> dict[str, Any]:
    return {"kind": server.kind, "model": "m", "url": server.url, **changes}


def last(got: list[tuple[str, Any]]) -> dict[str, Any]:
    assert got[-1][0] == "answer", got
    answer: dict[str, Any] = got[-1][1]
    return answer


def whole() -> str:
    return "".join(PIECES).strip()


def test_pieces_of_both_protocols(serve: Any, server: ModelServer) -> None:
    got = ask(serve(chat=chat(server)))
    assert [data["text"] for name, data in got if name == "text"] == PIECES
    assert (last(got)["answer"], last(got)["note"]) == (whole(), None)
    assert server.asked[-1]["stream"] is True


def in_pieces_of(size: int, content: bytes) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_what_servers_put_between_the_pieces(serve: Any, openai: ModelServer, newline: bytes, size: int) -> None:
    role = b'data: {"choices": [{"delta": {"role": "assistant", "content": null}}]}\n\n'
    parts = [b": ping\n\n", role, b"event: message\n", *(line("openai", text) for text in PIECES), end("openai")]
    openai.chat = lambda _body: in_pieces_of(size, b"".join(parts).replace(b"\n", newline))
    assert last(ask(serve(chat=chat(openai))))["answer"] == whole()


def test_a_finish_reason_is_an_end_too(serve: Any, openai: ModelServer) -> None:
    openai.chat = lambda _body: iter([line("openai", "Yes [1]."), end("openai", done=False)])
    assert last(ask(serve(chat=chat(openai))))["answer"] == "Yes [1]."


def test_an_answer_that_breaks_off_is_none(serve: Any, server: ModelServer) -> None:
    server.chat = lambda _body: iter([line(server.kind, "Half")])
    answer = last(ask(serve(chat=chat(server))))
    assert (answer["answer"], answer["generated"]) == (None, False)
    assert "ended before its last piece" in answer["note"]
    assert answer["passages"]


def test_an_error_in_the_middle_is_named_without_the_key(serve: Any, server: ModelServer, tmp_path: Any) -> None:
    (tmp_path / "model.key").write_text(f"{KEY}\n")
    error = {"error": {"message": f"out of memory with {KEY}", "type": "server_error"}}
    if server.kind == "ollama":
        error = {"error": f"out of memory with {KEY}"}
    start = "" if server.kind == "ollama" else "data: "
    server.chat = lambda _body: iter([line(server.kind, "Half"), f"{start}{json.dumps(error)}\n\n".encode()])
    answer = last(ask(serve(chat=chat(server, key_file="model.key"))))
    assert "out of memory with ***" in answer["note"]
    assert KEY not in json.dumps(answer)
    assert server.keys == [f"Bearer {KEY}"]


@pytest.mark.parametrize("begun", [True, False])
def test_signs_of_life_are_no_answer(serve: Any, openai: ModelServer, begun: bool) -> None:
    def stall(_body: Any) -> Iterator[bytes]:
        if begun:
            yield line("openai", "Half")
        while not openai.left.wait(0.02):
            yield b": ping\n\n"

    openai.chat = stall
    answer = last(ask(serve(chat=chat(openai, timeout=0.5))))
    assert answer["answer"] is None
    assert "chat: slow: no text of the answer within 0.5 s" in answer["note"]
    assert openai.left.wait(SECONDS)


class _OnceAsked:
    """`asyncio.timeout` that is over once the server has got the request: how quick this machine is does not count."""

    def __init__(self, server: ModelServer) -> None:
        self._server, self._before = server, len(server.asked)

    async def __aenter__(self) -> None:
        self._timeout = await asyncio.timeout(None).__aenter__()
        self._watch = asyncio.create_task(self._expire())

    async def _expire(self) -> None:
        while len(self._server.asked) == self._before:
            await asyncio.sleep(0.01)
        self._timeout.reschedule(asyncio.get_running_loop().time())

    async def __aexit__(self, *raised: Any) -> bool | None:
        self._watch.cancel()
        return await self._timeout.__aexit__(*raised)


def test_a_silent_server_is_slow_not_down(serve: Any, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, real = 19, asyncio.timeout

    def timeout(limit: float) -> Any:
        return _OnceAsked(server) if limit == seconds else real(limit)

    for module in (chat_model, model_servers):
        monkeypatch.setattr(module, "asyncio", SimpleNamespace(**{**vars(asyncio), "timeout": timeout}))
    server.chat = lambda _body: iter([b""])
    client = serve(chat=chat(server, timeout=seconds))
    assert f"chat: slow: no text of the answer within {seconds} s" in last(ask(client))["note"]
    assert server.left.wait(SECONDS)
    plain = client.post("/api/v1/query", json=QUESTION, headers={"Accept": "application/json"}).json()
    assert f"chat: slow: no answer within {seconds} s" in plain["note"]


def test_an_answer_at_its_limit_is_shown_with_a_note_and_not_kept(serve: Any, server: ModelServer) -> None:
    server.chat = lambda _body: iter([line(server.kind, "Half an answer"), end(server.kind, "length")])
    client = serve(chat=chat(server, max_tokens=16))
    answer = last(ask(client))
    assert answer["answer"] == "Half an answer"
    assert answer["note"] == "The answer ended at its limit of 16 tokens (`api.chat.max_tokens`)."


@pytest.mark.parametrize(("reason", "words"), [("stop", "ended without"), ("length", "at its limit of 1024 tokens")])
def test_a_model_that_writes_nothing_leaves_the_passages(
    serve: Any, server: ModelServer, reason: str, words: str
) -> None:
    server.chat = lambda _body: iter([end(server.kind, reason)])
    answer = last(ask(serve(chat=chat(server))))
    assert (answer["answer"], answer["generated"]) == (None, False)
    assert words in answer["note"]
    assert "the passages are the answer" in answer["note"]


def test_a_server_that_answers_at_once_although_asked_for_pieces(serve: Any, server: ModelServer) -> None:
    message = {"role": "assistant", "content": "At once [1]."}
    values: Any = {"message": message, "done": True, "done_reason": "stop"}
    if server.kind == "openai":
        values = {"choices": [{"message": message, "finish_reason": "stop"}]}
    server.chat_type = "application/json"
    server.chat = lambda _body: iter([json.dumps(values).encode()])
    client = serve(chat=chat(server))
    assert last(ask(client))["answer"] == "At once [1]."
    plain = client.post("/api/v1/query", json=QUESTION, headers={"Accept": "application/json"}).json()
    assert plain["answer"] == "At once [1]."


@pytest.mark.parametrize("streams", [True, False])
def test_a_prompt_that_is_too_long_is_sent_again_with_less(serve: Any, server: ModelServer, streams: bool) -> None:
    """The tokens of its tokenizer are estimated, and a model that refuses has to have its passage all the same."""
    sizes: list[int] = []

    def refuse(body: Any) -> Iterator[bytes]:
        text = body["messages"][1]["content"]
        sizes.append(len(text))
        assert "[1] " in text
        yield json.dumps({"error": "the input length exceeds the context length"}).encode()

    server.chat_status, server.chat = 400, refuse
    client = serve(chat=chat(server, context=1024, max_tokens=16))
    question = {"query": "rotation " * 200, "limit": 2}
    if streams:
        note = last(ask(client, **question))["note"]
    else:
        answer = client.post("/api/v1/query", json=QUESTION | question, headers={"Accept": "application/json"})
        note = answer.json()["note"]
    assert "exceeds the context length" in note
    assert len(sizes) == 3
    assert sizes[0] > sizes[1] > sizes[2]


def test_a_prompt_that_fits_at_the_second_attempt(serve: Any, server: ModelServer) -> None:
    def answer(_body: Any) -> Iterator[bytes]:
        if len(server.asked) == 1:
            server.chat_status = 400
            return iter([b'{"error": {"message": "This model\'s maximum context length is 512 tokens"}}'])
        server.chat_status = 200
        return iter([line(server.kind, "Yes [1]."), end(server.kind)])

    server.chat = answer
    assert last(ask(serve(chat=chat(server))))["answer"] == "Yes [1]."


def test_the_model_ends_if_the_client_leaves_before_the_first_piece(serve: Any, server: ModelServer) -> None:
    server.chat = lambda _body: iter([b""])  # it thinks until the connection ends
    with serve(chat=chat(server)).stream("POST", "/api/v1/query", json=QUESTION) as answer:
        events = events_of(answer.iter_lines())
        assert next(events)[0] == "passages"
        wait_until(lambda: bool(server.asked), what="the question to the model")
    assert server.left.wait(SECONDS)


def test_a_line_without_end_is_given_up(serve: Any, openai: ModelServer) -> None:
    def endless(_body: Any) -> Iterator[bytes]:
        yield b"data: "
        while True:
            yield b"x" * 65536

    openai.chat = endless
    assert "a line is too long" in last(ask(serve(chat=chat(openai))))["note"]
    assert openai.left.wait(SECONDS)


def test_a_key_is_not_sent_to_where_a_server_redirects(serve: Any, server: ModelServer, tmp_path: Any) -> None:
    (tmp_path / "model.key").write_text(f"{KEY}\n")
    seen: list[Any] = []
    with WebServer(lambda request: (200, seen.append(request) or {})) as other:
        location = {"location": f"{other.url}/take?k=1"}
        server.misbehave = lambda _texts: (307, location, b"")
        client = serve(embedder={**chat(server), "key_file": "model.key"})
        body = client.post("/api/v1/search", json=QUESTION).json()
    assert seen == []
    assert body["detail"] == f"{server.kind}: redirects to 127.0.0.1, which is not followed"
