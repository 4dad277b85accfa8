"""The gateway, Kong or Envoy: who asks, what is refused, whether it reaches the API."""

from __future__ import annotations

from ragops.services.observability.dashboards.model import Board, Row, lines, number

_ENVOY = 'envoy_http_conn_manager_prefix="gateway"'
_HEALTHY = (
    'min(kong_upstream_target_health{%, state=~"healthy|healthchecks_off"} == 1)'
    " or min(envoy_cluster_membership_healthy{%} / (envoy_cluster_membership_total{%} > 0))"
)


def _kong(quantile: float, series: str) -> str:
    return f"histogram_quantile({quantile}, sum by (le) (rate(kong_{series}_bucket{{%}}[$__rate_interval]))) / 1000"


def _envoy(quantile: float, series: str) -> str:
    return f"histogram_quantile({quantile}, sum by (le) (rate(envoy_{series}_bucket{{%}}[$__rate_interval]))) / 1000"


_NOW = Row(
    "Now",
    (
        number(
            "Upstream",
            "none",
            "1 if the gateway takes the API for well.",
            "`ragops health gateway`.",
            _HEALTHY,
            red=1,
            low_is_red=True,
            alert="UpstreamUnhealthy",
        ),
        number(
            "Certificate ends in",
            "s",
            "Time until clients that check certificates are refused.",
            "renew it: `ragops up`.",
            "min(ragops_certificate_not_after_timestamp_seconds{@}) - time()",
            red=1_814_400,
            low_is_red=True,
            alert="CertificateEnds",
        ),
        number(
            "Next token ends in",
            "s",
            "Time until the first consumer is refused.",
            "issue another: `ragops token issue`.",
            "min(ragops_token_expires_timestamp_seconds{@} - time() > 0)",
            red=604_800,
            low_is_red=True,
            alert="TokenEnds",
        ),
        number(
            "Requests",
            "reqps",
            "What clients ask.",
            "never: it only shows how busy the platform is.",
            "ragops:requests:rate5m{@}",
        ),
    ),
)
_REQUESTS = Row(
    "Requests",
    (
        lines(
            "By status",
            "reqps",
            "What the gateway answers.",
            "5xx are failures, 401 tokens, 429 the rate limit.",
            ("sum by (code) (rate(kong_http_requests_total{%}[$__rate_interval]))", "{{code}}"),
            (
                "sum by (envoy_response_code_class)"
                f" (rate(envoy_http_downstream_rq_xx{{%, {_ENVOY}}}[$__rate_interval]))",
                "{{envoy_response_code_class}}xx",
            ),
            alert="Availability999BurnsFast",
        ),
        lines(
            "By consumer",
            "reqps",
            "Who asks (Kong only).",
            "one of them repeats itself.",
            ("sum by (consumer) (rate(kong_http_requests_total{%}[$__rate_interval]))", "{{consumer}}"),
            alert="ClientsRateLimited",
        ),
        lines(
            "By route",
            "reqps",
            "Which routes are asked (Kong only).",
            "never: it only shows how busy each route is.",
            ("sum by (route) (rate(kong_http_requests_total{%}[$__rate_interval]))", "{{route}}"),
        ),
        lines(
            "Refused",
            "reqps",
            "For their token, and for the rate limit.",
            "a client has an old token, or repeats itself.",
            ('sum(rate(kong_http_requests_total{%, code=~"401|403"}[$__rate_interval]))', "token (Kong)"),
            ('sum(rate(kong_http_requests_total{%, code="429"}[$__rate_interval]))', "rate (Kong)"),
            (f"sum(rate(envoy_http_jwt_authn_denied{{%, {_ENVOY}}}[$__rate_interval]))", "token (Envoy)"),
            (
                "sum(rate(envoy_ragops_limit_consumer_http_local_rate_limit_rate_limited{%}[$__rate_interval]))"
                " + sum(rate(envoy_ragops_limit_address_http_local_rate_limit_rate_limited{%}[$__rate_interval]))",
                "rate (Envoy)",
            ),
            alert="TokensRefused",
        ),
        lines(
            "95th percentile",
            "s",
            "Of the whole request, and of what the gateway itself adds.",
            "the difference between both is the API.",
            (_kong(0.95, "request_latency_ms"), "request (Kong)"),
            (_kong(0.95, "kong_latency_ms"), "Kong itself"),
            (_envoy(0.95, "http_downstream_rq_time"), "request (Envoy)"),
            (_envoy(0.95, "cluster_upstream_rq_time"), "API (Envoy)"),
            red=1,
            alert="ApiSlow",
        ),
        lines(
            "Bytes",
            "Bps",
            "To and from clients.",
            "never: it only shows how much is sent.",
            ("sum by (direction) (rate(kong_bandwidth_bytes{%}[$__rate_interval]))", "{{direction}}"),
            (f"sum(rate(envoy_http_downstream_cx_rx_bytes_total{{%, {_ENVOY}}}[$__rate_interval]))", "in"),
            (f"sum(rate(envoy_http_downstream_cx_tx_bytes_total{{%, {_ENVOY}}}[$__rate_interval]))", "out"),
        ),
        lines(
            "Connections",
            "none",
            "Open connections of clients.",
            "at the limit new ones are refused.",
            ('sum by (state) (kong_nginx_connections_total{%, state=~"active|waiting"})', "{{state}}"),
            (f"sum(envoy_http_downstream_cx_active{{%, {_ENVOY}}})", "active"),
        ),
    ),
)

BOARD = Board(
    "ragops-gateway",
    "Gateway",
    "Who asks, what is refused, whether the API is reached.",
    (_NOW, _REQUESTS),
    'up{job="gateway"}',
)
