"""What no plugin of Kong does, as inline Lua for its pre-function and post-function plugins.

The code lies in `templates/gateway/kong/`; here is what of the policy it works by.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ragops.resources import templates_dir
from ragops.services.gateway.policy import (
    HEADER_ALIASES,
    INTERNAL_HEADER_PREFIX,
    INTERNAL_HEADERS,
    IPV6_PREFIX,
    READY_PATH,
    SAFE_PATH,
    SAFE_REQUEST_ID,
    UPSTREAM_HEADER,
    WORKER_HEADER,
)
from ragops.services.gateway.problems import CHALLENGE, PROBLEMS, Problem

if TYPE_CHECKING:
    from ragops.services.gateway.policy import GatewayPolicy, Json

# What the code asks Kong's sandbox for; `ngx` and `kong` are there anyway.
SANDBOX_REQUIRES = (
    "cjson.safe",
    "ngx.ssl",
    "kong.runloop.balancer",
    "kong.runloop.balancer.balancers",
    "kong.runloop.certificate",
)

UPSTREAM_ID = "7a0a0d3e-6a0f-5a0e-9c55-1c5f0a3b7f11"  # by which the code asks for its health
GUARDED = "api"  # the service that is asked for with a token
_MAX_HEADERS = 100
# Which code counts requests.
_LIMITED = ("rewrite", "access", "claims")
_UNAUTHORIZED, _NO_TOKEN = 401, "a token is asked for, as `Bearer` in the header Authorization"
# Headers by which Kong reports the authenticated caller to the upstream, and which no client may set.
_CONSUMER_PREFIXES = ("x-consumer-", "x-credential-", "x-anonymous-", "x-kong-")
_OTHER = Problem(400, "Refused", "refused")
# The query is matched nowhere and passed on as it is: the path alone has to be read in one way.
_PATH = SAFE_PATH.removesuffix(r"(?:\?.*)?")


def pre_function(policy: GatewayPolicy) -> Json:
    """Return the settings of the global pre-function plugin, which runs before any route and around every answer.

    Request ids and the rate limit are here, and not the plugins for them: those run after a refusal would have needed
    the id, and count only what a route let in, in fixed windows without a burst, by a consumer that is one token.
    """
    settings = {
        "ambiguous": dict.fromkeys(HEADER_ALIASES, True),
        "dropped": dict.fromkeys(INTERNAL_HEADERS, True),
        "dropped_prefixes": [INTERNAL_HEADER_PREFIX, *_CONSUMER_PREFIXES],
        "single": {"authorization": True, "x-request-id": True},
        "max_headers": _MAX_HEADERS,
        "path": _PATH,
        "request_id": SAFE_REQUEST_ID,
        "ready": READY_PATH,
        "worker_header": WORKER_HEADER,
        "upstream_header": UPSTREAM_HEADER,
        "upstream": UPSTREAM_ID,
        "limit": _limit(policy),
        "guarded": GUARDED,
        "methods": ", ".join(sorted({method for route in policy.routes for method in route.methods})),
        "problems": {**{str(problem.status): _problem(problem) for problem in PROBLEMS}, "other": _problem(_OTHER)},
    }
    config = {phase: [_code(phase, settings)] for phase in ("rewrite", "access", "header_filter", "body_filter")}
    return config | ({"certificate": [_code("certificate", {})]} if policy.tls else {})


def claims(policy: GatewayPolicy) -> Json:
    """Return the settings of the post-function plugin of every route that asks for a token: issuer, times, rate."""
    settings = {
        "issuer": policy.jwt.issuer,
        "clock_skew": policy.jwt.clock_skew,
        "challenge": CHALLENGE,
        "limit": _limit(policy),
    }
    return {"access": [_code("claims", settings)]}


def _limit(policy: GatewayPolicy) -> Json:
    limit = policy.rate_limit
    return {
        "requests": limit.requests,
        "seconds": limit.seconds,
        "burst": limit.burst,
        "retry_after": limit.retry_after,
        "ipv6_prefix": IPV6_PREFIX,
    }


def _problem(problem: Problem) -> Json:
    found = {"type": problem.type, "title": problem.title, "code": problem.code}
    found |= {"detail": problem.detail} if problem.detail else {}
    found |= {"otherwise": _NO_TOKEN} if problem.status == _UNAUTHORIZED else {}
    return found | ({"headers": dict(problem.headers)} if problem.headers else {})


def _code(name: str, settings: Json) -> str:
    """Return the file's code behind what it builds on; what it returns is run for every request."""
    text = json.dumps(settings, sort_keys=True)
    if "]==]" in text:
        raise ValueError("a value of the policy would end the text that it is in")
    folder = templates_dir() / "gateway" / "kong"
    parts = ["limit", name] if name in _LIMITED else [name]
    head = (folder / "common.lua").read_text() + f"local SETTINGS = JSON.decode([==[{text}]==])\n"
    return "\n".join((head, *((folder / f"{part}.lua").read_text() for part in parts)))
