"""A question that is answered directly has the bytes that FastAPI would send, and every fault is found by FastAPI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ragops.api import direct

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.unit.api.conftest import Api

pytestmark = pytest.mark.anyio

GOOD = b'{"collection": "manuals", "query": "rotation of secrets"}'
ID = "0123456789abcdef"


async def post(api: Api, path: str, body: bytes, **headers: str) -> httpx.Response:
    sent = {"Content-Type": "application/json", "X-Request-Id": ID, **headers}
    return await api.http.post(path, content=body, headers=sent)


async def both(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str, body: bytes, **headers: str
) -> tuple[httpx.Response, httpx.Response]:
    """The answer as it is, and the one without the short way."""
    first = await post(api, path, body, **headers)
    with monkeypatch.context() as patch:
        patch.setattr(direct, "_read", lambda _model, _message: None)
        return first, await post(api, path, body, **headers)


def reads(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each request was answered directly, as far as its body decides that."""
    found: list[bool] = []
    read = direct._read

    def watched(model: Any, message: Any) -> Any:
        asked = read(model, message)
        found.append(asked is not None)
        return asked

    monkeypatch.setattr(direct, "_read", watched)
    return found


@pytest.mark.parametrize("path", ["/search", "/query", "/api/v1/search", "/api/v1/query", "/api/v2/search"])
@pytest.mark.parametrize(
    "body",
    [
        GOOD,
        b'{"collection": "manuals", "query": "nothing of it: dabomix", "limit": 1}',
        '{"collection": "manuals", "query": "rotation \u00e4\u4f60", "limit": "2"}'.encode(),
        b'{"collection": "manuals", "query": "rotation", "limit": 2.0}',
        b'{"collection": "none", "query": "rotation"}',
    ],
)
async def test_the_same_bytes_and_headers(api: Api, monkeypatch: pytest.MonkeyPatch, path: str, body: bytes) -> None:
    directly = reads(monkeypatch)
    short, long = await both(api, monkeypatch, path, body)
    assert directly == [True]
    assert (short.status_code, short.content) == (long.status_code, long.content)
    assert short.headers.raw == long.headers.raw


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"7", b'"x"', b"{}", b'{"query": ""}', b'{"query": " "}', b'{"query": 7}', b"\xff",
        b'{"query": "x", "limit": 0}', b'{"query": "x", "limit": 51}', b'{"query": "x", "limit": "a"}',
        b'{"query": "x", "more": 1}', b'{"query": "x", "collection": "a/b"}', b'{"query": NaN}', b"[" * 5000,
        b'{"query": "x", "limit": 1.5}', b'{"query": "x", "cursor": 5}', b'{"query": "\\ud800"}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/api/v1/search", "/api/v2/search"])
async def test_the_same_faults(api: Api, monkeypatch: pytest.MonkeyPatch, path: str, body: bytes) -> None:
    short, long = await both(api, monkeypatch, path, body)
    assert (short.status_code, short.content) == (long.status_code, long.content)
    assert short.headers.raw == long.headers.raw
    assert short.status_code in (409, 422, 500) or body == b'{"query": "\\ud800"}'


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/problem+json", "application/jsonx", "", "application/json; a=b"]
)
async def test_other_types_of_content_are_left_to_fastapi(api: Api, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    directly = reads(monkeypatch)
    short, long = await both(api, monkeypatch, "/api/v1/search", GOOD, **{"Content-Type": kind})
    assert directly == ([True] if kind.startswith("application/json;") else [])
    assert (short.status_code, short.content) == (long.status_code, long.content)


async def test_events_and_other_methods_are_left_to_fastapi(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    directly = reads(monkeypatch)
    events = await post(api, "/api/v1/query", GOOD, Accept="text/event-stream")
    assert events.headers["content-type"].startswith("text/event-stream")
    assert (await api.http.put("/api/v1/search", content=GOOD)).status_code == 405
    assert (await api.http.get("/api/v1/search", params={"query": "rotation of secrets"})).status_code == 200
    assert directly == []


async def test_a_token_is_needed_all_the_same(start: Callable[..., Any]) -> None:
    api = await start()
    assert (await post(api, "/api/v1/search", GOOD, Authorization="")).status_code == 401


async def test_an_answer_out_of_the_cache_is_the_same_but_for_its_mark(start: Callable[..., Any]) -> None:
    kept: dict[Any, bytes] = {}

    class Cache:
        async def get(self, collection: str, question: Any) -> bytes | None:
            return kept.get((collection, *question))

        async def put(self, collection: str, question: Any, answer: bytes) -> None:
            kept[collection, *question] = answer

    api = await start()
    api.deps.search.cache = Cache()
    for path in ("/api/v1/search", "/api/v1/query", "/api/v2/search"):
        first, again = await post(api, path, GOOD), await post(api, path, GOOD)
        assert first.content.replace(b'"cached":false', b'"cached":true') == again.content, path
        assert again.json()["cached"] is True
