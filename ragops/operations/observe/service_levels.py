"""How well the platform keeps its promises: availability, latency, error budget and KPIs, from Prometheus."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.adapters.prometheus_api import PrometheusClient
from ragops.errors import MissingError, RagopsError
from ragops.units import duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.operations.session import Session

OBJECTIVE = 0.9999  # of requests that do not fail for a reason of the platform's
DAYS = (1, 7, 30)
MOST_OPENINGS, MOST_UNAUTHORIZED, BACKUPS, LOG_DAYS = 5, 0, 1.0, 90  # a day, a day, share of runs, days
_DAY = 86400
# Of the days that end so many days ago: how finely is looked whether Prometheus holds figures.
_STEPS = {1: 120, 7: 900, 30: 3600}
_PATHS = 'route!~"/healthz|/readyz|/metrics"'
_QUESTIONS = 'route=~".*/?(search|query)"'
_API = 'job="api"'


@dataclass(frozen=True)
class Source:
    """Where requests are counted: where clients see them, so at the gateway if it is scraped."""

    name: str
    metric: str
    selector: str
    failed: str


_SOURCES = (
    Source("kong", "kong_http_requests_total", "", 'code=~"5.."'),
    Source(
        "envoy",
        "envoy_http_downstream_rq_xx",
        'envoy_http_conn_manager_prefix="gateway"',
        'envoy_response_code_class="5"',
    ),
    Source("api", "ragops_api_requests_total", _PATHS, 'status=~"5.."'),
)


@dataclass(frozen=True)
class ErrorBudget:
    """How many failed requests are allowed, and how many there were; `left` is a share, below 0 if overspent."""

    allowed: float
    used: float
    left: float


@dataclass(frozen=True)
class Window:
    """The last `days` days. `covered` are the seconds of them for which Prometheus holds figures.

    `availability` is the share of requests that did not fail with 5xx, None without a request; `up` the share of time
    in which the API answered its scrape. Latencies are seconds of searches and queries at the API, None without any.
    """

    days: int
    covered: float
    requests: float
    failed: float
    availability: float | None
    up: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    budget: ErrorBudget | None


@dataclass(frozen=True)
class Kpi:
    """A figure of the proposal's success metrics; `value` is None if it is not known, `detail` is why or of what."""

    name: str
    value: float | None
    target: float
    is_met: bool | None
    detail: str


@dataclass(frozen=True)
class ServiceLevels:
    """Service levels of one platform against `objective`; `source` counted the requests: kong, envoy or api."""

    platform: str
    environment: str
    prometheus: str
    objective: float
    source: str
    windows: tuple[Window, ...]
    kpis: tuple[Kpi, ...]


def measure(session: Session, url: str = "") -> ServiceLevels:
    """Ask the Prometheus at `url`, else that of the platform.

    Raises MissingError (no_prometheus, no_history), PrometheusError.
    """
    settings, environment = session.project.settings, session.project.paths.environment
    with PrometheusClient(url or _own(session)) as client:
        reader = _Reader(client, {"platform": settings.name, "environment": environment}, time.time())
        covered = reader.covered()
        if not covered[DAYS[-1]]:
            raise _no_history(client.url, settings.name, environment)
        source = reader.source()
        windows = tuple(reader.window(source, days, covered[days]) for days in DAYS)
        kpis = (*reader.kpis(DAYS[-1], covered[DAYS[-1]]), _log_retention(session))
    return ServiceLevels(settings.name, environment, client.url, OBJECTIVE, source.name, windows, kpis)


