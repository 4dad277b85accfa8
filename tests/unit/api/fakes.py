"""Servers that speak the real protocols over real HTTP, and can be told to fail."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jwt
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ragops.embedding.hashing import stems
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ISSUER = "ragops/test"


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.date = datetime(2026, 12, 1, 12, tzinfo=UTC)

    def move(self, seconds: float) -> None:
        self.seconds += seconds
        self.date += timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self.date

    def monotonic(self) -> float:
        return self.seconds


class Server:
    """An ASGI application on a port of its own; `stop` closes the port, `start` opens the same one again."""

    def __init__(self, app: Callable[..., Any], port: int = 0) -> None:
        self._app = app
        self.port = port or free_port()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Server:
        config = uvicorn.Config(
            self._app, host="127.0.0.1", port=self.port, log_config=None, access_log=False, lifespan="auto",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        limit = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < limit and self._thread.is_alive(), "the server does not start"
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        if self._server and self._thread:
            self._server.should_exit = True
            self._thread.join(10)


async def read_body(receive: Any) -> bytes:
    """The whole body of a request."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def send_json(send: Any, status: int, answer: Any) -> None:
    """An answer in JSON."""
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


@dataclass
class FakeQdrant:
    """Qdrant's query, collections and readyz; `fail` answers every request, `delay` waits before it."""

    api_key: str = "key"
    collections: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    dimensions: int = 384
    fail: int = 0
    delay: float = 0.0
    calls: list[str] = field(default_factory=list)
    has_words: bool = True
    most: int = 10_000  # that a query may ask for
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)  # of every request

    def add(self, collection: str, texts: dict[str, str], embed: Callable[[list[str]], list[list[float]]]) -> None:
        """Documents by path, one point each."""
        points = self.collections.setdefault(collection, [])
        for number, (path, text) in enumerate(texts.items(), len(points)):
            payload = {
                "document_id": number, "path": path, "position": 0, "text": text, "collection": collection,
            }  # fmt: skip
            points.append(
                {"id": f"00000000-0000-5000-8000-{number:012d}", "vector": embed([text])[0], "payload": payload}
            )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = await read_body(receive)
        self.calls.append(scope["path"])
        self.headers.append({name.decode(): value.decode("latin-1") for name, value in scope["headers"]})
        if self.delay:
            await asyncio.sleep(self.delay)
        status, answer = self._answer(scope, body)
        await send_json(send, status, answer)

    def _answer(self, scope: Any, body: bytes) -> tuple[int, Any]:
        if self.fail:
            return self.fail, {"status": {"error": "told to fail"}, "time": 0.0}
        if scope["path"] == "/readyz":
            return 200, "all shards are ready"
        if dict(scope["headers"]).get(b"api-key", b"").decode() != self.api_key:
            return 401, {"status": {"error": "Must provide an API key"}, "time": 0.0}
        if scope["path"] == "/collections":
            return 200, _ok({"collections": [{"name": name} for name in self.collections]})
        return self._query(scope["path"].split("/")[2], json.loads(body))

    def _query(self, name: str, asked: dict[str, Any]) -> tuple[int, Any]:
        if name not in self.collections:
            return 404, {"status": {"error": f"Not found: Collection `{name}` doesn't exist!"}, "time": 0.0}
        self.asked.append(asked)
        parts = asked.get("prefetch") or [asked]
        if refusal := next((found for part in parts if (found := self._refusal(name, part))), None):
            return 400, {"status": {"error": f"Wrong input: {refusal}"}, "time": 0.0}
        ranked = [self._ranked(name, part) for part in parts]
        if "prefetch" in asked:
            rrf, scores = asked["query"]["rrf"], {}
            for points, weight in zip(ranked, rrf["weights"], strict=True):
                for rank, (place, _) in enumerate(points):
                    scores[place] = scores.get(place, 0) + 1 / (rrf["k"] - 1 + (rank + 1) / weight)
            ranked = [sorted(scores.items(), key=lambda one: -one[1])]
        points = self.collections[name]
        hits = [
            {"id": points[place]["id"], "version": 0, "score": score, "payload": points[place]["payload"]}
            for place, score in ranked[0][: asked["limit"]]
        ]
        return 200, _ok({"points": hits})

    def _refusal(self, name: str, part: dict[str, Any]) -> str:
        if part["limit"] > self.most:
            return f'Limit exceeded {part["limit"]} > {self.most} for "limit"'
        if part.get("using"):
            return "" if self.has_words else f"Not existing vector name error: {part['using']}"
        if not self.dimensions:
            return "Not existing vector name error: "
        lengths = {len(point["vector"]) for point in self.collections[name]} - {384} or {self.dimensions}
        return "" if len(_nearest(part)) in lengths else "Vector dimension error"

    def _ranked(self, name: str, part: dict[str, Any]) -> list[tuple[int, float]]:
        """Places of points with their scores, best first."""
        query, floor = _nearest(part), part.get("score_threshold")
        if part.get("using"):
            wanted = set(stems(_nearest(part)["text"]))
            score = lambda point: float(len(wanted & set(stems(point["payload"]["text"]))))  # noqa: E731
            floor = 1
        else:
            score = lambda point: _dot(query, point["vector"])  # noqa: E731
        found = [(place, score(point)) for place, point in enumerate(self.collections[name])]
        return sorted((one for one in found if floor is None or one[1] >= floor), key=lambda one: -one[1])


