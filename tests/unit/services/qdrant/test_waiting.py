"""Waiting until all is active: what is found out a moment after a node's return counts, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ragops.errors import UnhealthyError
from ragops.services.contract import Endpoint
from ragops.services.qdrant.cluster import cluster

if TYPE_CHECKING:
    from collections.abc import Sequence

CLUSTER = Endpoint("qdrant", "qdrant", "1", "docker", "127.0.0.1", 6333)
FAULT = ("docs: not every replica is active",)


def looks(monkeypatch: pytest.MonkeyPatch, found: Sequence[tuple[str, ...]]) -> list[int]:
    """The answers of one look after the other, the last one for ever; counts them."""
    counted = [0]

    def not_active(_endpoint: Endpoint) -> tuple[str, ...]:
        counted[0] += 1
        return found[min(counted[0], len(found)) - 1]

    monkeypatch.setattr(cluster, "not_active", not_active)
    monkeypatch.setattr(cluster, "_POLL", 0.01)
    monkeypatch.setattr(cluster, "STEADY_SECONDS", 0.05)
    return counted


def test_a_replica_that_is_found_dead_a_moment_later_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = looks(monkeypatch, [(), FAULT, FAULT, ()])
    cluster.wait_all_active(CLUSTER, 10)
    assert counted[0] > 4


def test_what_is_active_at_the_end_of_the_time_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    looks(monkeypatch, [()])
    cluster.wait_all_active(CLUSTER, 0)


def test_what_never_becomes_active_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    looks(monkeypatch, [FAULT])
    with pytest.raises(UnhealthyError, match="not every replica is active") as caught:
        cluster.wait_all_active(CLUSTER, 0)
    assert caught.value.code == "qdrant_not_active"
