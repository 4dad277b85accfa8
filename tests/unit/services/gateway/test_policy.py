from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from ragops.services.gateway.configuration import GatewayInputs
from ragops.services.gateway.policy import (
    SAFE_PATH,
    Cors,
    Deprecation,
    GatewayPolicy,
    Jwt,
    RateLimit,
    Route,
    Tls,
    Upstream,
)
from ragops.services.gateway.settings import GatewaySettings


def _default(*, tls_port: int = 0, **changes: Any) -> GatewayPolicy:
    settings = GatewaySettings(**{"tls": bool(tls_port), "tls_port": tls_port or 8443, **changes})
    keys = {"certificate": "/c", "key": "/k"} if tls_port else {}
    return GatewayInputs(settings, "demo", "127.0.0.1", 8080, {"keys": []}, **keys).policy("127.0.0.1")


def _policy(*routes: Route, **changes: Any) -> GatewayPolicy:
    values: dict[str, Any] = {
        "listen": "127.0.0.1", "port": 8000, "tls": None, "upstream": Upstream(host="127.0.0.1", port=8080),
        "jwt": Jwt(issuer="ragops/demo"), "rate_limit": RateLimit(), "cors": Cors(), "body_limit": 1 << 20,
    }  # fmt: skip
    return GatewayPolicy(**{**values, **changes, "routes": routes})


def _route(name: str = "one", **values: Any) -> Route:
    return Route(**{"name": name, "version": "v1", "prefixes": ("/api/v1",), **values})


def test_the_default_asks_for_a_token_everywhere() -> None:
    policy = _default()
    assert all(route.authenticate for route in policy.routes)
    assert policy.jwt.issuer == "ragops/demo"
    assert [path for route in policy.routes for path in route.paths] == ["/search", "/query", "/collections"]


@pytest.mark.parametrize(
    "prefix",
    ["/internal", "/internal/x", "/INTERNAL", "/metrics", "/healthz/deep", "/readyz", "/gateway", "/gateway/ready"],
)
def test_a_route_near_an_inner_path_is_refused(prefix: str) -> None:
    with pytest.raises(ValidationError, match="reaches the inner path"):
        _policy(_route(prefixes=(prefix,)))


@pytest.mark.parametrize("path", ["/internal", "/Metrics", "/internal/search", "/gateway/ready"])
def test_an_exact_inner_path_is_refused(path: str) -> None:
    with pytest.raises(ValidationError, match="reaches the inner path"):
        _policy(_route(prefixes=(), paths=(path,)))


def test_the_upstreams_own_health_path_is_inner_too() -> None:
    with pytest.raises(ValidationError, match="reaches the inner path /api/v1/alive"):
        _policy(_route(), upstream=Upstream(host="127.0.0.1", port=8080, health_path="/api/v1/alive"))


def test_inner_paths_cannot_be_left_out() -> None:
    with pytest.raises(ValidationError, match="/metrics must stay denied"):
        _policy(_route(), denied=("/internal", "/healthz", "/readyz"))


@pytest.mark.parametrize(
    "path", ["/", "", "api", "/api/", "/api//v1", "/api/../x", "/api/.", "/a%2fb", "/a;b", "/a b", "/a\\b", "/a.", "/*"]
)
def test_a_path_that_could_be_spelled_in_two_ways_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        _route(prefixes=(path,))


def test_a_prefix_without_a_token_is_refused() -> None:
    with pytest.raises(ValidationError, match="without a token"):
        _route(authenticate=False)
    assert not _route(prefixes=(), paths=("/public",), authenticate=False).authenticate


