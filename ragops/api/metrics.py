"""The metrics of the service; with several workers a scrape sums over all (prometheus_client's multiprocess mode)."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_FEWER_SECONDS = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0)  # of each collection
_MODEL_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
MOST_COLLECTIONS = 100  # with a label of their own in each worker
OTHER = "other"
REFUSALS = ("missing", "expired", "forged")  # reasons for which a token is refused


class Metrics:
    """Counters of one service; labels never hold what a client made up."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._count_requests(registry)
        self._time_parts(registry)
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
        for kind in ("service", "user"):
            for reason in REFUSALS:  # from 0 on: the first one is an increase already
                self.auth_refused.labels(kind, reason)
        self.shed = Counter(
            "ragops_api_requests_shed_total", "Requests refused because too many came at once", registry=registry
        )
        self.cache = Counter("ragops_api_cache_total", "Look-ups in the answer cache", ["outcome"], registry=registry)
        self.log_dropped = Counter(
            "ragops_api_query_log_dropped_total", "Queries that could not be logged", registry=registry
        )
        self.log_rows = Counter("ragops_api_query_log_rows_total", "Queries that were logged", registry=registry)
        self.log_waiting = Gauge(
            "ragops_api_query_log_waiting",
            "Queries that wait to be logged",
            registry=registry,
            multiprocess_mode="livesum",
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

    def _count_requests(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "ragops_api_requests_total", "Requests answered", ["method", "route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "ragops_api_request_seconds",
            "Time to answer; `class` is that of the status, such as 2xx",
            ["method", "route", "class"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._question_seconds = Histogram(
            "ragops_api_question_seconds",
            "Time of a question: cache, vector, search, model",
            ["collection", "outcome"],
            buckets=_FEWER_SECONDS,
            registry=registry,
        )
        self._questions: dict[tuple[str, str], Histogram] = {}
        self._named: set[str] = set()

    def _time_parts(self, registry: CollectorRegistry) -> None:
        self.embedding_seconds = Histogram(
            "ragops_api_embedding_seconds",
            "Time to turn a question into a vector",
            ["embedder"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.search_seconds = Histogram(
            "ragops_api_vector_search_seconds",
            "Time of a search that a Qdrant node answered",
            ["node"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.model_seconds = Histogram(
            "ragops_api_model_seconds",
            "Time of an answer that the chat model wrote",
            ["model"],
            buckets=_MODEL_SECONDS,
            registry=registry,
        )
        self.model_first_seconds = Histogram(
            "ragops_api_model_first_piece_seconds",
            "Time to the first piece of a streamed answer of the chat model",
            ["model"],
            buckets=_MODEL_SECONDS,
            registry=registry,
        )

    def question(self, collection: str, outcome: str) -> Histogram:
        """Return the times of the questions to a collection that ended so: `ok`, `refused` or `failed`.

        A name is a label after the first answer from it: no client makes one up. Beyond MOST_COLLECTIONS it is OTHER.
        """
        known = self._questions.get((collection, outcome))
        if known is not None:
            return known
        if collection not in self._named and (outcome != "ok" or len(self._named) >= MOST_COLLECTIONS):
            collection = OTHER
        else:
            self._named.add(collection)
        made = self._question_seconds.labels(collection, outcome)
        self._questions[collection, outcome] = made
        return made

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
