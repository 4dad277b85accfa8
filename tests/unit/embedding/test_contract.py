"""What every embedder keeps to: those in this process, and those of a server, which may fail in many ways."""

from __future__ import annotations

import base64
import math
import socket
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from ragops.embedding import make, responses
from ragops.embedding.batch import RejectedText, embed_batch
from ragops.embedding.server import ServerEmbedder
from ragops.embedding.spec import ModelSpec, local_spec
from ragops.errors import MissingError, RagopsError, UnhealthyError
from ragops.services.gateway import certificate
from tests.unit.embedding.model_server import DIMENSIONS, ModelServer, vector
from tests.web_server import WebServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVED, LOCAL = ("ollama", "openai"), ("hashing", "static")
KEY = "sk-very-secret"


@pytest.fixture(params=SERVED)
def server(request: pytest.FixtureRequest) -> Iterator[ModelServer]:
    with ModelServer(request.param) as made:
        yield made


def served(server: ModelServer, **changes: Any) -> ServerEmbedder:
    slept: list[float] = changes.pop("slept", [])
    key = changes.pop("key", "")
    values = {"kind": server.kind, "model": "m", "url": server.url, "batch_size": 4, "batch_timeout": 5, **changes}
    return ServerEmbedder(ModelSpec.model_validate(values), lambda: key, slept.append)


# --- all of them ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=[*LOCAL, *SERVED])
def embedder(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param in LOCAL:
        yield make(ModelSpec(kind=request.param))
        return
    with ModelServer(request.param) as made:
        yield served(made)


def test_one_vector_for_each_text_in_order(embedder: Any) -> None:
    texts = [f"{'word ' * number}end" for number in range(9)]
    together = embedder.embed(texts)
    for text, found in zip(texts, together, strict=True):
        assert len(found) == embedder.dimensions
        assert all(isinstance(value, float) and math.isfinite(value) for value in found)
        assert found == pytest.approx(embedder.embed([text])[0], abs=1e-6)
    assert embedder.embed([]) == []
    assert embedder.name


@pytest.mark.parametrize("kind", LOCAL)
@pytest.mark.parametrize("text", ["word", "x" * 5000, "", "   ", "!!!", "naïve Ωmega 你好", "\ud800", "a\x00b"])
def test_every_text_has_a_vector_of_length_one(kind: str, text: str) -> None:
    [found] = make(ModelSpec(kind=kind)).embed([text])  # type: ignore[arg-type]
    assert math.fsum(value * value for value in found) == pytest.approx(1, abs=1e-5)


def test_static_embeddings_find_meaning_where_no_word_is_shared() -> None:
    embedder = make(ModelSpec(kind="static"))
    assert (embedder.name, embedder.dimensions) == ("wordllama-l2-256-v2", 256)
    question, near, far = embedder.embed(["repair a broken car", "fixing faulty automobiles", "a recipe for soup"])
    assert dot(question, near) > dot(question, far) + 0.1


def test_static_embeddings_are_the_same_for_ever() -> None:
    """Vectors that were stored last year must still fit."""
    before = make(local_spec("wordllama-l2-256-v1") or ModelSpec(kind="hashing"))
    assert before.name == "wordllama-l2-256-v1"
    [found] = before.embed(["Backup and restore"])
    assert found[:4] == pytest.approx([0.0850, 0.0578, -0.0301, -0.0206], abs=1e-4)
    assert embed_batch(before, ["restore"], ["Backup"]) == before.embed(["Backup\nrestore"])
    [now] = make(ModelSpec(kind="static")).embed(["Backup and restore"])
    assert now[:4] == pytest.approx([0.0645, 0.0484, -0.0739, 0.0331], abs=1e-4)


def test_static_embeddings_go_by_words_not_by_marks_and_addresses() -> None:
    plain, marked, shouted, empty = make(ModelSpec(kind="static")).embed(
        ["restore a backup", "## [Restore](https://example.org/x) a `backup`\n\n----", "RESTORE THE BACKUP", "of the"]
    )
    assert plain == pytest.approx(marked)
    assert plain == pytest.approx(shouted)
    assert math.fsum(value * value for value in empty) == pytest.approx(1, abs=1e-5)


def test_a_title_moves_the_vector_of_a_passage() -> None:
    embedder = make(ModelSpec(kind="static"))
    plain, titled = embed_batch(embedder, ["fill the pan", "fill the pan"], ["", "potato soup"])
    [question] = embedder.embed(["soup"])
    assert isinstance(plain, list)
    assert isinstance(titled, list)
    assert plain == embedder.embed(["fill the pan"])[0]
    assert dot(question, titled) > dot(question, plain) + 0.1
    assert math.fsum(value * value for value in titled) == pytest.approx(1, abs=1e-5)


def dot(first: list[float], second: list[float]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))


