"""The API and its models: each collection's own, slow and busy servers, keys, and as many tokens as a model takes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from ragops.api.chat_model import messages
from ragops.api.embedders import Embedders, LocalEmbedder
from ragops.api.problem import ApiError
from ragops.api.search import FoundPassage
from ragops.embedding import static
from ragops.embedding.hashing import HashingEmbedder
from ragops.embedding.tokens import count_tokens, cut_to_tokens
from tests.unit.embedding.model_server import ModelServer, vector
from tests.web_server import WebServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.api.config import ApiConfig

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["ollama", "openai"])
def server(request: pytest.FixtureRequest) -> Iterator[ModelServer]:
    with ModelServer(request.param) as made:
        yield made


def embedder(server: ModelServer, **changes: Any) -> dict[str, Any]:
    return {"kind": server.kind, "model": "m", "url": server.url, **changes}


class Rows:
    """A database that says what collections were made with."""

    def __init__(self, made: dict[str, tuple[str, str | None, bool | None]]) -> None:
        self.made = made
        self.asked = 0
        self.down = False

    async def rows(self, _statement: str, parameters: tuple[str]) -> list[tuple[Any, ...]]:
        self.asked += 1
        if self.down:
            raise ApiError(503, "dependency_failed", "database: away")
        found = self.made.get(parameters[0])
        return [found] if found else []


async def test_each_collection_is_asked_with_what_its_vectors_were_made_with(clock) -> None:
    default, other = LocalEmbedder(HashingEmbedder(16)), LocalEmbedder(HashingEmbedder(32))
    rows = Rows(
        {
            "old": ("hashing-16-v1", "hashing-64-v1", None, "old@2"),  # configured anew, not ingested since
            "wide": ("hashing-32-v1", "hashing-32-v1", True, "wide"),
            "empty": ("hashing-32-v1", None, None, None),
            "strange": ("gone", "gone", None, "strange"),
        }
    )
    embedders = Embedders(default, {other.name: other}, rows, clock)  # type: ignore[arg-type]
    found = {name: await embedders.find(name) for name in ("old", "wide", "empty", "unknown")}
    assert {name: (one.embedder.name, one.prefixed, one.points) for name, one in found.items()} == {
        "old": ("hashing-64-v1", False, "old@2"),
        "wide": ("hashing-32-v1", True, "wide"),
        "empty": ("hashing-32-v1", True, "empty"),
        "unknown": ("hashing-16-v1", True, "unknown"),
    }
    with pytest.raises(ApiError, match="made with gone") as caught:
        await embedders.find("strange")
    assert (caught.value.status, caught.value.code) == (409, "embedder_mismatch")
    asked = rows.asked
    await embedders.find("wide")
    assert rows.asked == asked  # it is known for some seconds
    clock.move(11)
    rows.down = True
    assert (await embedders.find("wide"))[0] is other  # what the database said last
    assert rows.asked == asked + 1


async def test_each_model_has_its_own_breaker(start, qdrant) -> None:
    with ModelServer("ollama", 768) as small, ModelServer("openai", 1024) as large:
        qdrant.add("small", {"a.md": "one"}, lambda texts: [vector(text, 768) for text in texts])
        qdrant.add("large", {"a.md": "one"}, lambda texts: [vector(text, 1024) for text in texts])
        models = {"big": embedder(large, model="big"), "second": embedder(small, model="second")}
        api = await start(embedder=embedder(small, model="little"), models=models)
        made = {"small": ("little", "little", None, "small"), "large": ("big", "big", None, "large")}
        api.deps.search.embedders._database = Rows(made)
        for name, model in (("small", "little"), ("large", "big")):
            body = (await api.search("one", collection=name)).json()
            assert "results" in body, body
            assert (body["embedder"], body["results"][0]["path"]) == (model, "a.md")
        assert sorted(set(api.deps.breakers) - {"qdrant"}) == ["ollama", "ollama second", "openai"]
        large.misbehave = lambda _texts: large.error(500, "broken")
        for number in range(5):
            assert (await api.search(f"what {number}", collection="large")).status_code == 503
        assert (await api.search("more", collection="large")).json()["code"] == "circuit_open"
        assert (await api.search("one more", collection="small")).status_code == 200


async def test_a_slow_model_is_waited_for_and_opens_no_breaker(start, server) -> None:
    """A model that was idle is loaded first."""
    api = await start(embedder=embedder(server), breakers={"failures": 1, "reset_seconds": 30})
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    def load(_texts: list[str]) -> None:
        loop.call_soon_threadsafe(began.set)
        server.release.wait(20)

    server.misbehave = load
    asked = asyncio.create_task(api.search())
    await asyncio.wait_for(began.wait(), 20)
    assert all(breaker.state().state == "closed" for breaker in api.deps.breakers.values())
    server.release.set()
    await asked
    assert api.deps.breakers[server.kind].state().failures == 0


async def test_a_model_that_loads_for_too_long_is_one_failure_for_all_who_wait(start, server) -> None:
    api = await start(embedder=embedder(server, timeout=0.5), breakers={"failures": 3, "reset_seconds": 30})
    server.misbehave = lambda _texts: server.release.wait(20) and None
    answers = await asyncio.gather(*(api.search(f"question {number}") for number in range(6)))
    assert {answer.json()["code"] for answer in answers} == {"dependency_slow"}
    breaker = api.deps.breakers[server.kind]
    assert (breaker.state().state, breaker.state().failures) == ("closed", 1)
    for number in range(2):  # one after the other they are failures
        await api.search(f"more {number}")
    assert breaker.state().state == "open"


async def test_an_answer_that_comes_too_late_is_called_slow(start, server) -> None:
    api = await start(embedder=embedder(server, timeout=0.2))
    server.misbehave = lambda _texts: server.release.wait(20) and None
    body = (await api.search()).json()
    assert (body["status"], body["code"]) == (503, "dependency_slow")
    assert body["detail"] == f"{server.kind}: slow: no answer within 0.2 s"


async def test_a_busy_server_and_a_refused_question_are_no_failures(start, server) -> None:
    api = await start(embedder=embedder(server), breakers={"failures": 1, "reset_seconds": 30})
    server.misbehave = lambda _texts: server.error(429, "rate limit", Retry_After="7")
    busy = await api.search()
    assert (busy.status_code, busy.json()["code"], busy.headers["retry-after"]) == (503, "dependency_busy", "7")
    server.misbehave = lambda _texts: server.error(400, "the input length exceeds the context length")
    refused = await api.search("and more")
    assert (refused.status_code, refused.json()["code"]) == (422, "question_refused")
    server.misbehave = lambda _texts: (200, {}, b"<html>")
    assert "not JSON" in (await api.search("and html")).json()["detail"]
    assert (await api.search("again")).json()["code"] == "circuit_open"


async def test_a_model_that_is_missing_leaves_the_others_of_its_server_alone(start, qdrant) -> None:
    with ModelServer("ollama") as one:
        qdrant.add("first", {"a.md": "one"}, lambda texts: [vector(text) for text in texts])
        qdrant.add("second", {"a.md": "one"}, lambda texts: [vector(text) for text in texts])
        api = await start(embedder=embedder(one), models={"gone": embedder(one, model="gone")})
        made = {"first": ("m", "m", None, "first"), "second": ("gone", "gone", None, "second")}
        api.deps.search.embedders._database = Rows(made)
        one.misbehave = lambda _texts: one.error(404, 'model "gone" not found') if is_asked(one, "gone") else None
        for number in range(6):
            await api.search(f"what {number}", collection="second")
        assert (await api.search("more", collection="second")).json()["code"] == "circuit_open"
        assert (await api.search("more", collection="first")).status_code == 200


def is_asked(server: ModelServer, model: str) -> bool:
    return bool(server.asked[-1]["model"] == model)


async def readiness(api: Any) -> dict[str, tuple[str, str]]:
    body = (await api.http.get("/readyz")).json()
    return {check["name"]: (check["status"], check["detail"]) for check in body["checks"]}


async def test_readiness_looks_whether_the_server_has_the_model(start, server) -> None:
    api = await start(embedder=embedder(server), models={"other": embedder(server, model="other")})
    name, other = server.kind, f"{server.kind} other"
    found = await readiness(api)
    assert (found[name], found[other]) == (("ok", "answers"), ("degraded", f"{other}: it does not list other"))
    server.listed = ["other"]
    found = await readiness(api)
    assert (found[name][0], found[other][0]) == ("down", "ok")
    server.listed = None  # a server without such a list
    assert (await readiness(api))[name][0] == ("ok" if name == "openai" else "down")


async def test_readiness_of_a_server_that_loads_its_model_opens_no_breaker(start, server) -> None:
    api = await start(embedder=embedder(server), breakers={"failures": 1, "reset_seconds": 30})
    server.misbehave = lambda _texts: server.error(503, "Loading model")
    for _ in range(3):
        assert (await readiness(api))[server.kind] == ("degraded", f"{server.kind}: Loading model")
    server.misbehave = lambda _texts: None
    assert (await readiness(api))[server.kind][0] == "ok"


async def test_a_proxy_of_the_environment_gets_neither_question_nor_key(
    start, server, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    (tmp_path / "model.key").write_text("sk-secret\n")
    with WebServer(lambda request: (502, seen.append(request) or {})) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        api = await start(embedder=embedder(server, key_file="model.key"))
        await api.search()
    assert (server.keys, seen) == (["Bearer sk-secret"], [])


async def test_a_key_is_sent_and_never_shown(start, server, tmp_path) -> None:
    (tmp_path / "model.key").write_text("sk-secret\n")
    api = await start(embedder=embedder(server, key_file="model.key"))
    server.misbehave = lambda _texts: server.error(401, "Incorrect API key provided: sk-secret")
    body = (await api.search()).json()
    assert server.keys == ["Bearer sk-secret"]
    assert body["detail"] == f"{server.kind}: it refuses the key"


def test_a_request_may_take_as_long_as_its_models(settings) -> None:
    config: ApiConfig = settings(embedder={"kind": "ollama", "model": "m", "url": "http://a:1"})
    assert config.request_seconds == 55
    assert settings(chat={"model": "m", "url": "http://a:1", "timeout": 100}).request_seconds == 110
    assert settings().request_seconds == 30


# --- tokens ---------------------------------------------------------------------------------------------------------


def passage(text: str, number: int = 1) -> FoundPassage:
    return FoundPassage(str(number), number, f"{number}.md", 0, 1.0, text)


@pytest.mark.parametrize("text", ["word " * 4000, "\u4f60\u597d" * 6000, "1234567890" * 1000, "caf\u00e9 " * 2000])
def test_the_best_passage_never_falls_off(text: str) -> None:
    made = messages("What is it?", [passage(text), passage("second " * 50, 2)], 3000)
    whole = "".join(message["content"] for message in made)
    assert count_tokens(whole) <= 3000
    assert "[1] 1.md" in whole
    assert len(whole) > 1000
    assert whole.endswith("Question: What is it?")


@pytest.mark.parametrize("query", ["\u4f60\u597d\u5417 " * 600, "why " * 500])
def test_a_long_question_leaves_half_of_the_room_to_the_best_passage(query: str) -> None:
    made = messages(query, [FoundPassage("1", 1, "folder/" * 600, 0, 1.0, "\u7b54\u6848 " * 4000)], 512)
    text = made[1]["content"]
    assert count_tokens("".join(message["content"] for message in made)) <= 512
    passage_text, _, question = text.partition("\n\nQuestion: ")
    assert count_tokens(passage_text) > 150
    assert count_tokens(question) > 150


def test_passages_without_room_are_left_out_from_the_last_on() -> None:
    found = [passage(f"text{number} " * 100, number) for number in range(1, 6)]
    text = messages("What?", found, 800)[1]["content"]
    assert "[1] 1.md" in text
    assert "[2] 2.md" in text
    assert "[5] 5.md" not in text


TEXTS = {
    "english": "Backup and restore of the configuration, version 18.4 (see docs/recovery.md). ",
    "chinese": "\u5907\u4efd\u548c\u6062\u590d\u662f\u4e00\u56de\u4e8b\uff0c",
    "japanese": "\u30d0\u30c3\u30af\u30a2\u30c3\u30d7\u3068\u5fa9\u5143",
    "korean": "\ubc31\uc5c5\uacfc \ubcf5\uc6d0\uc740 \uac19\uc740 ",
    "russian": "\u0420\u0435\u0437\u0435\u0440\u0432\u043d\u043e\u0435 ",
    "german": "Geschwindigkeitsbegrenzungsverordnung f\u00fcr Datenbanksicherungen ",
    "capitals": "BACKUP RESTORE CONFIGURATION ",
    "emoji": "\U0001f642\U0001f680",
    "base64": base64.b64encode(hashlib.sha512(b"a").digest() * 3).decode(),
    "hex": hashlib.sha512(b"b").hexdigest(),
    "camel case": "getHttpResponseCodeForUserAccountSettingsManager ",
    "code": 'def test_it(tmp_path: Path) -> None:\n    assert run("a", b=[1, 2]) == {"c": None}\n',
    "table": "| a | b |\n|---|---|\n| 1 | 2 |\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_no_text_has_many_more_tokens_than_are_estimated(name: str) -> None:
    """Compared with the tokenizer of an old model, of 32,000 tokens: those of today need fewer."""
    tokenizer = static._load()[0]
    text = TEXTS[name] * 40
    real = len(tokenizer.encode(text, add_special_tokens=False).ids)
    least = 0.7 if name == "base64" else 0.9
    assert real * least <= count_tokens(text) <= real * 3


def test_tokens_are_estimated_rather_too_high() -> None:
    assert count_tokens("Backup and restore") == 2 + 1 + 2
    assert count_tokens("\u4f60\u597d") == 4
    assert cut_to_tokens("one two three", 2) == "one two "
    assert cut_to_tokens("", 5) == ""


async def test_a_collection_that_was_built_again_is_found_where_it_is_now(start, qdrant) -> None:
    """Its old points may be deleted while this process still has them as the live ones."""
    embed = HashingEmbedder().embed
    qdrant.add("manuals@2", {"new.md": "the new words"}, embed)
    api = await start()
    rows = api.deps.search.embedders._database = Rows({"manuals": ("hashing-384-v1", "hashing-384-v1", None, None)})
    assert (await api.search("rotation")).json()["results"][0]["path"] == "rotation.md"
    rows.made["manuals"] = ("hashing-384-v1", "hashing-384-v1", None, "manuals@2")
    assert (await api.search("rotation of secrets")).json()["results"][0]["path"] == "rotation.md"  # seen 10 s ago
    del qdrant.collections["manuals"]
    assert (await api.search("new words")).json()["results"][0]["path"] == "new.md"
    del qdrant.collections["manuals@2"]
    asked = rows.asked
    assert (await api.search("new words")).status_code == 404
    assert rows.asked == asked + 1
    rows.down = True
    qdrant.add("manuals@2", {"new.md": "the new words"}, embed)
    api.deps.search.embedders.forget()
    assert (await api.search("the new words")).status_code == 200, "the database is down: what it said last counts"
