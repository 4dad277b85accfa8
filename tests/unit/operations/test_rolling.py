"""The order in which a cluster is changed; the cluster itself is told by two questions."""

from __future__ import annotations

import pytest

from ragops.adapters.pulumi.events import Action
from ragops.errors import RagopsError
from ragops.operations import rolling
from ragops.operations.changes import Change
from ragops.services.contract import Endpoint

NODES = ("qdrant-1", "qdrant-2", "qdrant-3")
CLUSTER = Endpoint("qdrant", "qdrant", "1", "docker", "127.0.0.1", 6333, options={"nodes": ",".join(NODES)})


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens, in order."""
    happened: list[str] = []
    monkeypatch.setattr(rolling, "wait_all_active", lambda _endpoint, _seconds: happened.append("all active"))
    return happened


def roll(done: list[str], monkeypatch: pytest.MonkeyPatch, *answering: str) -> None:
    monkeypatch.setattr(rolling, "node_versions", lambda _endpoint: dict.fromkeys(answering, "1"))
    rolling.roll(CLUSTER, NODES, lambda names: done.append(names[0]), lambda _progress: None)


def test_between_two_nodes_every_replica_is_active(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    roll(done, monkeypatch, *NODES)
    assert done == ["all active", "qdrant-1", "all active", "qdrant-2", "all active", "qdrant-3", "all active"]


def test_a_node_that_is_away_comes_first(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    roll(done, monkeypatch, "qdrant-1", "qdrant-2")
    assert done == ["qdrant-3", "all active", "qdrant-1", "all active", "qdrant-2", "all active"]


def test_where_no_node_answers_there_is_nothing_to_keep_available(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    roll(done, monkeypatch)

    def refuse(_endpoint: Endpoint) -> dict[str, str]:
        raise RagopsError("unreachable", "no node answers")

    monkeypatch.setattr(rolling, "node_versions", refuse)
    rolling.roll(CLUSTER, NODES, lambda names: done.append(names[0]), lambda _progress: None)
    assert done == []


def test_which_nodes_are_disturbed() -> None:
    changes = [
        Change("qdrant-3", Action.CREATE),
        Change("qdrant-1-config", Action.UPDATE),
        Change("qdrant-4", Action.CREATE),
        Change("redis", Action.REPLACE),
    ]
    assert rolling.disturbed(CLUSTER, changes) == ("qdrant-1", "qdrant-3")
    assert rolling.disturbed(None, changes) == ()
