"""Which node is asked first, and when a second one is asked as well."""

from __future__ import annotations

import asyncio
from collections import Counter

from ragops.adapters.qdrant.addresses import Address
from ragops.adapters.qdrant.balancing import Balancer
from ragops.adapters.qdrant.hedging import SHARE, Hedging


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Silent:
    def ejected(self, node: Address, reason: str) -> None:
        pass

    def readmitted(self, node: Address) -> None:
        pass


async def _never(_address: Address) -> bool:
    return False


def balancer(time: Time, nodes: int = 3) -> Balancer:
    addresses = [Address(f"{number}", f"http://{number}") for number in range(nodes)]
    return Balancer(addresses, _never, time, Silent())


def first_asked(nodes: Balancer, subject: str = "docs", count: int = 300) -> Counter[str]:
    return Counter(next(nodes.in_turn(subject)).address.name for _ in range(count))


def test_nodes_of_which_nothing_is_known_are_asked_in_turn() -> None:
    assert first_asked(balancer(Time())) == {"0": 100, "1": 100, "2": 100}


def test_a_slow_node_is_asked_last_by_choice_and_again_after_a_while() -> None:
    time = Time()
    nodes = balancer(time)
    for node, seconds in zip(nodes._nodes, (0.004, 0.004, 0.050), strict=True):
        node.add("docs", seconds, time.now)
    asked = first_asked(nodes)
    assert asked["2"] == 0, "each choice has a quicker one"
    assert min(asked["0"], asked["1"]) > 50
    assert first_asked(nodes, "other") == {"0": 100, "1": 100, "2": 100}, "of another collection nothing is known"
    time.now += 120
    assert first_asked(nodes)["2"] == 100


def test_requests_under_way_count() -> None:
    time = Time()
    nodes = balancer(time, 2)
    for node in nodes._nodes:
        node.add("docs", 0.004, time.now)
    nodes._nodes[0].in_flight = 3
    assert first_asked(nodes) == {"1": 300}


def test_one_slow_answer_counts_at_once_and_quick_ones_slowly() -> None:
    time = Time()
    [node] = balancer(time, 1)._nodes
    node.add("docs", 0.001, time.now)
    node.add("docs", 0.1, time.now)
    assert node.cost("docs", time.now) == 0.1
    node.add("docs", 0.001, time.now)
    assert 0.05 < node.cost("docs", time.now) < 0.1


def test_an_ejected_node_is_never_chosen() -> None:
    async def run() -> None:
        nodes = balancer(Time())
        for node, seconds in zip(nodes._nodes, (0.1, 0.1, 0.001), strict=True):
            node.add("docs", seconds, 100.0)
        nodes.eject(nodes._nodes[2], "away")
        assert first_asked(nodes)["2"] == 0
        await nodes.close()

    asyncio.run(run())


def test_hedges_begin_after_the_95th_percentile_and_are_one_in_twenty_at_most() -> None:
    hedging = Hedging()
    assert (hedging.delay, hedging.take()) == (None, False)
    for number in range(128):
        hedging.add(0.010 if number % 10 else 0.040)
    assert hedging.delay == 0.040
    for _ in range(4000):
        hedging.add(0.010)
    assert hedging.delay == 0.010
    taken, requests = 0, 10_000
    for _ in range(requests):
        taken += hedging.take()
        hedging.add(0.010)
    assert SHARE * requests - 2 <= taken <= SHARE * requests + 11