@pytest.mark.parametrize("values", [{"prefixes": ()}, {"methods": ()}, {"methods": ("TRACE",)}, {"methods": ("get",)}])
def test_a_route_needs_paths_and_methods(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _route(**values)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"prefixes": ("/api/v1",)}, {"prefixes": ("/api/v1/search",)}),
        ({"prefixes": ("/api/v1",)}, {"prefixes": ("/API/v1/search",)}),
        ({"prefixes": ("/api",)}, {"prefixes": ("/api/v1",)}),
        ({"prefixes": ("/api/v1",)}, {"prefixes": (), "paths": ("/api/v1/search",)}),
        ({"prefixes": (), "paths": ("/search",)}, {"prefixes": (), "paths": ("/Search",)}),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_overlapping_routes_are_refused(one: dict[str, Any], other: dict[str, Any], swapped: bool) -> None:
    routes = [_route("one", **one), _route("two", **other)]
    with pytest.raises(ValidationError, match=r"overlap|is there twice"):
        _policy(*(reversed(routes) if swapped else routes))


def test_neighbours_do_not_overlap() -> None:
    prefixes, exact = ("/api/v1", "/api/v12", "/search/deep"), ("/api", "/search")
    policy = _policy(_route("a", prefixes=prefixes, paths=exact))
    assert len(policy.routes) == 1


def test_a_name_is_used_once() -> None:
    with pytest.raises(ValidationError, match="route name one is there twice"):
        _policy(_route("one"), _route("one", prefixes=("/api/v2",)))


def test_any_origin_with_credentials_is_refused() -> None:
    with pytest.raises(ValidationError, match="any origin"):
        Cors(origins=("*",), credentials=True)


@pytest.mark.parametrize("origin", ["app.example", "https://app.example/", "https://*.example", "null", "file://x", ""])
def test_an_origin_is_scheme_host_and_port(origin: str) -> None:
    with pytest.raises(ValidationError):
        Cors(origins=(origin,))


def test_ports_differ() -> None:
    with pytest.raises(ValidationError, match="both 8000"):
        _policy(_route(), tls=Tls(port=8000, certificate="/c", key="/k"))


def test_a_sunset_comes_after_the_deprecation() -> None:
    with pytest.raises(ValidationError, match="not after"):
        Deprecation(deprecated=date(2027, 1, 1), sunset=date(2027, 1, 1), successor="/api/v1")


@pytest.mark.parametrize(
    ("limit", "seconds"), [(RateLimit(requests=100, burst=100), 1), (RateLimit(requests=7, per="minute", burst=7), 9)]
)
def test_retry_after_is_when_the_next_request_fits(limit: RateLimit, seconds: int) -> None:
    assert limit.retry_after == seconds


def test_a_burst_below_the_rate_is_refused() -> None:
    with pytest.raises(ValidationError, match="burst 10 is below 100"):
        RateLimit(requests=100, burst=10)


def test_a_policy_survives_json() -> None:
    policy = _default(tls_port=8443, origins=("https://app.example",))
    assert GatewayPolicy.model_validate_json(policy.model_dump_json()) == policy


@pytest.mark.parametrize(
    "path", ["/", "/api/v1/search", "/api/v1/x/", "/a?q=%2e%2e/;", "/a-b_c~d/e.f", "/a/.well-known/x"]
)
def test_plain_paths_are_safe(path: str) -> None:
    assert re.fullmatch(SAFE_PATH, path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "x",
        "*",
        "/a/..",
        "/../a",
        "/./a",
        "/a.",
        "/a./b",
        "/...",
        "/a%41",
        "/a;b",
        "/a\\b",
        "/a\x00",
        "/a b",
        "/a#b",
    ],
)
def test_ambiguous_paths_are_not(path: str) -> None:
    assert not re.fullmatch(SAFE_PATH, path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"port": 8443}, "both 8443"),
        ({"legacy_sunset": "2026-01-01"}, "not after"),
        ({"body_limit": "10"}, "pattern"),
        ({"body_limit": "99999mb"}, "pattern"),
        ({"origins": ["example"]}, "pattern"),
        ({"rate_limit": {"requests": 0}}, "greater than or equal"),
        ({"unknown": 1}, "not permitted"),
    ],
)
def test_settings_say_what_is_wrong(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        GatewaySettings.model_validate(values)


def test_a_body_limit_is_in_bytes() -> None:
    assert GatewaySettings(body_limit="2mb").body_bytes == 2 << 20
    assert GatewaySettings(body_limit="64kb").body_bytes == 64 << 10
