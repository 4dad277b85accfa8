from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ragops.api.app import create_app
from ragops.api.config import ApiConfig
from ragops.api.dependencies import build
from ragops.embedding.hashing import HashingEmbedder
from tests.unit.api.event_streams import SECONDS
from tests.unit.api.fakes import ISSUER, Clock, FakeQdrant, Issuer, Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from fastapi import FastAPI

SERVICE_TOKEN = "operator-token-operator-token"
TEXTS = {
    "rotation.md": "Two secrets are valid during a rotation of the service token.",
    "backup.md": "A recovery point is one set over all services.",
    "redis.md": "Redis keeps an append only file and snapshots.",
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def qdrant() -> Iterator[FakeQdrant]:
    fake = FakeQdrant()
    fake.add("manuals", TEXTS, HashingEmbedder().embed)
    fake.server = server = Server(fake).start()  # type: ignore[attr-defined]
    yield fake
    server.stop()


@pytest.fixture
def issuer(tmp_path: Path, clock: Clock) -> Issuer:
    return Issuer(tmp_path / "jwks.json", clock.now)


@pytest.fixture
def settings(tmp_path: Path, qdrant: FakeQdrant, issuer: Issuer) -> Callable[..., ApiConfig]:
    """A configuration; sections given replace the usual ones."""
    (tmp_path / "qdrant.key").write_text("key\n")
    tokens = {"tokens": [{"service": "ragops", "current": SERVICE_TOKEN}]}
    (tmp_path / "service_tokens.json").write_text(json.dumps(tokens))

    def make(**sections: Any) -> ApiConfig:
        values = {
            "listen": {"host": "127.0.0.1", "port": 8080},
            "platform": "test",
            "issuer": ISSUER,
            "jwks_file": "jwks.json",
            "service_tokens_file": "service_tokens.json",
            "qdrant": {"urls": [qdrant.server.url], "api_key_file": "qdrant.key"},
            "embedder": {"kind": "hashing"},
            "breakers": {"failures": 5, "reset_seconds": 30},
            "legacy": {"deprecated": "2026-11-23", "sunset": "2027-05-23"},
            **sections,
        }
        return ApiConfig.model_validate(values).model_copy(update={"folder": tmp_path})

    return make


class Api:
    """The service in process, asked over ASGI."""

    def __init__(self, app: FastAPI, token: str) -> None:
        self.app = app
        self.deps = app.state.dependencies
        self.token = token
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://api",
            headers={"Authorization": f"Bearer {self.token}"},
            trust_env=False,
        )

    async def search(self, query: str = "rotation of secrets", **more: Any) -> httpx.Response:
        return await self.http.post("/api/v1/search", json={"collection": "manuals", "query": query, **more})

    async def internal(self, path: str = "breakers") -> httpx.Response:
        return await self.http.get(f"/internal/{path}", headers={"X-Service-Token": SERVICE_TOKEN})


@pytest.fixture
async def start(settings: Callable[..., ApiConfig], issuer: Issuer, clock: Clock) -> AsyncIterator[Callable[..., Any]]:
    """Starts the service with these sections."""
    running: list[Api] = []

    async def begin(**sections: Any) -> Api:
        config, token = settings(**sections), issuer.issue()
        api = Api(create_app(config, build(config, clock)), token)
        await api.deps.open()
        running.append(api)
        return api

    yield begin
    for api in running:
        await api.http.aclose()
        await api.deps.close()


@pytest.fixture
async def api(start: Callable[..., Any]) -> Api:
    return await start()


@pytest.fixture
def serve(settings: Callable[..., ApiConfig], issuer: Issuer) -> Iterator[Callable[..., httpx.Client]]:
    """Starts the service with these sections and returns a client of it."""
    running: list[Any] = []

    def begin(**sections: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {issuer.issue()}", "Accept": "text/event-stream"}
        server = Server(create_app(settings(**sections))).start()
        client = httpx.Client(base_url=server.url, headers=headers, timeout=SECONDS, trust_env=False)
        running.extend((client.close, server.stop))
        return client

    yield begin
    for end in running:
        end()
