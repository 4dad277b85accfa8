"""The RAG API: rate, errors and duration by route and collection, and what it waits for."""

from __future__ import annotations

from ragops.services.observability.dashboards.model import Board, Row, lines, number


def _quantile(share: float, series: str, by: str) -> str:
    inner = f"sum by ({by}, le) (rate({series}_bucket{{%}}[$__rate_interval]))"
    return f"histogram_quantile({share}, {inner})"


def _mean(series: str, by: str) -> str:
    return (
        f"sum by ({by}) (rate({series}_sum{{%}}[$__rate_interval]))"
        f" / (sum by ({by}) (rate({series}_count{{%}}[$__rate_interval])) > 0)"
    )


_REQUESTS = Row(
    "Requests",
    (
        lines(
            "Answers by status",
            "reqps",
            "What the API answers.",
            "5xx are failures of ours: see its log.",
            ("sum by (status) (rate(ragops_api_requests_total{%}[$__rate_interval]))", "{{status}}"),
            alert="ApiErrors",
        ),
        lines(
            "Requests by route",
            "reqps",
            "Which routes are asked.",
            "never: it only shows how busy each route is.",
            ("sum by (route) (rate(ragops_api_requests_total{%}[$__rate_interval]))", "{{route}}"),
        ),
        lines(
            "95th percentile by route",
            "s",
            "How long one in twenty takes at least.",
            "look below which part takes the time.",
            (_quantile(0.95, "ragops_api_request_seconds", "route"), "{{route}}"),
            red=1,
            alert="ApiSlow",
        ),
        lines(
            "Questions by collection",
            "reqps",
            "Which collections are asked, and how it ended.",
            "`failed` is an error, `refused` an open breaker.",
            (
                "sum by (collection, outcome) (rate(ragops_api_question_seconds_count{%}[$__rate_interval]))",
                "{{collection}} {{outcome}}",
            ),
            alert="ApiErrors",
        ),
        lines(
            "95th percentile by collection",
            "s",
            "Whether one collection is slower than others.",
            "it has more points, or another layout: `ragops cluster status`.",
            (_quantile(0.95, "ragops_api_question_seconds", "collection"), "{{collection}}"),
            red=2.5,
            alert="ApiSlow",
        ),
        lines(
            "Refused for overload",
            "reqps",
            "Requests answered 503 at once, so that the others are answered in time.",
            "more arrive than the processor allows: `ragops metrics runbook ApiOverloaded`.",
            ("sum(rate(ragops_api_requests_shed_total{%}[$__rate_interval]))", "refused"),
            red=1,
            alert="ApiOverloaded",
        ),
        lines(
            "Refused tokens",
            "none",
            "Calls whose token was missing, had ended or was forged, in an hour.",
            "any of a service, and forged ones: see the API's log for who.",
            ("sum by (kind, reason) (increase(ragops_api_auth_refused_total{%}[1h]))", "{{kind}} {{reason}}"),
            red=1,
            alert="UnauthorizedServiceCall",
        ),
    ),
)
_PARTS = Row(
    "What it waits for",
    (
        lines(
            "Parts of an answer, mean",
            "s",
            "Where the time of a question goes.",
            "work on the part that grows.",
            (_mean("ragops_api_embedding_seconds", "embedder"), "embedding {{embedder}}"),
            (_mean("ragops_api_vector_search_seconds", "node"), "search {{node}}"),
            (_mean("ragops_api_model_seconds", "model"), "model {{model}}"),
            alert="ApiSlow",
        ),
        lines(
            "Breakers",
            "none",
            "0 closed, 1 asks again, 2 open.",
            "the dependency is down: bring it back.",
            ("max by (dependency) (ragops_api_breaker_state{%})", "{{dependency}}"),
            red=2,
            alert="BreakerOpen",
        ),
        lines(
            "Calls of dependencies",
            "reqps",
            "What the API asks of its dependencies, and what fails.",
            "`failed` opens the breaker after five running.",
            (
                "sum by (dependency, outcome) (rate(ragops_api_dependency_calls_total{%}[$__rate_interval]))",
                "{{dependency}} {{outcome}}",
            ),
            alert="BreakerOpen",
        ),
        lines(
            "Cache hit rate",
            "percentunit",
            "The part of all questions that was answered from the cache.",
            "`ragops health redis`; a low rate alone only shows that questions differ.",
            (
                'sum(rate(ragops_api_cache_total{%, outcome="hit"}[$__rate_interval]))'
                " / (sum(rate(ragops_api_cache_total{%}[$__rate_interval])) > 0)",
                "hits",
            ),
            (
                'sum(rate(ragops_api_cache_total{%, outcome="unavailable"}[$__rate_interval]))'
                " / (sum(rate(ragops_api_cache_total{%}[$__rate_interval])) > 0)",
                "unavailable",
            ),
            alert="CacheUnavailable",
        ),
        lines(
            "Query log",
            "none",
            "Rows that wait, and rows per minute that were logged or dropped.",
            "dropped rows are lost: the database is slow or away.",
            ("sum(ragops_api_query_log_waiting{%})", "waiting"),
            ("60 * sum(rate(ragops_api_query_log_rows_total{%}[$__rate_interval]))", "logged"),
            ("60 * sum(rate(ragops_api_query_log_dropped_total{%}[$__rate_interval]))", "dropped"),
            alert="QueryLogDropped",
        ),
        lines(
            "Second nodes asked",
            "reqps",
            "Searches that were asked of a second node as well, and attempts that failed.",
            "one node is slow or away: see the dashboard Qdrant.",
            ("sum(rate(ragops_api_qdrant_hedges_total{%}[$__rate_interval]))", "second node"),
            ("sum by (node) (rate(ragops_api_qdrant_node_failures_total{%}[$__rate_interval]))", "failed {{node}}"),
            alert="QdrantNodeDown",
        ),
        number(
            "Read-only",
            "none",
            "1 while a backup holds the platform.",
            "it has been so for long: see who holds it.",
            "max(ragops_api_read_only{%})",
            red=1,
            alert="ApiReadOnly",
        ),
    ),
)

BOARD = Board(
    "ragops-api",
    "API",
    "Rate, errors and duration of the RAG API.",
    (_REQUESTS, _PARTS),
    'up{job="api"}',
)
