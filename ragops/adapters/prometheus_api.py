"""Prometheus's HTTP API: queries at an instant and over a time, each with a deadline."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random

from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS = 30.0
_ATTEMPTS = 3
_PAUSE = 0.5
_MOST_BYTES = 64 << 20


class PrometheusError(RagopsError):
    """A query failed: Prometheus was not reached, refused it, or answered something else."""


class _BusyError(PrometheusError):
    """Another attempt may succeed."""


@dataclass(frozen=True)
class Series:
    """One series of an answer: labels, and its points, oldest first, as seconds since 1970 and value."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def value(self) -> float:
        """The last value."""
        return self.points[-1][1]


class PrometheusClient:
    """Queries the Prometheus at `url`; one query with its retries takes at most about `seconds`.

    Every query raises PrometheusError (prometheus_unreachable, prometheus_refused).
    """

    def __init__(self, url: str, *, seconds: float = _SECONDS) -> None:
        self.url = url.rstrip("/")
        self._seconds = seconds
        self._http = httpx.Client(timeout=httpx.Timeout(seconds, connect=min(seconds, 5.0)))

    def __enter__(self) -> PrometheusClient:
        return self

    def __exit__(self, *_error: object) -> None:
        self._http.close()

    def query(self, expression: str, at: float) -> list[Series]:
        """Return the series of an expression at an instant, in seconds since 1970."""
        return self._ask("query", {"query": expression, "time": f"{at:.3f}"})

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """Return the series of an expression from `start` to `end`, a point for each `step` seconds that has one."""
        span = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        return self._ask("query_range", {"query": expression, **span})

    def value(self, expression: str, at: float) -> float | None:
        """Return the only value of an expression; None if there is none, or it is not a number."""
        found = self.query(expression, at)
        return found[0].value if found and math.isfinite(found[0].value) else None

    def _ask(self, what: str, parameters: Mapping[str, str]) -> list[Series]:
        deadline = time.monotonic() + self._seconds
        for attempt in Retrying(
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random(0, _PAUSE),
            retry=retry_if_exception(lambda error: isinstance(error, _BusyError) and time.monotonic() < deadline),
            reraise=True,
        ):
            with attempt:
                return self._try(what, parameters, deadline)
        raise AssertionError("unreachable")

    def _try(self, what: str, parameters: Mapping[str, str], deadline: float) -> list[Series]:
        form = {**parameters, "timeout": f"{max(1.0, deadline - time.monotonic()):.0f}s"}
        try:
            with self._http.stream("POST", f"{self.url}/api/v1/{what}", data=form) as answer:
                body = bytearray()
                for part in answer.iter_bytes():
                    body += part
                    if len(body) > _MOST_BYTES or time.monotonic() > deadline:
                        raise self._unreachable(f"its answer is too {'slow' if len(body) <= _MOST_BYTES else 'large'}")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            kind = _BusyError if isinstance(error, httpx.ConnectError | httpx.RemoteProtocolError) else PrometheusError
            raise self._unreachable(str(error) or type(error).__name__, kind) from error
        return self._read(answer.status_code, bytes(body))

    def _read(self, status: int, body: bytes) -> list[Series]:
        try:
            values = json.loads(body)
            if values["status"] == "success":
                return _series(values["data"])
            reason = str(values["error"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise self._unreachable(f"what answers with {status} is another program") from None
        kind = _BusyError if status == httpx.codes.SERVICE_UNAVAILABLE else PrometheusError
        raise kind("prometheus_refused", f"cannot query Prometheus at {self.url}: {reason[:500]}")

    def _unreachable(self, reason: str, kind: type[PrometheusError] = PrometheusError) -> PrometheusError:
        hint = "see `ragops status`, or name another one with --prometheus URL"
        return kind("prometheus_unreachable", f"cannot query Prometheus at {self.url}: {reason[:300]}", hint)


def _series(data: Mapping[str, Any]) -> list[Series]:
    kind, result = data["resultType"], data["result"]
    if kind == "matrix":
        return [Series(one["metric"], tuple(map(_point, one["values"]))) for one in result]
    if kind == "vector":
        return [Series(one["metric"], (_point(one["value"]),)) for one in result]
    return [Series({}, (_point(result),))]


def _point(pair: Any) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])
