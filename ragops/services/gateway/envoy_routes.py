"""Envoy's route table and token check: what a policy changes without a restart."""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Any

from ragops.services.gateway.envoy_limits import by_address, by_consumer
from ragops.services.gateway.envoy_resources import (
    ADDRESS_LIMIT,
    CLUSTER,
    CONSUMER_LIMIT,
    CORS,
    HTTP,
    JWT,
    MARK,
    ROUTES,
    TOKEN,
    TYPES,
    add_type,
    header,
)
from ragops.services.gateway.policy import (
    CONFIGURATION_HEADER,
    HEADER_ALIASES,
    READY_PATH,
    SAFE_PATH,
    SAFE_REQUEST_ID,
    Json,
    digest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.gateway.policy import GatewayPolicy, Route

_NAMESPACE = "ragops.gateway"
# RFC 9110, 11.1: the name of a scheme has no case, and Envoy compares letter by letter. The usual one first.
_SCHEMES = tuple("".join(letters) for letters in product(*((letter, letter.lower()) for letter in "BEARER")))
_SCHEMES = ("Bearer", *(scheme for scheme in _SCHEMES if scheme != "Bearer"))


# RFC 6750, 2.1: `Bearer`, spaces, one token. Envoy's own check looks for the scheme anywhere in the header, and stops
# reading at the first character that no token has.
_CREDENTIALS = "(?i:bearer) +[A-Za-z0-9._~+/-]+=*"
_CACHED_TOKENS = 1000  # of each worker
_NEVER = "never"  # a requirement that no request meets
_NO_KEYS = {"http_uri": {"uri": "http://gateway.invalid/no-token-was-issued", "cluster": "nowhere", "timeout": "1s"}}


# --- filters -----------------------------------------------------------------------------------------------------


def token_check(policy: GatewayPolicy, keys: Json) -> Json:
    """Return the filter that asks for a token.

    A resource of its own, so that a revocation holds from the next request on, on open connections too, and leaves the
    rate limit's bucket alone.
    """
    return _extension(JWT, jwt(policy, keys))


def mark(policy: GatewayPolicy, keys: Json) -> Json:
    """Return the filter that reports on the ready path which keys are live; Envoy takes one filter a file."""
    value = {"filters": digest(jwt(policy, keys))}
    return _extension(
        MARK,
        add_type(
            f"{HTTP}.set_metadata.v3.Config",
            metadata=[{"metadata_namespace": _NAMESPACE, "value": value, "allow_overwrite": True}],
        ),
    )


def _extension(name: str, config: Json) -> Json:
    return add_type(f"{TYPES}envoy.config.core.v3.TypedExtensionConfig", name=name, typed_config=config)


def jwt(policy: GatewayPolicy, keys: Json) -> Json:
    """Every request needs a token; routes that set no other value themselves."""
    provider = {
        "issuer": policy.jwt.issuer,
        "from_headers": [{"name": "Authorization", "value_prefix": f"{scheme} "} for scheme in _SCHEMES],
        "forward": True,
        "require_expiration": True,
        "clock_skew_seconds": policy.jwt.clock_skew,
        "payload_in_metadata": TOKEN,  # from where the rate limit has the consumer
        # A signature is checked once for each token; another set of keys begins with an empty cache.
        "jwt_cache_config": {"jwt_cache_size": _CACHED_TOKENS},
        **_jwks(keys),
    }
    never = {
        "issuer": _NEVER,
        "from_headers": [{"name": "Authorization", "value_prefix": _NEVER}],
        "remote_jwks": _NO_KEYS,
    }
    return add_type(
        f"{HTTP}.jwt_authn.v3.JwtAuthentication",
        providers={"tokens": provider, _NEVER: never},
        rules=[{"match": {"prefix": "/"}, "requires": {"provider_name": "tokens"}}],
        requirement_map={_NEVER: {"provider_name": _NEVER}},
    )


def _jwks(keys: Json) -> Json:
    """Return the public keys. Envoy refuses an empty set; one that can never be fetched admits no client."""
    if keys["keys"]:
        return {"local_jwks": {"inline_string": json.dumps(keys, sort_keys=True)}}
    return {"remote_jwks": _NO_KEYS}


# --- routes ------------------------------------------------------------------------------------------------------


def routes(policy: GatewayPolicy) -> Json:
    """Return the whole route table, which states on the ready path which one it is."""
    return _table(policy, digest(_table(policy, "")))


def live_mark(policy: GatewayPolicy, keys: Json) -> str:
    """Return the value of the configuration header on the ready path once this configuration is live."""
    return f"{digest(_table(policy, ''))}-{digest(jwt(policy, keys))}"


def _table(policy: GatewayPolicy, version: str) -> Json:
    """First what is refused, then what is routed, then 404."""
    table = [
        *(_refusal({"headers": [_present(alias)], "prefix": "/"}, 400, "ambiguous header") for alias in HEADER_ALIASES),
        _refusal({"headers": [_unlike("x-request-id", SAFE_REQUEST_ID)], "prefix": "/"}, 400, "bad request id"),
        _refusal({"headers": [_unlike(":path", SAFE_PATH)], "prefix": "/"}, 400, "ambiguous path"),
        _ready(version),
        *(_refusal(_below(path, case_sensitive=False), 404, "not found") for path in policy.denied),
        *(entry for route in policy.routes for entry in _entries(policy, route)),
        _refusal({"prefix": "/"}, 404, "not found"),
    ]
    host = {
        "name": "gateway",
        "domains": ["*"],
        "routes": table,
        # One set of buckets for all routes.
        "typed_per_filter_config": {
            ADDRESS_LIMIT: by_address(policy.rate_limit),
            CONSUMER_LIMIT: by_consumer(policy.rate_limit),
        },
        "request_headers_to_remove": ["x-envoy-external-address"],
    }
    return add_type(f"{TYPES}envoy.config.route.v3.RouteConfiguration", name=ROUTES, virtual_hosts=[host])


def _ready(version: str) -> Json:
    return {
        "match": {"path": READY_PATH},
        "direct_response": {"status": 200, "body": {"inline_string": '{"status": "ready"}\n'}},
        "response_headers_to_add": [
            header(CONFIGURATION_HEADER, f"{version}-%DYNAMIC_METADATA({_NAMESPACE}:filters)%"),
            header("content-type", "application/json"),
            header("cache-control", "no-store"),
        ],
        "typed_per_filter_config": {**_anonymous(), ADDRESS_LIMIT: _off(), CORS: _off()},
    }


def _entries(policy: GatewayPolicy, route: Route) -> list[Json]:
    """Return a route's paths: its methods go upstream, any other is 405."""
    matches = [
        *((_below(path), path) for path in route.prefixes),
        *(({"path": path}, path) for path in route.paths),
    ]
    entries = []
    for match, path in matches:
        refusal = _refusal(match, 405, "method not allowed")
        refusal["response_headers_to_add"] = [header("allow", ", ".join(route.methods))]
        forward = _forward(policy, route, match, path)
        malformed = [_refuse_malformed(policy, forward["match"])] if route.authenticate else []
        entries += [*malformed, forward, *_preflight(policy, match), refusal]
    return entries


def _preflight(policy: GatewayPolicy, match: Json) -> list[Json]:
    """Return the routes of preflights. The CORS filter answers each by itself; behind it a token would be asked for."""
    if not policy.cors.origins:
        return []
    asked = [{"name": name, "present_match": True} for name in ("origin", "access-control-request-method")]
    method = {"name": ":method", "string_match": {"exact": "OPTIONS"}}
    return [
        {
            "match": {**match, "headers": [method, *asked]},
            "route": {"cluster": CLUSTER},
            "typed_per_filter_config": _cors(policy),
        }
    ]


def _forward(policy: GatewayPolicy, route: Route, match: Json, path: str) -> Json:
    stated = route.deprecation.headers(path) if route.deprecation else {}
    methods = {"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(route.methods)}}}
    per_filter = {**_cors(policy), **({ADDRESS_LIMIT: _off()} if route.authenticate else _anonymous())}
    return {
        "name": route.name,
        "match": {**match, "headers": [methods]},
        "route": {
            "cluster": CLUSTER,
            # A silent upstream is given up after one, an answer that is still being written after the other.
            "idle_timeout": f"{policy.upstream.answer_timeout}s",
            "timeout": f"{policy.upstream.stream_timeout}s",
            # Only what surely never reached the upstream is tried again: a restart of the API is not seen.
            "retry_policy": {"retry_on": "connect-failure,refused-stream", "num_retries": 1},
        },
        # For upstreams that set no other value themselves.
        "response_headers_to_add": [header(*each, action="ADD_IF_ABSENT") for each in stated.items()],
        "typed_per_filter_config": per_filter,
    }


def _refuse_malformed(policy: GatewayPolicy, match: Json) -> Json:
    """Return the 401 of a request that `match` would forward, for credentials of another form than required, or none.

    It counts for the address of the client, since there is no consumer. By the check of tokens, not a direct response:
    to that Envoy adds no CORS headers, and a page could not read it.
    """
    unlike = {**_unlike("authorization", _CREDENTIALS), "treat_missing_header_as_empty": True}
    refused = add_type(f"{HTTP}.jwt_authn.v3.PerRouteConfig", requirement_name=_NEVER)
    return {
        "match": {**match, "headers": [*match["headers"], unlike]},
        "route": {"cluster": CLUSTER},
        "typed_per_filter_config": {**_cors(policy), JWT: refused},
    }


def _below(path: str, *, case_sensitive: bool = True) -> Json:
    return (
        {"path_separated_prefix": path} if case_sensitive else {"path_separated_prefix": path, "case_sensitive": False}
    )


def _refusal(match: Mapping[str, Any], status: int, detail: str) -> Json:
    return {
        "match": dict(match),
        "direct_response": {"status": status, "body": {"inline_string": detail}},
        "typed_per_filter_config": {**_anonymous(), CORS: _off()},
    }


def _unlike(header: str, regex: str) -> Json:
    return {"name": header, "string_match": {"safe_regex": {"regex": regex}}, "invert_match": True}


def _present(header: str) -> Json:
    return {"name": header, "present_match": True}


def _off() -> Json:
    return add_type(f"{TYPES}envoy.config.route.v3.FilterConfig", disabled=True)


def _anonymous() -> Json:
    """No token is looked at: the request counts for the address that it comes from."""
    return {JWT: _off(), CONSUMER_LIMIT: _off()}


def _cors(policy: GatewayPolicy) -> Json:
    """Without origins the filter is off: a preflight then is a method that no route has."""
    cors = policy.cors
    if not cors.origins:
        return {CORS: _off()}
    matchers = [{"safe_regex": {"regex": ".*"}} if origin == "*" else {"exact": origin} for origin in cors.origins]
    config = add_type(
        f"{HTTP}.cors.v3.CorsPolicy",
        allow_origin_string_match=matchers,
        allow_methods=", ".join(cors.methods),
        allow_headers=", ".join(cors.headers),
        expose_headers=", ".join(cors.exposed),
        max_age=str(cors.max_age),
        allow_credentials=cors.credentials,
        forward_not_matching_preflights=False,
    )
    return {CORS: config}
