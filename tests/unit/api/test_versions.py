"""The contract of versions: what each path answers, before the sunset and after it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

pytestmark = pytest.mark.anyio

ASKED = {"collection": "manuals", "query": "rotation"}
LEGACY = [("GET", "/search"), ("POST", "/search"), ("POST", "/query"), ("GET", "/collections")]


async def ask(api, method, path):
    if method == "POST":
        return await api.http.post(path, json=ASKED)
    return await api.http.get(path, params=ASKED if path.endswith("search") else None)


@pytest.mark.parametrize(("method", "path"), LEGACY)
async def test_legacy_paths_answer_as_v1_and_say_that_they_end(api, caplog, method, path):
    caplog.set_level(logging.WARNING)
    current = await ask(api, method, f"/api/v1{path}")
    legacy = await ask(api, method, path)
    assert legacy.status_code == current.status_code == 200
    assert legacy.json() == current.json()
    assert legacy.headers["deprecation"] == f"@{int(datetime(2026, 11, 23, tzinfo=UTC).timestamp())}"
    assert legacy.headers["sunset"] == "Sun, 23 May 2027 00:00:00 GMT"
    assert legacy.headers["link"] == f'</api/v1{path}>; rel="successor-version"'
    assert "deprecation" not in current.headers
    [warning] = [record for record in caplog.records if record.message == "legacy_path"]
    assert {name: warning.fields[name] for name in ("path", "use", "consumer")} == {
        "path": path,
        "use": f"/api/v1{path}",
        "consumer": "alice",
    }
    assert f'ragops_api_legacy_requests_total{{path="{path}"}} 1.0' in (await api.http.get("/metrics")).text


@pytest.mark.parametrize(("method", "path"), LEGACY)
async def test_after_the_sunset_they_are_gone_and_the_versions_stay(api, clock, qdrant, method, path):
    clock.date = datetime(2027, 5, 22, 23, 59, 59, tzinfo=UTC)
    assert (await ask(api, method, path)).status_code == 200
    clock.date = datetime(2027, 5, 23, tzinfo=UTC)
    calls = len(qdrant.calls)
    gone = await ask(api, method, path)
    assert gone.status_code == 410
    assert gone.headers["content-type"] == "application/problem+json"
    assert gone.json()["successor"] == f"/api/v1{path}"
    assert gone.headers["link"] == f'</api/v1{path}>; rel="successor-version"'
    assert len(qdrant.calls) == calls
    assert (await ask(api, method, f"/api/v1{path}")).status_code == 200


async def test_errors_on_legacy_paths_have_the_headers_too(api):
    refused = await api.http.post("/search", json={})
    assert refused.status_code == 422
    assert "sunset" in refused.headers
    unknown = await api.http.get("/search", headers={"Authorization": ""})
    assert unknown.status_code == 401
    assert "sunset" in unknown.headers


async def test_legacy_paths_need_a_token_as_well(api):
    for method, path in LEGACY:
        response = await api.http.request(method, path, headers={"Authorization": ""})
        assert response.status_code == 401


async def test_v2_has_no_operation_that_is_not_its_own(api):
    assert (await ask(api, "POST", "/api/v2/search")).status_code == 200
    assert (await ask(api, "POST", "/api/v2/query")).status_code == 404
    assert (await api.http.get("/api/v12/search", params=ASKED)).status_code == 404