class _Reader:
    """The figures of one platform at one instant."""

    def __init__(self, client: PrometheusClient, labels: Mapping[str, str], now: float) -> None:
        self._client = client
        self._labels = ", ".join(f'{name}="{value}"' for name, value in labels.items())
        self._now = now

    def covered(self) -> dict[int, float]:
        """Return for each window how many seconds of it have figures."""
        found, before, total = {}, 0, 0.0
        for days in DAYS:
            step = _STEPS[days]
            start, end = self._now - days * _DAY + step, self._now - before * _DAY
            series = self._client.query_range(f"count({self._of('up')})", start, end, step)
            total += sum(len(one.points) for one in series) * step
            found[days], before = min(total, days * _DAY), days
        return found

    def source(self) -> Source:
        """Return who counts the requests; the API if none was counted yet."""
        for one in _SOURCES:
            if self._value(f"count({self._of(one.metric, one.selector, f'[{DAYS[-1]}d]', 'last_over_time')})"):
                return one
        return _SOURCES[-1]

    def window(self, source: Source, days: int, covered: float) -> Window:
        """Return the figures of the last `days` days."""
        requests = self._increase(source.metric, source.selector, days) or 0.0
        failed = self._increase(source.metric, _join(source.selector, source.failed), days) or 0.0
        p50, p95, p99 = (self._quantile(quantile, days) for quantile in (0.5, 0.95, 0.99))
        up = self._value(f"avg({self._of('up', _API, f'[{days}d]', 'avg_over_time')})")
        availability = 1 - failed / requests if requests else None
        return Window(days, covered, requests, failed, availability, up, p50, p95, p99, _budget(requests, failed))

    def kpis(self, days: int, covered: float) -> tuple[Kpi, ...]:
        """Return what Prometheus has of the KPIs, over the last `days` days."""
        opened = self._increase("ragops_api_breaker_changes_total", 'state="open"', days)
        refused = self._increase("ragops_api_auth_refused_total", 'kind="service"', days)
        runs = self._changes("ragops_backup_last_run_timestamp_seconds", days)
        good = self._changes("ragops_backup_last_success_timestamp_seconds", days)
        return (
            _rate("breaker activations a day", opened, covered, MOST_OPENINGS, is_below=True),
            _rate("unauthorized service calls a day", refused, covered, MOST_UNAUTHORIZED),
            _backups(runs, good),
        )

    def _quantile(self, quantile: float, days: int) -> float | None:
        buckets = self._of("ragops_api_request_seconds_bucket", _QUESTIONS, f"[{days}d]", "increase")
        return self._value(f"histogram_quantile({quantile}, sum by (le) ({buckets}))")

    def _increase(self, metric: str, selector: str, days: int) -> float | None:
        return self._value(f"sum({self._of(metric, selector, f'[{days}d]', 'increase')})")

    def _changes(self, metric: str, days: int) -> float | None:
        return self._value(f"sum({self._of(metric, '', f'[{days}d]', 'changes')})")

    def _of(self, metric: str, selector: str = "", span: str = "", function: str = "") -> str:
        return f"{function}({metric}{{{_join(self._labels, selector)}}}{span})"

    def _value(self, expression: str) -> float | None:
        return self._client.value(expression, self._now)


def _join(*selectors: str) -> str:
    return ", ".join(one for one in selectors if one)


def _budget(requests: float, failed: float) -> ErrorBudget | None:
    if not requests:
        return None
    allowed = requests * (1 - OBJECTIVE)
    return ErrorBudget(allowed, failed, 1 - failed / allowed)


def _rate(name: str, count: float | None, covered: float, target: float, *, is_below: bool = False) -> Kpi:
    """Return events a day, those of less than a day as one; `is_below`: the target itself is too many."""
    if count is None:
        return Kpi(name, None, target, None, "Prometheus holds no figures of the API")
    value = round(count) / max(1.0, covered / _DAY)  # Prometheus extrapolates to parts of an event
    is_met = value < target if is_below else value <= target
    return Kpi(name, value, target, is_met, f"{count:.0f} in {duration(covered)}")


def _backups(runs: float | None, good: float | None) -> Kpi:
    name = "backup success rate"
    if not runs:
        why = "Prometheus holds no figures of backups" if runs is None else "no backup has run while Prometheus looked"
        return Kpi(name, None, BACKUPS, None, why)
    value = min(1.0, (good or 0.0) / runs)
    return Kpi(name, value, BACKUPS, value >= BACKUPS, f"{good or 0:.0f} of {runs:.0f} runs")


def _log_retention(session: Session) -> Kpi:
    """Return how many days of questions the database holds: the age of the oldest one."""
    from ragops.services.timescaledb.query_log import oldest_age

    name = "query log retention in days"
    try:
        age = oldest_age(session.endpoints()["timescaledb"])
    except (RagopsError, KeyError) as error:
        reason = error.message if isinstance(error, RagopsError) else "the platform has no database"
        return Kpi(name, None, LOG_DAYS, None, reason)
    if age is None:
        return Kpi(name, None, LOG_DAYS, None, "no question was logged yet")
    since = datetime.fromtimestamp(time.time() - age, UTC)
    is_met = True if age >= (LOG_DAYS - 1) * _DAY else None  # a young platform has nothing older
    return Kpi(name, age / _DAY, LOG_DAYS, is_met, f"since {since:%Y-%m-%d}")


def _own(session: Session) -> str:
    endpoint = session.endpoints().get("observability")
    if endpoint is None:
        what = "cannot measure service levels: the platform has no Prometheus"
        hint = "name one that scrapes it: ragops slo --prometheus URL"
        raise MissingError("no_prometheus", what, hint)
    return f"http://{endpoint.host}:{endpoint.port}"


def _no_history(url: str, platform: str, environment: str) -> MissingError:
    what = (
        f"cannot measure service levels: Prometheus at {url} holds no figures of platform {platform},"
        f" environment {environment}, from the last {DAYS[-1]} days"
    )
    return MissingError("no_history", what, "have it scrape the platform, and wait a minute: ragops status")
