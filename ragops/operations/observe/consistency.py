"""Whether the stores agree: the vectors of what the metadata database lists as indexed are there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ragops.config.collection_names import base
from ragops.errors import RagopsError
from ragops.operations.observe import collection_models
from ragops.services.contract import Check, ProbeResult, Status
from ragops.services.qdrant.backup import sampling as qdrant
from ragops.services.timescaledb.backup import sampling as timescaledb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ragops.services.contract import Endpoint

NAME = "contents"
_NEEDED = ("timescaledb", "qdrant")
_SHOWN = 5
_LEAST = 0.1  # seconds for a count


def probe(endpoints: Mapping[str, Endpoint], timeout: float) -> ProbeResult:
    """Look for at most about `timeout` seconds; never raises. What does not answer is its own probe's matter."""
    started = time.monotonic()
    looks = {"vectors": _vectors, "models": collection_models.check}
    checks = [_look(name, look, endpoints, started + timeout, timeout / 2) for name, look in looks.items()]
    return ProbeResult(NAME, tuple(checks), time.monotonic() - started)


def _look(
    name: str,
    look: Callable[[Mapping[str, Endpoint], float, float], Check],
    endpoints: Mapping[str, Endpoint],
    deadline: float,
    timeout: float,
) -> Check:
    try:
        return look(endpoints, deadline, timeout)
    except RagopsError:
        return Check(name, Status.OK, "not compared: a store does not answer")
    except Exception as error:
        return Check(name, Status.DEGRADED, f"unexpected: {type(error).__name__}: {error}", "report it")


def can_compare(endpoints: Mapping[str, Endpoint]) -> bool:
    """Whether both stores are among `endpoints`."""
    return all(name in endpoints for name in _NEEDED)


def _vectors(endpoints: Mapping[str, Endpoint], deadline: float, timeout: float) -> Check:
    names = timescaledb.indexed_collections(endpoints["timescaledb"], timeout)
    lost, points = [], dict[str, int]()
    for looked, name in enumerate(names):
        if time.monotonic() > deadline:
            return Check("vectors", Status.OK, f"{looked} of {len(names)} collections looked at in time")
        there = qdrant.count_points(endpoints["qdrant"], name, timeout)
        if not there:
            lost.append(f"{name} is {'missing' if there is None else 'empty'} in Qdrant")
        points[name] = there or 0
    if lost:
        what = f"{_listed(lost)}, though the database lists its documents as indexed"
        hint = "run `ragops restore latest --service qdrant`, or `ragops ingest` if the documents are here"
        return Check("vectors", Status.DOWN, what, hint)
    differ = _find_differences(endpoints, points, deadline, timeout)
    if differ:
        hint = "run `ragops ingest`, which stores what is missing"
        return Check("vectors", Status.DEGRADED, f"chunks cannot be found: {_listed(differ)}", hint)
    text = f"collections of the database that have their points: {len(names)}"
    if without := _find_without_words(endpoints, names, deadline, timeout):
        what = f"{text}; made by an earlier release and searched by vectors alone: {_listed(without)}"
        return Check(
            "vectors", Status.OK, what, f"`ragops ingest --rebuild {base(without[0])}` adds the search by words"
        )
    return Check("vectors", Status.OK, text)


def _find_without_words(
    endpoints: Mapping[str, Endpoint], names: Sequence[str], deadline: float, timeout: float
) -> list[str]:
    """Return the collections without sparse vectors, as far as time allows. They answer, less well than they could."""
    found = []
    for name in names:
        if time.monotonic() > deadline:
            break
        vectors = qdrant.vectors_of(endpoints["qdrant"], name, timeout)
        if vectors and not vectors.has_words:
            found.append(name)
    return found


def _find_differences(
    endpoints: Mapping[str, Endpoint], points: Mapping[str, int], deadline: float, timeout: float
) -> list[str]:
    """Return what Qdrant lacks of the chunks that the database counts, as far as time allows.

    `points` are the numbers that are known already.

    Points beyond that are no fault: they may be another program's, or those of documents that are being replaced.
    """
    try:
        counts = timescaledb.chunk_counts(endpoints["timescaledb"], max(deadline - time.monotonic(), _LEAST) / 2)
    except RagopsError:  # too many to count in time
        return []
    lacking = []
    for name, chunks in sorted(counts.items()):
        if time.monotonic() > deadline:
            break
        there = points[name] if name in points else qdrant.count_points(endpoints["qdrant"], name, timeout) or 0
        if there < chunks:
            lacking.append(f"{name} has {there} points for {chunks} chunks")
    return lacking


def _listed(texts: list[str]) -> str:
    return "; ".join(texts[:_SHOWN]) + (f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else "")