# --- those of a server ----------------------------------------------------------------------------------------------


def test_what_is_sent(server: ModelServer) -> None:
    embedder = served(server, model="nomic-embed-text", key=KEY, context=2048, keep_alive="-1")
    embedder.embed(["a", "b", "c", "d", "e"])
    assert [len(body["input"]) for body in server.asked] == [4, 1]
    assert server.asked[0]["input"][0] == "search_document: a"
    assert set(server.keys) == {f"Bearer {KEY}"}
    own = {"keep_alive": -1, "options": {"num_ctx": 2048}, "truncate": False}
    assert own.items() <= server.asked[0].items() if server.kind == "ollama" else not own.keys() & server.asked[0]


def test_ollama_is_told_to_refuse_what_it_would_cut_and_what_it_cuts_is_counted() -> None:
    with ModelServer("ollama") as server:
        embedder, server.context = served(server, batch_size=8), 30
        texts = ["short", "x" * 40, "a little longer", "y" * 31, "z"]
        lengths = [found[0] for found in embedder.embed(texts)]
        prefix = len(embedder.passage_prefix)
        assert lengths == [min(prefix + len(text), 30) for text in texts]
        assert embedder.cut == 2
        asked = len(server.asked)
        assert embedder.embed(["short", "z"])
        assert (embedder.cut, len(server.asked)) == (2, asked + 1), "one request for what fits"


@pytest.mark.parametrize(
    ("model", "prefixes"),
    [
        ("nomic-embed-text:v1.5", ("search_query: ", "search_document: ")),
        ("intfloat/multilingual-e5-large", ("query: ", "passage: ")),
        ("intfloat/multilingual-e5-large-instruct", ("", "")),
        ("bge-m3", ("", "")),
    ],
)
def test_prefixes_of_known_families(model: str, prefixes: tuple[str, str]) -> None:
    spec = ModelSpec(kind="ollama", url="http://127.0.0.1:1", model=model)
    assert spec.prefixes == prefixes
    own = spec.model_copy(update={"query_prefix": "", "passage_prefix": "text: "})
    assert own.prefixes == ("", "text: ")


def test_a_slow_server_is_slow_not_down(server: ModelServer) -> None:
    server.misbehave = lambda _texts: server.release.wait(10) and None
    with pytest.raises(UnhealthyError, match=r"slow: no answer within 0\.2 s") as caught:
        served(server, batch_timeout=0.2).embed(["a"])
    assert caught.value.code == f"{server.kind}_slow"
    assert "batch_timeout" in caught.value.hint


def test_a_server_that_dies(server: ModelServer) -> None:
    server.misbehave = lambda _texts: (0, {}, b"")
    with pytest.raises(UnhealthyError) as caught:
        served(server).embed(["a"])
    assert caught.value.code == f"{server.kind}_unreachable"
    with socket.socket() as held:  # a port that is bound, on which nothing listens
        held.bind(("127.0.0.1", 0))
        with pytest.raises(UnhealthyError, match="cannot be reached") as caught:
            served(server, url=f"http://127.0.0.1:{held.getsockname()[1]}").embed(["a"])
    assert caught.value.code == f"{server.kind}_unreachable"


@pytest.mark.parametrize("status", [400, 422, 500])
def test_one_refused_text_of_a_batch(server: ModelServer, status: int) -> None:
    refuse = server.error(status, "input length exceeds the context length")
    server.misbehave = lambda texts: refuse if "bad" in texts else None
    found = embed_batch(served(server), ["one", "bad", "three", "four", "five"])
    assert [isinstance(one, RejectedText) for one in found] == [False, True, False, False, False]
    assert found[0] == vector("one")
    assert isinstance(found[1], RejectedText)
    assert "input length exceeds" in found[1].reason


