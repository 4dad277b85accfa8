"""Which failures between nodes are news."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from ragops.services.qdrant.cluster.health import _faults
from ragops.services.qdrant.cluster.members import Member

PEERS = {1: "qdrant-1", 2: "qdrant-2", 3: "qdrant-3"}


def member(number: int, **failures: str) -> Member:
    found = {f"http://{name.replace('_', '-')}:6335/": error for name, error in failures.items()}
    return Member(f"qdrant-{number}", number, PEERS, 1, 7, 100, 0, "", found)


def words(*members: Member, unreachable: tuple[str, ...] = ()) -> list[str]:
    nodes: Any = SimpleNamespace(unreachable=dict.fromkeys(unreachable), clients=members)
    return [text for _status, text, _cure in _faults({one.name: one for one in members}, 3, nodes)]


def test_the_leader_sends_to_everybody_so_its_failures_are_news() -> None:
    assert words(member(1, qdrant_3="refused"), member(2), member(3)) == [
        "qdrant-1 cannot reach http://qdrant-3:6335/: refused"
    ]


def test_a_follower_sends_to_the_leader() -> None:
    assert len(words(member(1), member(2, qdrant_1="refused"), member(3))) == 1


def test_what_one_follower_once_could_not_tell_another_is_none() -> None:
    """It stays in the list of a node that was not asked to send anything there since."""
    assert words(member(1), member(2, qdrant_3="refused"), member(3)) == []


def test_a_node_that_does_not_answer_is_told_of_once() -> None:
    assert words(member(1, qdrant_3="refused"), member(2), unreachable=("qdrant-3",)) == ["without qdrant-3"]


def test_peers_that_an_interrupted_run_has_added_are_named_once() -> None:
    more = {**PEERS, 4: "qdrant-4", 5: "qdrant-5"}
    found = [replace(member(number), peers=more) for number in (1, 2, 3)]
    assert words(*found) == ["5 peers for 3 nodes; not noted: qdrant-4, qdrant-5"]
