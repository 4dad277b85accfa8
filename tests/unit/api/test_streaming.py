"""Answers as they are written, over real HTTP: what arrives when, and what ends when a client leaves."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from ragops.api import streaming
from tests.unit.api.event_streams import QUESTION, SECONDS, ask, events_of
from tests.unit.api.fakes import FakeOllama, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.api.fakes import FakeQdrant


@pytest.fixture
def ollama() -> Iterator[FakeOllama]:
    fake = FakeOllama()
    server = Server(fake).start()
    fake.url = server.url  # type: ignore[attr-defined]
    yield fake
    server.stop()


def chat(ollama: FakeOllama) -> dict[str, str]:
    return {"model": "llama", "url": ollama.url}  # type: ignore[attr-defined]


def test_passages_then_pieces_then_the_answer(serve: Any, ollama: FakeOllama) -> None:
    client = serve(chat=chat(ollama))
    got = ask(client)
    assert [name for name, _ in got] == ["passages", "text", "text", "text", "answer"]
    assert [data["text"] for name, data in got if name == "text"] == ollama.pieces
    answer = got[-1][1]
    assert (answer["answer"], answer["generated"], answer["model"]) == ("Because of [1].", True, "llama")
    assert answer["passages"] == got[0][1]["results"]
    assert ollama.calls[-1][1]["stream"] is True
    plain = client.post("/api/v1/query", json=QUESTION, headers={"Accept": "application/json"}).json()
    assert {**plain, "cached": False} == {**answer, "cached": False}


def test_a_piece_arrives_before_the_next_one_is_written(serve: Any, ollama: FakeOllama) -> None:
    ollama.pause = threading.Event()
    with serve(chat=chat(ollama)).stream("POST", "/api/v1/query", json=QUESTION) as answer:
        events = events_of(answer.iter_lines())
        assert [next(events)[0], next(events)[1]] == ["passages", {"text": " Because"}]
        ollama.pause.set()
        assert [name for name, _ in events] == ["text", "text", "answer"]


def test_the_model_ends_if_the_client_leaves(serve: Any, ollama: FakeOllama) -> None:
    ollama.pause = threading.Event()  # never set: only the end of the connection ends the model
    with serve(chat=chat(ollama)).stream("POST", "/api/v1/query", json=QUESTION) as answer:
        events = events_of(answer.iter_lines())
        assert next(events)[0] == "passages"
        assert next(events)[0] == "text"
    assert ollama.left.wait(SECONDS)


def test_a_silent_model_leaves_comments(serve: Any, ollama: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_HEARTBEAT_SECONDS", 0.05)
    ollama.pause = threading.Event()
    with serve(chat=chat(ollama)).stream("POST", "/api/v1/query", json=QUESTION) as answer:
        events = events_of(answer.iter_lines())
        assert next(event for event in events if event[0] == "text")  # before it there may be comments, too
        assert next(events)[0] == "comment"
        ollama.pause.set()
        assert [name for name, _ in events if name != "comment"] == ["text", "text", "answer"]


def test_the_time_limit_of_a_request_is_not_that_of_a_stream(serve: Any, ollama: FakeOllama) -> None:
    ollama.pause = threading.Event()
    threading.Timer(8, ollama.pause.set).start()
    client = serve(chat=chat(ollama), timeouts={"request": 6})
    assert ask(client)[-1][0] == "answer"


def test_without_a_model_the_passages_are_the_answer(serve: Any) -> None:
    got = ask(serve())
    assert [name for name, _ in got] == ["passages", "answer"]
    assert got[-1][1]["answer"] is None
    assert got[-1][1]["note"]


@pytest.mark.parametrize(("fails", "breaks_off"), [(500, False), (0, True)])
def test_a_model_that_fails_leaves_the_passages(serve: Any, ollama: FakeOllama, fails: int, breaks_off: bool) -> None:
    ollama.fail, ollama.breaks_off = fails, breaks_off
    name, answer = ask(serve(chat=chat(ollama)))[-1]
    assert (name, answer["answer"], answer["generated"]) == ("answer", None, False)
    assert "chat" in answer["note"]
    assert [passage["path"] for passage in answer["passages"]] == ["rotation.md"]


def test_a_question_that_fails_has_a_status_and_no_events(serve: Any, qdrant: FakeQdrant) -> None:
    client = serve()
    refused = client.post("/api/v1/query", json=QUESTION | {"collection": "nosuch"})
    assert (refused.status_code, refused.json()["code"]) == (404, "collection_not_found")
    assert client.post("/api/v1/query", json={}).status_code == 422
    qdrant.fail = 500
    assert client.post("/api/v1/query", json=QUESTION).status_code == 503


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("text/event-stream", True),
        ("application/json, text/event-stream;q=0.5", True),
        ("Text/Event-Stream; charset=utf-8", True),
        ("text/event-stream;q=0", False),
        ("text/event-stream;q=x", False),
        ("*/*", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_events_are_sent_to_those_who_ask_for_them(accept: str, expected: bool) -> None:
    assert streaming.accepts_events(accept) is expected
