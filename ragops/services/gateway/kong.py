"""Renders a gateway policy as a declarative configuration of Kong 3.9 (DB-less). Pure: from values to one text.

What asks for a restart (ports, the largest body, time-outs of clients) is in Kong's environment; see
kong_environment.py. All else, the credentials and the certificate with its key included, is in this text, which Kong
takes as a whole or not at all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from ragops.services.gateway.kong_lua import GUARDED, UPSTREAM_ID, claims, pre_function
from ragops.services.gateway.kong_routes import answer, cors, forward, ready
from ragops.services.gateway.policy import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.gateway.policy import GatewayPolicy, Json, TlsPair

UPSTREAM = "rag-api"
_HIDDEN = "(hidden)"
_METRICS = {
    "per_consumer": True,
    "status_code_metrics": True,
    "latency_metrics": True,
    "bandwidth_metrics": True,
    "upstream_health_metrics": True,
}


@dataclass(frozen=True)
class KongRendering:
    """`document` is what Kong reads and holds the key, `shown` is the same without; `live` as Envoy's rendering."""

    document: str = field(repr=False)
    shown: str
    live: str


def render(policy: GatewayPolicy, keys: Mapping[str, Any], pair: TlsPair | None) -> KongRendering:
    """Render `policy` with the JWKS `keys` and, for HTTPS, the certificate `pair`."""
    bare = _document(policy, keys, pair, "")
    live = digest(bare)
    document = _document(policy, keys, pair, live)
    return KongRendering(_text(document), redact(_text(document)), live)


def redact(document: str) -> str:
    """Return the text of a declarative configuration, or what is left of one, without private keys."""
    try:
        values = json.loads(document)
        for certificate in values.get("certificates", ()):
            certificate["key"] = _HIDDEN
    except (ValueError, TypeError, AttributeError):
        return f"{_HIDDEN}: not a configuration that ragops wrote\n"
    return _text(values)


def _text(value: Json) -> str:
    return json.dumps(value, indent=2) + "\n"


def _document(policy: GatewayPolicy, keys: Mapping[str, Any], pair: TlsPair | None, live: str) -> Json:
    return {
        "_format_version": "3.0",
        "plugins": [
            {"name": "pre-function", "config": pre_function(policy)},
            *([{"name": "prometheus", "config": _METRICS}] if policy.metrics_port else []),
        ],
        "upstreams": [_upstream(policy)],
        "services": _services(policy),
        "routes": [ready(live), *answer(policy)],
        "consumers": [_consumer(key) for key in keys["keys"]],
        **({"certificates": [_certificate(pair)]} if pair else {}),
    }


def _services(policy: GatewayPolicy) -> list[Json]:
    """Return the API, asked for with a token; and without one for the exact paths that the policy names."""
    token = [{"name": "jwt", "config": _jwt()}, {"name": "post-function", "config": claims(policy)}]
    services = [_service(policy, GUARDED, forward(policy, authenticate=True), [*token, *cors(policy)])]
    if unauthenticated := forward(policy, authenticate=False):
        services.append(_service(policy, "api-open", unauthenticated, cors(policy)))
    return services


def _service(policy: GatewayPolicy, name: str, routes: list[Json], plugins: list[Json]) -> Json:
    upstream = policy.upstream
    return {
        "name": name,
        "protocol": "http",
        "host": UPSTREAM,
        "connect_timeout": upstream.connect_timeout * 1000,
        "write_timeout": upstream.answer_timeout * 1000,
        "read_timeout": upstream.answer_timeout * 1000,
        "retries": 1,
        "routes": routes,
        "plugins": plugins,
    }


def _jwt() -> Json:
    """Signature and key id. Times are looked at with the issuer, in claims.lua: this plugin forgives no clock."""
    return {
        "key_claim_name": "kid",
        "header_names": ["authorization"],
        "uri_param_names": [],
        "cookie_names": [],
        "claims_to_verify": [],
        # No route that needs a token takes OPTIONS; `false` would let that method in without one.
        "run_on_preflight": True,
        "realm": "ragops",
    }


def _upstream(policy: GatewayPolicy) -> Json:
    """Return the API. While its health check fails Kong answers 503 by itself, at once."""
    upstream = policy.upstream
    check = {
        "type": "http",
        "http_path": upstream.health_path,
        "timeout": upstream.connect_timeout,
        "concurrency": 1,
        "healthy": {"interval": upstream.health_every, "successes": 1, "http_statuses": [200]},
        "unhealthy": {
            "interval": upstream.health_every,
            "http_failures": 2,
            "tcp_failures": 2,
            "timeouts": 2,
            "http_statuses": [404, 429, 500, 501, 502, 503, 504],
        },
    }
    # A passive check never finds in DB-less mode that what failed is well again.
    return {
        "id": UPSTREAM_ID,
        "name": UPSTREAM,
        "targets": [{"target": f"{upstream.host}:{upstream.port}"}],
        "healthchecks": {"active": check},
    }


def _consumer(key: Mapping[str, str]) -> Json:
    """One for each token, so that each can be revoked."""
    public = RSAAlgorithm.from_jwk({name: key[name] for name in ("kty", "n", "e")})
    if isinstance(public, RSAPrivateKey):
        raise TypeError("a set of public keys holds a private one")
    text = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    credential = {"key": key["kid"], "algorithm": "RS256", "rsa_public_key": text}
    return {"username": key["kid"], "jwt_secrets": [credential]}


def _certificate(pair: TlsPair) -> Json:
    """For every name; for clients that give none, certificate.lua finds it here."""
    return {"cert": pair.certificate, "key": pair.key, "snis": [{"name": "*"}]}