@pytest.mark.parametrize(
    "spoiled", [[float("nan")] * DIMENSIONS, [1.0] * (DIMENSIONS + 1), [], [None] * DIMENSIONS, ["x"] * DIMENSIONS]
)
def test_one_text_without_a_vector_of_finite_numbers(server: ModelServer, spoiled: list[Any]) -> None:
    def answer(texts: list[str]) -> tuple[int, dict[str, str], bytes]:
        return server.json(texts, [spoiled if text == "bad" else vector(text) for text in texts])

    server.misbehave = answer
    embedder = served(server)
    assert embedder.dimensions == DIMENSIONS
    found = embed_batch(embedder, ["one", "bad", "three"])
    assert [isinstance(one, RejectedText) for one in found] == [False, True, False]


def test_fewer_vectors_than_texts(server: ModelServer) -> None:
    server.misbehave = lambda texts: server.json(texts, [vector(text) for text in texts[:-1]])
    with pytest.raises(UnhealthyError, match="does not hold 1 embeddings") as caught:
        embed_batch(served(server), ["one", "two", "three"])
    assert caught.value.code == "embedder_faulty"


def test_other_dimensions_than_configured(server: ModelServer) -> None:
    with pytest.raises(RagopsError, match=f"vectors of {DIMENSIONS} dimensions, not 512") as caught:
        served(server, dimensions=512).embed(["one"])
    assert caught.value.code == f"{server.kind}_refused"
    with pytest.raises(UnhealthyError, match="not 512"):
        embed_batch(served(server, dimensions=512), ["one", "two"])


@pytest.mark.parametrize("content", [b"<html>welcome</html>", b"", b"\xff", b"[1]", b"null", b"{}"])
def test_an_answer_of_something_else(server: ModelServer, content: bytes) -> None:
    server.misbehave = lambda _texts: (200, {"content-type": "text/html"}, content)
    with pytest.raises(UnhealthyError):
        embed_batch(served(server), ["one", "two"])


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_is_never_shown(server: ModelServer, status: int) -> None:
    server.misbehave = lambda _texts: server.error(status, f"Incorrect API key provided: {KEY}")
    with pytest.raises(MissingError) as caught:
        served(server, key=KEY).embed(["one"])
    assert caught.value.code == f"{server.kind}_key_refused"
    assert "key_file" in caught.value.hint
    server.misbehave = lambda _texts: server.error(400, f"strange: {KEY}")
    with pytest.raises(RagopsError, match=r"strange: \*\*\*") as other:
        served(server, key=KEY).embed(["one"])
    assert not any(KEY in text for error in (caught.value, other.value) for text in (str(error), error.hint))


def test_a_busy_server_is_asked_again_after_as_long_as_it_says(server: ModelServer) -> None:
    answers = [server.error(429, "rate limit", Retry_After="7"), server.error(503, "loading")]
    server.misbehave = lambda _texts: answers.pop(0) if answers else None
    slept: list[float] = []
    assert served(server, slept=slept, batch_timeout=60).embed(["one"]) == [vector("one")]
    assert slept == [7, 2]


def test_a_server_that_stays_busy(server: ModelServer) -> None:
    server.misbehave = lambda _texts: server.error(429, "rate limit", Retry_After="86400")
    slept: list[float] = []
    with pytest.raises(UnhealthyError, match="rate limit") as caught:
        served(server, slept=slept, batch_timeout=150).embed(["one"])
    assert caught.value.code == f"{server.kind}_busy"
    assert slept == [60] * 3


def test_a_model_that_is_not_there(server: ModelServer) -> None:
    server.misbehave = lambda _texts: server.error(404, 'model "m" not found')
    with pytest.raises(MissingError, match='model "m" not found') as caught:
        served(server).embed(["one"])
    assert ("ollama pull m" in caught.value.hint) is (server.kind == "ollama")


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize(
    "content", [b"404 page not found", b'{"detail": "Not Found"}', b'{"error": {"message": "File Not Found"}}']
)
def test_a_wrong_url_is_no_missing_model(server: ModelServer, status: int, content: bytes) -> None:
    server.misbehave = lambda _texts: (status, {}, content)
    with pytest.raises(UnhealthyError, match=f"answers {status} to /(api/embed|v1/embeddings)") as caught:
        served(server).embed(["one"])
    assert "`url`" in caught.value.hint


