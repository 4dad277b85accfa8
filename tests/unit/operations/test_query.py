"""Questions through a gateway that answers what it is told to, by HTTP and by TLS."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from ragops.errors import ExitCode, RagopsError, UnhealthyError, UsageError
from ragops.operations.data.query import query
from ragops.services.gateway import certificate
from tests.web_server import WebServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.web_server import Request

TOKEN = SecretStr("a.b.c")
PASSAGE = {"id": "1", "document_id": 5, "path": "a.md", "position": 0, "score": 0.5, "text": "words"}
ANSWER = {
    "collection": "docs", "answer": None, "generated": False, "model": None, "note": "no model",
    "embedder": "hashing-384-v1", "cached": False, "passages": [PASSAGE],
}  # fmt: skip


class Gateway(WebServer):
    def __init__(self, tls: tuple[Path, Path] | None = None) -> None:
        self.asked: list[tuple[str, str, Any, str]] = []
        self.status, self.values, self.headers = 200, {}, {"x-request-id": "r1"}
        self.refuse: dict[str, int] = {}
        super().__init__(self._answer, tls)

    def _answer(self, request: Request) -> Any:
        self.asked.append((request.method, request.path, request.json(), request.headers["authorization"]))
        path = request.path.split("?")[0]
        return self.refuse.get(path, self.status), self.values.get(path, ANSWER), self.headers


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as made:
        yield made


def test_a_question_and_its_passages(gateway: Gateway) -> None:
    result = query(gateway.url, TOKEN, "why?", "docs", 3)
    assert gateway.asked == [
        ("POST", "/api/v1/query", {"collection": "docs", "query": "why?", "limit": 3}, "Bearer a.b.c")
    ]
    assert (result.answer, result.note, result.request_id) == (None, "no model", "r1")
    assert [(one.path, one.score, one.text) for one in result.passages] == [("a.md", 0.5, "words")]


def test_all_collections_are_asked_if_none_is_named(gateway: Gateway) -> None:
    query(gateway.url, TOKEN, "why?")
    assert "collection" not in gateway.asked[-1][2]
    query(gateway.url, TOKEN, "why?", "docs")
    assert gateway.asked[-1][2]["collection"] == "docs"


def test_without_any_collection_there_is_nothing_to_ask(gateway: Gateway) -> None:
    gateway.values["/api/v1/query"] = {**ANSWER, "passages": []}
    gateway.values["/api/v1/collections"] = {"collections": [{"name": "docs"}]}
    assert query(gateway.url, TOKEN, "why?").passages == ()
    gateway.values["/api/v1/collections"] = {"collections": []}
    with pytest.raises(UsageError, match="no collection to ask"):
        query(gateway.url, TOKEN, "why?")


@pytest.mark.parametrize(
    ("status", "problem", "wait", "code", "exit_code", "words"),
    [
        (401, {"code": "invalid_token", "detail": "expired"}, "", "token_refused", ExitCode.FAILED, "token issue"),
        (401, b"Jwt is missing", "", "token_refused", ExitCode.FAILED, "token issue"),
        (
            404,
            {"code": "collection_not_found", "detail": "none"},
            "",
            "collection_not_found",
            ExitCode.USAGE,
            "name one",
        ),
        (409, {"code": "embedder_mismatch", "detail": "x"}, "", "embedder_mismatch", ExitCode.FAILED, "ragops ingest"),
        (422, {"code": "invalid_request", "detail": "x"}, "", "invalid_request", ExitCode.USAGE, "correct"),
        (429, b"local_rate_limited", "7", "rate_limited", ExitCode.FAILED, "try again in 7 s"),
        (503, {"code": "circuit_open", "detail": "qdrant"}, "27", "breaker_open", ExitCode.UNHEALTHY, "in 27 s"),
        (503, {"code": "overloaded", "detail": "x"}, "2", "overloaded", ExitCode.UNHEALTHY, "runbook ApiOverloaded"),
        (503, b"no healthy upstream", "", "service_unavailable", ExitCode.UNHEALTHY, "in a moment"),
        (500, b"", "", "query_failed", ExitCode.FAILED, "ragops logs api"),
    ],
)
def test_what_refusals_mean(
    gateway: Gateway, status: int, problem: Any, wait: str, code: str, exit_code: ExitCode, words: str
) -> None:
    gateway.status, gateway.values["/api/v1/query"] = status, problem
    if wait:
        gateway.headers["retry-after"] = wait
    with pytest.raises(RagopsError) as caught:
        query(gateway.url, TOKEN, "why?", "docs")
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)
    assert words in caught.value.hint
    for command in re.findall(r"`?ragops [a-z]+", caught.value.hint):
        assert command.startswith("`"), "commands are quoted, as everywhere"
    assert "Jwt" not in caught.value.message
    assert "a.b.c" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("text", ["", " \t\n"])
def test_an_empty_question_is_refused_in_words(gateway: Gateway, text: str) -> None:
    with pytest.raises(UsageError, match="cannot ask the question: it is empty") as caught:
        query(gateway.url, TOKEN, text)
    assert caught.value.code == "invalid_request"


def test_an_unknown_collection_names_those_there_are(gateway: Gateway) -> None:
    gateway.refuse = {"/api/v1/query": 404}
    gateway.values["/api/v1/query"] = {"code": "collection_not_found", "detail": "none"}
    gateway.values["/api/v1/collections"] = {"collections": [{"name": f"c{number}"} for number in range(12)]}
    with pytest.raises(UsageError) as caught:
        query(gateway.url, TOKEN, "why?", "zzz")
    assert caught.value.message == "cannot find collection zzz: there is none"
    assert caught.value.hint == "there are c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, …"
    with pytest.raises(RagopsError) as known:
        query(gateway.url, TOKEN, "why?", "c1")
    assert (known.value.exit_code, known.value.hint) == (ExitCode.FAILED, "run `ragops ingest c1`")


@pytest.mark.parametrize("answer", [b"<html>", [], {"passages": 1}, {}])
def test_an_answer_that_is_none(gateway: Gateway, answer: Any) -> None:
    gateway.values["/api/v1/query"] = answer
    with pytest.raises(RagopsError) as caught:
        query(gateway.url, TOKEN, "why?", "docs")
    assert caught.value.code == "query_failed"


def test_nobody_there() -> None:
    gone = Gateway()
    gone.close()
    with pytest.raises(UnhealthyError) as caught:
        query(gone.url, TOKEN, "why?", "docs")
    assert caught.value.code == "gateway_unreachable"


def test_only_the_generated_certificate_is_trusted(tmp_path: Path) -> None:
    files = certificate.ensure(tmp_path / "one", datetime.now(tz=UTC))
    other = certificate.ensure(tmp_path / "two", datetime.now(tz=UTC))
    made = Gateway((files.certificate, files.key))
    try:
        assert query(made.url, TOKEN, "why?", "docs", ca_file=files.certificate).collection == "docs"
        for wrong in (other.certificate, None):
            with pytest.raises(UnhealthyError) as caught:
                query(made.url, TOKEN, "why?", "docs", ca_file=wrong)
            assert caught.value.code == "certificate_refused"
        with pytest.raises(RagopsError) as missing:
            query(made.url, TOKEN, "why?", "docs", ca_file=tmp_path / "gone")
        assert missing.value.code == "certificate_unreadable"
        assert len(made.asked) == 1
    finally:
        made.close()
