"""Alerts about the RAG API and what it calls."""

from __future__ import annotations

from ragops.services.observability.rules.model import PLATFORM, Alert, Group, Severity

_ALERTS = (
    Alert(
        "ApiDown",
        'up{job="api"} == 0',
        "1m",
        Severity.CRITICAL,
        "The RAG API of {{ $labels.platform }} does not answer",
        "No metrics for a minute: the process has ended, hangs, or cannot be reached. Every question fails.",
        "api-down",
    ),
    Alert(
        "ApiErrors",
        f'sum by ({PLATFORM}) (rate(ragops_api_requests_total{{status=~"5.."}}[5m]))'
        f" / (sum by ({PLATFORM}) (rate(ragops_api_requests_total[5m])) > 0) > 0.05",
        "5m",
        Severity.CRITICAL,
        "{{ $value | humanizePercentage }} of the API's answers are 5xx",
        "More than one answer in twenty has failed for five minutes. The log has the reason by request id.",
        "api-errors",
        "api",
    ),
    Alert(
        "ApiSlow",
        f"histogram_quantile(0.95, sum by ({PLATFORM}, route, le) "
        '(rate(ragops_api_request_seconds_bucket{route=~".*search"}[10m]))) > 1',
        "10m",
        Severity.WARNING,
        "One search in twenty takes longer than a second on {{ $labels.route }}",
        "95% of the searches on {{ $labels.route }} take up to {{ $value | humanizeDuration }}.",
        "api-slow",
        "api",
    ),
    Alert(
        "ApiOverloaded",
        f"sum by ({PLATFORM}) (rate(ragops_api_requests_shed_total[5m])) > 0.1",
        "5m",
        Severity.WARNING,
        "The API refuses {{ $value | humanize }} requests a second because too many come",
        "The processor does not allow more: what is taken is answered in time, the rest gets 503 with `Retry-After`.",
        "api-overloaded",
        "api",
    ),
    Alert(
        "BreakerOpen",
        "max by (platform, environment, dependency) (ragops_api_breaker_state) == 2",
        "1m",
        Severity.CRITICAL,
        "The circuit breaker of {{ $labels.dependency }} is open",
        "{{ $labels.dependency }} has failed five times running: the API refuses at once what needs it, with 503.",
        "breaker-open",
        "api",
    ),
    Alert(
        "BreakerOpensOften",
        "sum by (platform, environment, dependency) "
        '(increase(ragops_api_breaker_changes_total{state="open"}[1d])) >= 5',
        "",
        Severity.WARNING,
        "The circuit breaker of {{ $labels.dependency }} opened {{ $value | humanize }} times in a day",
        "The goal is fewer than five times a day: a dependency that comes and goes hurts as one that is down.",
        "breaker-open",
        "api",
    ),
    Alert(
        "UnauthorizedServiceCall",
        "sum by (platform, environment, instance, reason) "
        '(increase(ragops_api_auth_refused_total{kind="service"}[1h])) > 0',
        "",
        Severity.CRITICAL,
        "A call of an inner path came with a token that is {{ $labels.reason }}",
        "The goal is none a day. Either a service was left with an old token, or somebody tries to get in.",
        "unauthorized-service-call",
        "api",
    ),
    Alert(
        "ForgedTokens",
        "sum by (platform, environment) "
        '(increase(ragops_api_auth_refused_total{kind="user", reason="forged"}[15m])) > 0',
        "",
        Severity.CRITICAL,
        "The API refused a user's token that no key of the platform has signed",
        "The gateway checks tokens first, so a forged one at the API came past it, or both have other keys.",
        "forged-tokens",
        "api",
    ),
    Alert(
        "CacheUnavailable",
        f'sum by ({PLATFORM}) (rate(ragops_api_cache_total{{outcome="unavailable"}}[5m])) > 0',
        "5m",
        Severity.WARNING,
        "The API cannot use its cache",
        "Answers are right but slow, and every question costs a search: Redis is away or refuses the API.",
        "cache-unavailable",
        "redis",
    ),
    Alert(
        "QueryLogDropped",
        f"sum by ({PLATFORM}) (increase(ragops_api_query_log_dropped_total[15m])) > 0",
        "",
        Severity.WARNING,
        "{{ $value | humanize }} questions could not be logged",
        "The database is away, or slower than questions come: statistics of questions have a hole.",
        "query-log-dropped",
        "timescaledb",
    ),
    Alert(
        "ApiReadOnly",
        "max by (platform, environment) (ragops_api_read_only) == 1",
        "30m",
        Severity.WARNING,
        "The platform has been read-only for half an hour",
        "A backup with `--quiesce` holds it, or one that was killed left it so: no document can be ingested.",
        "api-read-only",
        "api",
    ),
)

GROUP = Group("api", alerts=_ALERTS)