@pytest.mark.parametrize(
    "error", ["model 'm' not found", "The model `m` does not exist", "unknown model m; model_not_found"]
)
def test_a_missing_model_by_any_words(server: ModelServer, error: str) -> None:
    for status in (400, 404):
        server.misbehave = lambda _texts, status=status: server.error(status, error)  # type: ignore[misc]
        with pytest.raises((MissingError, UnhealthyError)) as caught:
            embed_batch(served(server), ["one", "two"])
        assert caught.value.code == f"{server.kind}_model_missing"


def test_a_redirect_is_not_followed_and_gets_no_key(server: ModelServer) -> None:
    seen: list[Any] = []
    with WebServer(lambda request: (200, seen.append(request) or {})) as other:
        server.misbehave = lambda _texts: (307, {"location": f"{other.url}/take?key=1"}, b"")
        with pytest.raises(UnhealthyError, match=r"redirects to 127\.0\.0\.1, which is not followed"):
            embed_batch(served(server, key=KEY), ["one", "two", "three"])
    assert seen == []
    assert len(server.asked) == 1  # no text is at fault


def test_a_batch_that_is_too_large_is_sent_in_parts(server: ModelServer) -> None:
    server.misbehave = lambda texts: (413, {}, b"<html>too large</html>") if len(texts) > 1 else None
    assert embed_batch(served(server), ["one", "three", "five"]) == [vector("one"), vector("three"), vector("five")]


def test_error_pages_of_a_proxy(server: ModelServer) -> None:
    page = b"<html><h1>504 Gateway Time-out</h1></html>"
    for status, code in ((502, "unreachable"), (504, "slow")):
        server.misbehave = lambda _texts, status=status: (status, {"content-type": "text/html"}, page)  # type: ignore[misc]
        with pytest.raises(UnhealthyError, match=f"status {status}") as caught:
            served(server).embed(["one"])
        assert caught.value.code == f"{server.kind}_{code}"


def test_an_answer_without_end_is_given_up(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "MOST_BYTES", 1 << 20)
    server.misbehave = lambda _texts: (200, {}, b"[" + b"1," * (4 << 20))
    with pytest.raises(UnhealthyError, match="larger than 1 MiB"):
        served(server, dimensions=DIMENSIONS).embed(["one"])


def test_an_answer_in_drops_ends_with_the_time_out(server: ModelServer) -> None:
    server.drops = True
    with pytest.raises(UnhealthyError, match="slow: no answer within"):
        served(server, batch_timeout=0.5).embed(["one"])


def test_numbers_that_a_vector_store_cannot_keep(server: ModelServer) -> None:
    for spoiled in (1e300, 10**400, True):
        server.misbehave = lambda texts, spoiled=spoiled: server.json(texts, [[spoiled] * DIMENSIONS for _ in texts])  # type: ignore[misc]
        with pytest.raises(RagopsError, match="something else than finite numbers"):
            served(server).embed(["one"])


def test_numbers_in_base64(server: ModelServer) -> None:
    """Some servers send them so although they are asked for text."""
    encoded = base64.b64encode(struct.pack(f"<{DIMENSIONS}f", *vector("one"))).decode()
    server.misbehave = lambda texts: server.json(texts, [encoded for _ in texts])
    assert served(server).embed(["one"]) == [vector("one")]
    server.misbehave = lambda texts: server.json(texts, ["AAA=" for _ in texts])
    with pytest.raises(RagopsError, match="without numbers"):
        served(server).embed(["one"])


def test_a_connection_that_was_closed_while_it_was_idle(server: ModelServer) -> None:
    embedder = served(server)
    embedder.embed(["one"])
    dying = [(0, {}, b"")]
    server.misbehave = lambda _texts: dying.pop() if dying else None
    assert embedder.embed(["three"]) == [vector("three")]


def test_a_proxy_of_the_environment_gets_no_key(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    with WebServer(lambda request: (502, seen.append(request) or {})) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        served(server, key=KEY).embed(["one"])
    assert seen == []


def test_a_certificate_that_is_refused_is_named(tmp_path: Path) -> None:
    files = certificate.ensure(tmp_path, datetime.now(tz=UTC))
    with WebServer(lambda _request: (200, {}), (files.certificate, files.key)) as other:
        spec = ModelSpec(kind="openai", url=other.url, model="m")
        with pytest.raises(UnhealthyError, match="its certificate is refused: self"):
            ServerEmbedder(spec).embed(["one"])
