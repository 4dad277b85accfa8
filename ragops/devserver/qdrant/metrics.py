"""Metrics in Prometheus' text format, under the names that Qdrant uses."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ragops.devserver.qdrant import API_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)


class Metrics:
    """What has been answered since the start."""

    def __init__(self) -> None:
        self._answers: Counter[tuple[str, str, int]] = Counter()
        self._seconds: dict[tuple[str, str], float] = {}
        self._buckets: Counter[tuple[str, str, float]] = Counter()

    def note(self, method: str, pattern: str, status: int, seconds: float) -> None:
        """Count an answer."""
        key = (method, pattern)
        self._answers[(*key, status)] += 1
        self._seconds[key] = self._seconds.get(key, 0.0) + seconds
        bound = next((bound for bound in _BOUNDS if seconds <= bound), float("inf"))
        self._buckets[(*key, bound)] += 1

    def render(self, points: Mapping[str, int], broken: int, version: str) -> str:
        """The page; `points` by collection, `broken` collections that could not be opened."""
        lines = [
            *_family("app_info", "gauge", "information about qdrant server"),
            f'app_info{{name="qdrant-edge",version="{API_VERSION}",engine_version="{version}"}} 1',
            *_family("collections_total", "gauge", "number of collections"),
            f"collections_total {len(points) + broken}",
            *_family("collections_unreadable", "gauge", "collections that could not be opened"),
            f"collections_unreadable {broken}",
            *_family("collection_points", "gauge", "approximate amount of points per collection"),
            *(f'collection_points{{id="{_escaped(name)}"}} {count}' for name, count in sorted(points.items())),
            *_family("rest_responses_total", "counter", "total number of responses"),
            *self._counted(),
            *_family("rest_responses_duration_seconds", "histogram", "response duration histogram"),
            *self._durations(),
        ]
        return "\n".join(lines) + "\n"

    def _counted(self) -> Iterable[str]:
        for (method, pattern, status), count in sorted(self._answers.items()):
            yield f'rest_responses_total{{method="{method}",endpoint="{pattern}",status="{status}"}} {count}'

    def _durations(self) -> Iterable[str]:
        for (method, pattern), seconds in sorted(self._seconds.items()):
            labels, below = f'method="{method}",endpoint="{pattern}"', 0
            for bound in (*_BOUNDS, float("inf")):
                below += self._buckets[(method, pattern, bound)]
                shown = "+Inf" if bound == float("inf") else f"{bound:g}"
                yield f'rest_responses_duration_seconds_bucket{{{labels},le="{shown}"}} {below}'
            yield f"rest_responses_duration_seconds_sum{{{labels}}} {seconds:.6f}"
            yield f"rest_responses_duration_seconds_count{{{labels}}} {below}"


def _family(name: str, kind: str, description: str) -> tuple[str, str]:
    return f"# HELP {name} {description}", f"# TYPE {name} {kind}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
