"""How fast the error budget of 99.9% and of 99.99% is spent, over two windows each, and the series that show it.

A fast and a slow rate, each over a long window that proves it and a short one that ends it, after Google's "The Site
Reliability Workbook", chapter 5. Requests are counted at the gateway, where clients see them; without one at the API.
"""

from __future__ import annotations

from ragops.services.observability.rules.model import PLATFORM, Alert, Group, Recording, Severity

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
_FEWEST = 5  # failures in the long window: a single one of a quiet night proves nothing
_SECONDS = {"1h": 3600, "6h": 21_600, "1d": 86_400, "3d": 259_200}
_ASKED = 'route!~"/healthz|/readyz|/metrics"'
_ENVOY, _GATEWAY = "envoy_http_downstream_rq_xx", 'envoy_http_conn_manager_prefix="gateway"'


def _total(selector: str, window: str) -> str:
    return f"sum by ({PLATFORM}) (rate({selector}[{window}]))"


def _sources(window: str) -> tuple[str, str, str]:
    return (
        _total("kong_http_requests_total", window),
        _total(f"{_ENVOY}{{{_GATEWAY}}}", window),
        _total(f"ragops_api_requests_total{{{_ASKED}}}", window),
    )


def requests(window: str) -> str:
    """Return PromQL of the requests per second of a window: of Kong, of Envoy, or of the API alone."""
    return " or ".join(_sources(window))


def errors(window: str) -> str:
    """Return PromQL of the requests per second that failed for a reason of ours: every 5xx, 0 if there are none."""
    failed = (
        _total('kong_http_requests_total{code=~"5.."}', window),
        _total(f'{_ENVOY}{{{_GATEWAY}, envoy_response_code_class="5"}}', window),
        _total(f'ragops_api_requests_total{{{_ASKED}, status=~"5.."}}', window),
    )
    return " or ".join(f"{one} or 0 * {every}" for one, every in zip(failed, _sources(window), strict=True))


def _recordings() -> tuple[Recording, ...]:
    made = []
    for window in WINDOWS:
        made.append(Recording(f"ragops:requests:rate{window}", requests(window)))
        made.append(Recording(f"ragops:errors:rate{window}", errors(window)))
        ratio = f"ragops:errors:rate{window} / (ragops:requests:rate{window} > 0)"
        made.append(Recording(f"ragops:error_ratio:rate{window}", ratio))
    return tuple(made)


def _burns(budget: float, factor: float, long: str, short: str) -> str:
    limit = f"{factor * budget:g}"
    enough = f"ragops:errors:rate{long} * {_SECONDS[long]} >= {_FEWEST}"
    return f"(ragops:error_ratio:rate{long} > {limit} and ragops:error_ratio:rate{short} > {limit} and {enough})"


def _alerts(name: str, goal: str, budget: float) -> tuple[Alert, Alert]:
    fast = Alert(
        f"{name}BurnsFast",
        f"{_burns(budget, 14.4, '1h', '5m')} or {_burns(budget, 6, '6h', '30m')}",
        "",
        Severity.CRITICAL,
        f"Requests fail so often that the error budget of {goal} ends in days",
        "{{ $value | humanizePercentage }} of all requests fail with 5xx. At this rate a month's budget of "
        f"{goal} is spent in two days (14.4 times as fast) or five (6 times).",
        "availability",
        "gateway",
    )
    slow = Alert(
        f"{name}BurnsSlowly",
        f"{_burns(budget, 3, '1d', '2h')} or {_burns(budget, 1, '3d', '6h')}",
        "",
        Severity.WARNING,
        f"Requests fail so often that {goal} will not be reached",
        "{{ $value | humanizePercentage }} of all requests have failed with 5xx for a day or three: "
        f"at this rate the error budget of {goal} is spent before the month ends.",
        "availability",
        "gateway",
    )
    return fast, slow


GROUP = Group(
    "availability",
    _recordings(),
    (*_alerts("Availability999", "99.9%", 0.001), *_alerts("Availability9999", "99.99%", 0.0001)),
)
