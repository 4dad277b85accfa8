"""Replicas that are compared point by point: what differs, what only seemed to, and in how much memory."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from ragops.adapters import cancellation
from ragops.errors import InterruptedRunError
from ragops.services.qdrant.cluster import replica_compare
from ragops.services.qdrant.cluster.replica_compare import Comparison, ReplicaReader, compare_replicas, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Ident = int | str


class Node:
    """One node's replica, sorted as Qdrant sorts; `on_page` is called before each page."""

    def __init__(self, points: Mapping[Ident, Any], on_page: Callable[[Node], None] = lambda _node: None) -> None:
        self.points, self.on_page, self.largest = dict(points), on_page, 0

    def send(self, method: str, path: str, body: dict[str, Any]) -> Any:
        assert method == "POST"
        assert body["with_payload"] is True
        if path.endswith("/shards/3/points"):
            return [self.point(ident) for ident in body["ids"] if ident in self.points]
        assert path.endswith("/shards/3/points/scroll")
        self.on_page(self)
        ordered = sorted(self.points, key=lambda ident: (isinstance(ident, str), ident))
        start = ordered.index(body["offset"]) if body["offset"] in self.points else 0
        page = ordered[start : start + body["limit"]]
        self.largest = max(self.largest, len(page))
        rest = ordered[start + body["limit"] :]
        return {"points": [self.point(ident) for ident in page], "next_page_offset": rest[0] if rest else None}

    def point(self, ident: Ident) -> dict[str, Any]:
        return {"id": ident, "payload": self.points[ident], "vector": None}


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(cancellation, "sleep", pauses.append)
    return pauses


def compare(**nodes: Any) -> Comparison:
    readers = {name: ReplicaReader(node, "docs", 3, with_vectors=False) for name, node in nodes.items()}
    return compare_replicas(readers, lambda _count: None)


def rows(count: int) -> dict[Ident, Any]:
    dice = random.Random(count)
    numbers = {number * 3: {"text": f"chunk {number}"} for number in range(count)}
    return numbers | {str(UUID(int=dice.getrandbits(128))): {"n": number} for number in range(count)}


def test_equal_replicas_have_one_digest() -> None:
    points = rows(2500)
    first = compare(a=Node(points), b=Node(points), c=Node(points))
    assert first.is_equal
    assert first.points == {"a": 5000, "b": 5000, "c": 5000}
    assert first.digest == compare(a=Node(points), b=Node(points)).digest
    assert first.digest != compare(a=Node(rows(2499)), b=Node(rows(2499))).digest


@pytest.mark.parametrize("ident", [0, 3 * 1999, 3 * 2499])
def test_a_point_that_one_replica_lacks_is_found(ident: int, slept: list[float]) -> None:
    fewer = rows(2500)
    del fewer[ident]
    found = compare(a=Node(rows(2500)), b=Node(fewer))
    assert (found.differ, found.digest) == ((ident,), "")
    assert found.points == {"a": 5000, "b": 4999}
    assert slept == list(replica_compare.PAUSES), "it was looked at again after each pause"


def test_another_payload_under_the_same_id_is_found() -> None:
    other = rows(100) | {30: {"text": "chunk 99"}}
    assert compare(a=Node(rows(100)), b=Node(other), c=Node(rows(100))).differ == (30,)


def test_an_empty_replica_differs_in_all() -> None:
    found = compare(a=Node(rows(100)), b=Node({}))
    assert len(found.differ) == 200


def test_of_very_many_differences_the_first_ones_are_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_compare, "_MOST_DIFFERENT", 50)
    found = compare(a=Node(rows(100)), b=Node({}))
    assert (len(found.differ), found.is_capped) == (50, True)


def test_the_majority_that_agrees_is_named() -> None:
    points, other, fewer = rows(100), rows(100) | {30: {"text": "another"}}, rows(99)
    assert compare(a=Node(points), b=Node(other), c=Node(points)).agree == {"a", "c"}
    assert compare(a=Node(points), b=Node(other), c=Node(fewer)).agree == frozenset()
    assert compare(a=Node(points), b=Node(other)).agree == frozenset(), "two that differ have no majority"
    assert compare(a=Node(points), b=Node(points), c=Node(other), d=Node(other)).agree == frozenset()
    assert compare(a=Node(points), b=Node(points)).agree == frozenset(), "nothing differs"


def test_the_majority_of_very_many_differences_is_that_of_all_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_compare, "_MOST_DIFFERENT", 50)
    late = rows(100) | {3 * 99: {"text": "another"}}
    assert compare(a=Node(rows(100)), b=Node({}), c=Node(rows(100))).agree == {"a", "c"}
    assert compare(a=Node(rows(100)), b=Node({}), c=Node(late)).agree == frozenset()


def test_what_is_written_between_two_looks_differs_only_at_first(
    slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    late, points = Node(rows(300)), rows(300) | {7: {"text": "new"}}
    first = Node(points)

    def arrive(seconds: float) -> None:
        slept.append(seconds)
        late.points[7] = {"text": "new"}

    monkeypatch.setattr(cancellation, "sleep", arrive)
    found = compare(a=first, b=late)
    assert found.is_equal
    assert slept == [replica_compare.PAUSES[0]]


def test_what_is_deleted_on_both_in_the_end_is_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Node(rows(50)), Node(rows(50))
    del second.points[9]
    monkeypatch.setattr(cancellation, "sleep", lambda _seconds: first.points.pop(9, None))
    assert compare(a=first, b=second).is_equal


def test_no_more_than_a_page_is_read_at_once() -> None:
    first, second = Node(rows(5000)), Node(rows(5000))
    assert compare(a=first, b=second).is_equal
    assert first.largest == second.largest == 1000


def test_a_run_can_be_interrupted_between_pages() -> None:
    with cancellation.new_run() as token:
        node = Node(rows(3000), on_page=lambda _node: token.cancel())
        with pytest.raises(InterruptedRunError):
            compare(a=node, b=Node(rows(3000)))


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"indices": [3, 1], "values": [0.3, 0.1]}, {"indices": [1, 3], "values": [0.1, 0.3]}, True),
        ({"indices": [3, 1], "values": [0.3, 0.1]}, {"indices": [1, 3], "values": [0.3, 0.1]}, False),
        ([0.1, 0.2], [0.2, 0.1], False),
        ({"w": {"indices": [2, 1], "values": [1, 2]}}, {"w": {"indices": [1, 2], "values": [2, 1]}}, True),
    ],
)  # fmt: skip
def test_order_counts_where_it_means_something(one: Any, other: Any, equal: bool) -> None:
    assert (digest_of({"vector": one}) == digest_of({"vector": other})) is equal