def _nearest(part: dict[str, Any]) -> Any:
    query = part["query"]
    return query.get("nearest", query) if isinstance(query, dict) else query


def _ok(result: Any) -> dict[str, Any]:
    return {"result": result, "status": "ok", "time": 0.001}


def _dot(first: list[float], second: list[float]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))


@dataclass
class FakeOllama:
    """Ollama's embed, chat and version."""

    dimensions: int = 8
    fail: int = 0
    delay: float = 0.0
    calls: list[tuple[str, Any]] = field(default_factory=list)
    pieces: list[str] = field(default_factory=lambda: [" Because", " of", " [1]. "])
    breaks_off: bool = False
    headers: list[dict[str, str]] = field(default_factory=list)  # of every request
    pause: threading.Event | None = None  # between the first piece and the second
    left: threading.Event = field(default_factory=threading.Event)

    async def _stream(self, receive: Any, send: Any) -> None:
        """The pieces of an answer; `left` is set if the client closes the connection before the last one."""
        headers = [(b"content-type", b"application/x-ndjson")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        leaving = asyncio.ensure_future(receive())
        for number, piece in enumerate(self.pieces):
            while number == 1 and self.pause is not None and not self.pause.is_set():
                await asyncio.sleep(0.01)
                if leaving.done():
                    self.left.set()
                    return
            line = json.dumps({"message": {"role": "assistant", "content": piece}, "done": False}) + "\n"
            await send({"type": "http.response.body", "body": line.encode(), "more_body": True})
        last = b"" if self.breaks_off else b'{"message": {"content": ""}, "done": true}\n'
        await send({"type": "http.response.body", "body": last})
        leaving.cancel()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = await read_body(receive)
        asked = json.loads(body) if body else None
        self.calls.append((scope["path"], asked))
        self.headers.append({name.decode(): value.decode("latin-1") for name, value in scope["headers"]})
        if self.delay:
            await asyncio.sleep(self.delay)
        if isinstance(asked, dict) and asked.get("stream") and not self.fail:
            await self._stream(receive, send)
            return
        status, answer = (
            (self.fail, {"error": "told to fail"}) if self.fail else (200, self._answer(scope["path"], asked))
        )
        await send_json(send, status, answer)

    def _answer(self, path: str, asked: Any) -> Any:
        if path == "/api/embed":
            vectors = [[1.0] + [float(len(text))] * (self.dimensions - 1) for text in asked["input"]]
            return {"model": asked["model"], "embeddings": vectors}
        if path == "/api/chat":
            return {
                "model": asked["model"],
                "message": {"role": "assistant", "content": " Because of [1]. "},
                "done": True,
            }
        return {"version": "0.9.0"}


@lru_cache
def _private_key(kid: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Issuer:
    """Issues tokens as `ragops token issue` does: a key for each, whose public half goes into the JWKS file."""

    def __init__(self, jwks: Path, now: Callable[[], datetime]) -> None:
        self.jwks = jwks
        self._now = now
        self.keys: dict[str, Any] = {}
        self.private: dict[str, rsa.RSAPrivateKey] = {}
        self.write()

    def issue(self, name: str = "alice", kid: str = "tok_0123456789ab", **changes: Any) -> str:
        private = _private_key(kid)
        self.private[kid] = private
        jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(private.public_key()))
        self.keys[kid] = {**jwk, "kid": kid, "use": "sig", "alg": "RS256"}
        self.write()
        return self.sign(kid, name, **changes)

    def sign(self, kid: str, name: str = "alice", **changes: Any) -> str:
        return jwt.encode(self.claims(kid, name, **changes), self.private[kid], "RS256", headers={"kid": kid})

    def claims(self, kid: str, name: str = "alice", **changes: Any) -> dict[str, Any]:
        now = int(datetime.now(UTC).timestamp())
        claims = {"iss": ISSUER, "sub": name, "iat": now, "nbf": now, "exp": now + 3600, "jti": kid, **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def public_pem(self, kid: str) -> bytes:
        encoding = serialization.Encoding.PEM
        return self.private[kid].public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)

    def revoke(self, kid: str) -> None:
        del self.keys[kid]
        self.write()

    def write(self) -> None:
        replace(self.jwks, json.dumps({"keys": list(self.keys.values())}))


def replace(path: Path, text: str) -> None:
    """Atomically, as ragops writes."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.replace(path)
