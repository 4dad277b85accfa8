"""Prometheus's text format, written by its own client library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client.metrics_core import Metric


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def render(families: Iterable[Metric]) -> str:
    """Return the families as text (format 0.0.4); empty without any."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(families))
    return generate_latest(registry).decode()


def gauge(name: str, description: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> GaugeMetricFamily:
    """Return a gauge of `samples`: labels, all of them with the same names, and the value."""
    found = list(samples)
    family = GaugeMetricFamily(name, description, labels=list(found[0][0]) if found else None)
    for labels, value in found:
        family.add_metric(list(labels.values()), value)
    return family
