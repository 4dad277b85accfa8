"""Both doors: tokens of services on /internal, tokens of users on all else, and every refusal in the log."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest

from ragops.api import user_tokens
from ragops.api.auth import is_internal_path
from ragops.api.logs import JsonFormatter
from ragops.api.service_tokens import InvalidServiceTokenError, ServiceTokens
from ragops.api.user_tokens import InvalidUserTokenError, UserTokens
from tests.unit.api.fakes import ISSUER, Clock, Issuer, replace

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.api.conftest import Api

pytestmark = pytest.mark.anyio

OLD, NEW, OTHER = "old-token-old-token", "new-token-new-token", "ingest-token-ingest-token"


def lines(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    parsed = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    return [line for line in parsed if line["message"] == event]


async def ask(api: Api, token: str | None) -> httpx.Response:
    headers = {} if token is None else {"X-Service-Token": token}
    return await api.http.get("/internal/breakers", headers=headers)


def write_tokens(folder: Path, *tokens: dict[str, Any]) -> None:
    replace(folder / "service_tokens.json", json.dumps({"tokens": list(tokens)}))


# --- services --------------------------------------------------------------------------------------------------------


async def test_none_wrong_old_in_grace_old_after_it_and_right(api, tmp_path, clock, caplog):
    until = (clock.now() + timedelta(minutes=10)).isoformat()
    write_tokens(tmp_path, {"service": "ragops", "current": NEW, "previous": OLD, "previous_until": until})
    clock.move(2)
    caplog.set_level(logging.INFO)
    assert (await ask(api, None)).status_code == 403
    assert (await ask(api, "wrong-token-wrong-token")).status_code == 403
    assert (await ask(api, OLD)).status_code == 200
    assert (await ask(api, NEW)).status_code == 200
    clock.move(600)
    refused = await ask(api, OLD)
    assert refused.status_code == 403
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["error"] == "Forbidden: Invalid service token"
    assert refused.json()["code"] == "invalid_service_token"
    assert (await ask(api, NEW)).status_code == 200
    audited = lines(caplog, "service_token_refused")
    assert [line["reason"] for line in audited] == ["missing", "forged", "expired"]
    assert audited[2]["service"] == "ragops", "whose token it was is known"
    assert audited[2]["request_id"] == refused.headers["x-request-id"]
    assert all(line["path"] == "/internal/breakers" for line in audited)
    assert not any(token in caplog.text for token in (OLD, NEW, "wrong-token"))
    metrics = (await api.http.get("/metrics")).text
    assert 'ragops_api_auth_refused_total{kind="service",reason="expired"} 1.0' in metrics


async def test_rotation_by_rewriting_the_file_without_a_restart(api, tmp_path, clock, caplog):
    caplog.set_level(logging.INFO)
    write_tokens(tmp_path, {"service": "ragops", "current": NEW}, {"service": "ingest", "current": OTHER})
    clock.move(1)
    assert (await ask(api, "operator-token-operator-token")).status_code == 403
    assert (await ask(api, NEW)).status_code == 200
    assert (await ask(api, OTHER)).status_code == 200
    assert [line["service"] for line in lines(caplog, "request") if line["status"] == 200] == ["ragops", "ingest"]


async def test_a_broken_file_changes_nothing_a_missing_one_lets_nobody_in(api, tmp_path, clock, caplog):
    path = tmp_path / "service_tokens.json"
    good = path.read_text()
    for broken in ("{", "[]", '{"tokens": [{"service": "x", "current": "short"}]}'):
        replace(path, broken)
        clock.move(1)
        assert (await ask(api, "operator-token-operator-token")).status_code == 200
    assert len(lines(caplog, "file_not_valid")) == 3
    path.unlink()
    clock.move(1)
    assert (await ask(api, "operator-token-operator-token")).status_code == 403
    replace(path, good)
    clock.move(1)
    assert (await ask(api, "operator-token-operator-token")).status_code == 200


async def test_a_file_that_is_rewritten_in_place_is_seen(api, tmp_path, clock):
    path = tmp_path / "service_tokens.json"
    assert (await ask(api, "operator-token-operator-token")).status_code == 200
    path.write_text(path.read_text().replace("operator-token-operator-token", "operator-token-operator-tokeN"))
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))
    clock.move(1)
    assert (await ask(api, "operator-token-operator-token")).status_code == 403


def test_the_shared_secret_of_the_environment_and_of_its_file(tmp_path):
    clock = Clock()
    assert ServiceTokens(None, {"INTER_SERVICE_SECRET": NEW}, clock).service(NEW) == "inter-service"
    file = tmp_path / "secret"
    file.write_text(f"{NEW}\n")
    tokens = ServiceTokens(None, {"INTER_SERVICE_SECRET_FILE": str(file)}, clock)
    assert tokens.service(NEW) == "inter-service"
    replace(file, OTHER)
    clock.move(1)
    assert tokens.service(OTHER) == "inter-service"
    for environment in ({}, {"INTER_SERVICE_SECRET": ""}):
        with pytest.raises(InvalidServiceTokenError):
            ServiceTokens(None, environment, clock).service("")


@pytest.mark.parametrize(
    "path",
    [
        "/internal", "/internal/", "/internal/breakers", "//internal/breakers", "/INTERNAL/breakers", "/Internal/x",
        "/api/v1/../../internal/breakers", "/api/v1/%2e%2e/%2e%2e/internal/x", "/%69nternal/x", "/%2569nternal/x",
        "/./internal/x", "/api/..;/internal/x", "/internal;a=b/x", "\\internal\\x", "/x/..\\internal/x",
        "/api/v1/..%2f..%2finternal/x", "/ internal/x", "/internal/breakers\n", "/%252e%252e%252finternal",
    ],
)  # fmt: skip
def test_every_spelling_of_internal_needs_the_token(path):
    assert is_internal_path(path)


@pytest.mark.parametrize("path", ["/", "/api/v1/search", "/healthz", "/api/v1/collections/internal", "/search", "/%"])
def test_other_paths_do_not(path):
    assert not is_internal_path(path)


async def test_a_users_token_does_not_open_internal_nor_the_other_way_round(api):
    assert (await api.http.get("/internal/breakers")).status_code == 403
    response = await api.http.get(
        "/api/v1/collections", headers={"Authorization": "", "X-Service-Token": "operator-token-operator-token"}
    )
    assert response.status_code == 401


async def test_unknown_internal_paths_are_not_told_without_a_token(api):
    assert (await api.http.get("/internal/nothing")).status_code == 403
    assert (await api.internal("nothing")).status_code == 404


# --- users -----------------------------------------------------------------------------------------------------------


async def with_token(api: Api, authorization: str | bytes | None) -> httpx.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url="http://api") as client:
        return await client.get("/api/v1/collections", headers=headers)


async def test_a_good_token_names_its_consumer(api, issuer, caplog):
    caplog.set_level(logging.INFO)
    token = issuer.issue("bob", "tok_bbbbbbbbbbbb")
    api.deps.clock.move(1)
    assert (await with_token(api, f"Bearer {token}")).status_code == 200
    [line] = [line for line in lines(caplog, "request") if line["path"] == "/api/v1/collections"]
    assert line["consumer"] == "bob"
    assert token not in caplog.text


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic YTpi", "tok"])
async def test_no_token(api, authorization):
    response = await with_token(api, authorization)
    assert response.status_code == 401
    assert response.json()["code"] == "missing_token"
    assert response.headers["www-authenticate"] == 'Bearer realm="ragops"'


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1}, {"exp": None}, {"nbf": 4102444800}, {"nbf": None}, {"iat": 4102444800}, {"iss": "ragops/other"},
        {"iss": None}, {"sub": None}, {"jti": "tok_other0000000"}, {"jti": None}, {"exp": "never"},
    ],
)  # fmt: skip
async def test_claims_that_are_not_right(api, issuer, changes):
    token = issuer.sign("tok_0123456789ab", **changes)
    response = await with_token(api, f"Bearer {token}")
    assert response.status_code == 401
    assert response.json()["code"] == "invalid_token"
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


def _part(values: Any) -> str:
    content = values if isinstance(values, bytes) else json.dumps(values).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def forged(issuer: Issuer) -> dict[str, str]:
    """Tokens with right claims that nobody issued."""
    kid = "tok_0123456789ab"
    good = issuer.sign(kid)
    head, body, signature = good.split(".")
    claims = _part(issuer.claims(kid))
    hs256 = f"{_part({'alg': 'HS256', 'typ': 'JWT', 'kid': kid})}.{claims}"
    mac = hmac.new(issuer.public_pem(kid), hs256.encode(), hashlib.sha256).digest()
    elsewhere = Issuer(issuer.jwks.with_name("elsewhere.json"), issuer._now)
    elsewhere.issue(kid="tok_ffffffffffff")
    elsewhere.private[kid] = elsewhere.private["tok_ffffffffffff"]
    return {
        "alg none": f"{_part({'alg': 'none', 'kid': kid})}.{claims}.",
        "alg None": f"{_part({'alg': 'None', 'kid': kid})}.{claims}.",
        "public key as HMAC secret": f"{hs256}.{_part(mac)}",
        "other key, same kid": elsewhere.sign(kid),
        "other key, own kid": elsewhere.sign("tok_ffffffffffff"),
        "other claims, same signature": f"{head}.{_part(issuer.claims(kid, 'admin'))}.{signature}",
        "no signature": f"{head}.{body}.",
        "no kid": f"{_part({'alg': 'RS256'})}.{body}.{signature}",
        "kid is a list": f"{_part({'alg': 'RS256', 'kid': [kid]})}.{body}.{signature}",
        "garbage": "a.b.c",
        "two parts": f"{head}.{body}",
        "not ASCII": "ä.ö.ü",
    }


@pytest.mark.parametrize("kind", [
    "alg none", "alg None", "public key as HMAC secret", "other key, same kid", "other key, own kid",
    "other claims, same signature", "no signature", "no kid", "kid is a list", "garbage", "two parts", "not ASCII",
])  # fmt: skip
async def test_forged_tokens(api, issuer, kind):
    response = await with_token(api, f"Bearer {forged(issuer)[kind]}".encode())
    assert response.status_code == 401
    assert response.json()["code"] == "invalid_token"


async def test_a_revoked_token_is_refused_without_a_restart_and_others_stay(api, issuer, clock):
    token = issuer.issue("bob", "tok_bbbbbbbbbbbb")
    clock.move(1)
    assert (await with_token(api, f"Bearer {token}")).status_code == 200
    issuer.revoke("tok_bbbbbbbbbbbb")
    clock.move(1)
    assert (await with_token(api, f"Bearer {token}")).status_code == 401
    assert (await with_token(api, f"Bearer {api.token}")).status_code == 200


def tokens(issuer: Issuer, clock: Clock) -> UserTokens:
    return UserTokens(issuer.jwks, ISSUER, clock)


def test_a_header_is_verified_once_as_long_as_the_keys_stay(issuer, clock, monkeypatch):
    header, verified, decode = f"Bearer {issuer.issue('bob')}", [], jwt.decode
    monkeypatch.setattr(jwt, "decode", lambda *args, **named: verified.append(args) or decode(*args, **named))
    users = tokens(issuer, clock)
    assert [users.consumer(header) for _ in range(5)] == ["bob"] * 5
    assert len(verified) == 1
    issuer.issue("alice", "tok_bbbbbbbbbbbb")
    clock.move(1)
    assert [users.consumer(header) for _ in range(5)] == ["bob"] * 5
    assert len(verified) == 2, "the keys have changed"
    for _ in range(3):
        with pytest.raises(InvalidUserTokenError):
            users.consumer(header[:-12] + header[-12:-4].swapcase() + header[-4:])  # a signature of another token
    assert len(verified) == 5, "what is refused is looked at each time"


@pytest.mark.parametrize(("moved", "detail"), [(3700, "expired"), (-100, "not valid yet")])
def test_a_verified_token_ends_at_its_end(issuer, clock, monkeypatch, moved, detail):
    header, users = f"Bearer {issuer.issue('bob')}", tokens(issuer, clock)
    assert users.consumer(header) == "bob"
    now = time.time() + moved

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.fromtimestamp(now, tz)

    monkeypatch.setattr("ragops.api.user_tokens.time.time", lambda: now)
    monkeypatch.setattr("jwt.api_jwt.datetime", Later)
    with pytest.raises(InvalidUserTokenError, match=detail):
        users.consumer(header)


def test_only_so_many_headers_are_kept(issuer, clock, monkeypatch):
    monkeypatch.setattr(user_tokens, "_MOST_VERIFIED", 3)
    issuer.issue("bob")
    users = tokens(issuer, clock)
    for number in range(10):
        assert users.consumer(f"Bearer {issuer.sign('tok_0123456789ab', 'bob', extra=number)}") == "bob"
    assert len(users._verified) == 3


async def test_without_a_key_nobody_gets_in_and_ready_says_so(api, issuer, clock):
    issuer.revoke("tok_0123456789ab")
    clock.move(1)
    assert (await with_token(api, f"Bearer {api.token}")).status_code == 401
    checks = (await api.http.get("/readyz")).json()["checks"]
    assert {"name": "tokens", "status": "ok", "detail": "none is issued: no user has access yet"} in checks


async def test_keys_of_other_kinds_are_not_taken(api, issuer, clock):
    secret = _part(b"0123456789abcdef0123456789abcdef")
    issuer.keys["oct"] = {"kty": "oct", "kid": "oct", "k": secret, "alg": "HS256"}
    issuer.write()
    clock.move(1)
    text = f"{_part({'alg': 'HS256', 'kid': 'oct'})}.{_part(issuer.claims('oct'))}"
    mac = hmac.new(b"0123456789abcdef0123456789abcdef", text.encode(), hashlib.sha256).digest()
    assert (await with_token(api, f"Bearer {text}.{_part(mac)}")).status_code == 401


async def test_everything_that_is_not_named_open_needs_a_token(api):
    for path in ("/", "/docs", "/api/v1/nothing", "/healthz/", "/metrics/x", "/openapi.json/", "/HEALTHZ"):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url="http://api") as client:
            assert (await client.get(path)).status_code == 401, path
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url="http://api") as client:
            assert (await client.get(path)).status_code == 200, path
