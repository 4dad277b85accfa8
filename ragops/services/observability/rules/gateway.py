"""Alerts about the gateway: Kong or Envoy, whichever answers."""

from __future__ import annotations

from ragops.services.observability.rules.availability import requests
from ragops.services.observability.rules.model import PLATFORM, Alert, Group, Recording, Severity

_ENVOY = 'envoy_http_conn_manager_prefix="gateway"'


def _kong_codes(codes: str) -> str:
    return f'sum by ({PLATFORM}) (rate(kong_http_requests_total{{code=~"{codes}"}}[15m]))'


_LIMITED = " + ".join(
    f"sum by ({PLATFORM}) (rate(envoy_ragops_limit_{kind}_http_local_rate_limit_rate_limited[15m]))"
    for kind in ("consumer", "address")
)
_UNHEALTHY = (
    'kong_upstream_target_health{state=~"unhealthy|dns_error"} == 1'
    " or envoy_cluster_membership_healthy < envoy_cluster_membership_total"
)
_REQUESTS = "ragops:requests:rate15m"

_ALERTS = (
    Alert(
        "GatewayDown",
        'up{job="gateway"} == 0',
        "1m",
        Severity.CRITICAL,
        "The gateway of {{ $labels.platform }} does not answer",
        "No metrics for a minute: no client reaches the platform.",
        "gateway-down",
    ),
    Alert(
        "UpstreamUnhealthy",
        _UNHEALTHY,
        "1m",
        Severity.CRITICAL,
        "The gateway takes the API for dead",
        "Its own health check of the API fails, so that it answers 503 itself.",
        "upstream-unhealthy",
        "gateway",
    ),
    Alert(
        "TokensRefused",
        f"(({_kong_codes('401|403')}"
        f" or sum by ({PLATFORM}) (rate(envoy_http_jwt_authn_denied{{{_ENVOY}}}[15m])))"
        f" / ({_REQUESTS} > 0) > 0.2) and {_REQUESTS} > 0.1",
        "10m",
        Severity.WARNING,
        "{{ $value | humanizePercentage }} of all requests have a token that is refused",
        "A client was left with a token that has ended or was revoked, or somebody guesses.",
        "tokens-refused",
        "gateway",
    ),
    Alert(
        "ClientsRateLimited",
        f"(({_kong_codes('429')} or {_LIMITED}) / ({_REQUESTS} > 0) > 0.1) and {_REQUESTS} > 0.1",
        "15m",
        Severity.WARNING,
        "{{ $value | humanizePercentage }} of all requests are over the rate limit",
        "Clients get 429: one of them repeats itself, or the limit is too low for what they need.",
        "clients-rate-limited",
        "gateway",
    ),
    Alert(
        "CertificateEndsSoon",
        "ragops_certificate_not_after_timestamp_seconds - time() < 21 * 86400",
        "1h",
        Severity.WARNING,
        "The gateway's certificate ends in {{ $value | humanizeDuration }}",
        "One that was made by `ragops up` is renewed by it; one of yours has to be replaced in its files.",
        "certificate-ends",
        "gateway",
    ),
    Alert(
        "CertificateEnds",
        "ragops_certificate_not_after_timestamp_seconds - time() < 3 * 86400",
        "5m",
        Severity.CRITICAL,
        "The gateway's certificate ends in {{ $value | humanizeDuration }}",
        "After that no client that checks certificates connects. It can be replaced without a restart.",
        "certificate-ends",
        "gateway",
    ),
    Alert(
        "TokenEnds",
        "0 < ragops_token_expires_timestamp_seconds - time() < 7 * 86400",
        "1h",
        Severity.WARNING,
        "The token of {{ $labels.consumer }} ends in {{ $value | humanizeDuration }}",
        "After that {{ $labels.consumer }} gets 401. Issue another one and hand it over before.",
        "token-ends",
        "gateway",
    ),
)

GROUP = Group("gateway", (Recording(_REQUESTS, requests("15m")),), _ALERTS)
