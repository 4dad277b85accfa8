"""Metrics in Prometheus's text format, under the names that Qdrant uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ragops.devserver.qdrant import API_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
_LABELS = ("method", "endpoint")


class Metrics(Collector):
    """The responses since the start, and the collections as they are at a scrape."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # Qdrant has none
        self._registry = CollectorRegistry(auto_describe=False)
        self._points: Mapping[str, int] = {}
        self._broken, self._version = 0, ""
        self._registry.register(self)
        self._responses = Counter(
            "rest_responses_total", "total number of responses", [*_LABELS, "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "rest_responses_duration_seconds", "response duration histogram", _LABELS,
            buckets=_BOUNDS, registry=self._registry,
        )  # fmt: skip

    def note(self, method: str, pattern: str, status: int, seconds: float) -> None:
        """Count a response."""
        self._responses.labels(method, pattern, status).inc()
        self._seconds.labels(method, pattern).observe(seconds)

    def render(self, points: Mapping[str, int], broken: int, version: str) -> str:
        """Return the page; `points` by collection, `broken` collections that could not be opened."""
        self._points, self._broken, self._version = points, broken, version
        return generate_latest(self._registry).decode()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the gauges of the collections. Part of prometheus_client's protocol."""
        info = GaugeMetricFamily(
            "app_info", "information about qdrant server", labels=["name", "version", "engine_version"]
        )
        info.add_metric(["qdrant-edge", API_VERSION, self._version], 1)
        points = GaugeMetricFamily("collection_points", "approximate amount of points per collection", labels=["id"])
        for name, count in sorted(self._points.items()):
            points.add_metric([name], count)
        total = len(self._points) + self._broken
        return [
            info,
            GaugeMetricFamily("collections_total", "number of collections", total),
            GaugeMetricFamily("collections_unreadable", "collections that could not be opened", self._broken),
            points,
        ]
