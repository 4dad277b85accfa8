"""The API describes itself to whoever has a token: as a document and as a page that loads nothing."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest

from ragops.api import reference

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", ["/api/v1/openapi.json", "/api/v1/docs", "/docs"])
async def test_it_is_for_those_who_have_a_token(api: Any, path: str) -> None:
    assert (await api.http.get(path, headers={"Authorization": ""})).status_code == 401


async def test_the_document_holds_what_the_gateway_routes(api: Any) -> None:
    document = (await api.http.get("/api/v1/openapi.json")).json()
    assert {"/api/v1/search", "/api/v1/query", "/api/v2/search", "/search"} <= set(document["paths"])
    assert not [path for path in document["paths"] if path.startswith(("/internal", "/metrics", "/healthz", "/readyz"))]
    assert document["openapi"].startswith("3.")


async def test_the_page_shows_every_operation_and_loads_nothing(api: Any) -> None:
    document = (await api.http.get("/api/v1/openapi.json")).json()
    answer = await api.http.get("/api/v1/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for path in document["paths"]:
        assert f"<code>{path}</code>" in answer.text
    assert not re.findall(r"<script|src=|@import|url\(|https?://", answer.text)
    asked = unescape(answer.text)
    assert """--json '{"collection": "manuals", "query": "How do I rotate a secret?", "limit": 5}'""" in asked
    assert """-G --data-urlencode collection=manuals --data-urlencode 'query=How do I rotate a secret?'""" in asked


async def test_docs_leads_there(api: Any) -> None:
    answer = await api.http.get("/docs", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/api/v1/docs")


async def test_texts_are_escaped() -> None:
    operation = {"summary": "<script>x</script>", "parameters": [{"name": "<i>", "in": "query", "required": True}]}
    document = {
        "info": {"title": "<b>", "version": "1", "description": "&"},
        "paths": {"/<x>": {"get": operation}},
        "components": {"schemas": {}},
    }
    page = reference.render(document)
    assert not re.findall(r"<script|<i>|<b><|<x>", page)
