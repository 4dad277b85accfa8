"""The metrics of the service; with several workers a scrape sums over all (prometheus_client's multiprocess mode)."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counters of one service; labels never hold what a client made up."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "ragops_api_requests_total", "Requests answered", ["method", "route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "ragops_api_request_seconds", "Time to answer", ["route"], buckets=_SECONDS, registry=registry
        )
        self.breaker_state = Gauge(
            "ragops_api_breaker_state",
            "0 closed, 1 half-open, 2 open",
            ["dependency"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.breaker_changes = Counter(
            "ragops_api_breaker_changes_total", "Changes of state", ["dependency", "state"], registry=registry
        )
        self.breaker_refused = Counter(
            "ragops_api_breaker_refused_total", "Calls refused while open", ["dependency"], registry=registry
        )
        self.dependency_calls = Counter(
            "ragops_api_dependency_calls_total",
            "Calls of a dependency, retries within a call not counted",
            ["dependency", "outcome"],
            registry=registry,
        )
        self.node_failures = Counter(
            "ragops_api_qdrant_node_failures_total", "Attempts that failed, by node", ["node"], registry=registry
        )
        self.hedges = Counter(
            "ragops_api_qdrant_hedges_total",
            "Searches asked of a second node as well",
            registry=registry,
        )
        self.auth_refused = Counter(
            "ragops_api_auth_refused_total", "Requests refused for their token", ["kind", "reason"], registry=registry
        )
        self.cache = Counter("ragops_api_cache_total", "Look-ups in the answer cache", ["outcome"], registry=registry)
        self.log_dropped = Counter(
            "ragops_api_query_log_dropped_total", "Queries that could not be logged", registry=registry
        )
        self.read_only = Gauge(
            "ragops_api_read_only",
            "1 while a backup holds the platform read-only",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.legacy = Counter(
            "ragops_api_legacy_requests_total", "Requests on paths without version", ["path"], registry=registry
        )

    def text(self) -> bytes:
        """Return the exposition in Prometheus' text format."""
        if MULTIPROCESS_DIR not in os.environ:
            return generate_latest(self.registry)
        _forget_dead_workers(os.environ[MULTIPROCESS_DIR])
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)  # type: ignore[no-untyped-call]
        return generate_latest(everyone)


def _forget_dead_workers(folder: str) -> None:
    """Take the live gauges of workers that have ended out of the sum: a breaker that one left open would stay so."""
    for path in Path(folder).glob("gauge_live*_*.db"):
        pid = path.stem.rpartition("_")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            mark_process_dead(int(pid), folder)  # type: ignore[no-untyped-call]
