from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any

import pytest

from ragops.services.qdrant.cluster.replicas import Copy, missing_copies
from ragops.services.qdrant.cluster.shards import Replica, ShardMap


def shard_map(*replicas: tuple[int, int, str], count: int = 0, moving: tuple[int, ...] = ()) -> ShardMap:
    rows = tuple(Replica(*row) for row in sorted(replicas))
    return ShardMap(1, count or len({row.shard for row in rows}), rows, frozenset(moving))


def ring(shards: int, peers: int, copies: int) -> ShardMap:
    return shard_map(*((s, 1 + (s + c) % peers, "Active") for s in range(shards) for c in range(copies)))


def test_it_reads_what_qdrant_answers() -> None:
    answer: dict[str, Any] = {
        "peer_id": 11,
        "shard_count": 2,
        "local_shards": [{"shard_id": 1, "points_count": 5, "state": "Active"}],
        "remote_shards": [
            {"shard_id": 0, "peer_id": 22, "state": "Dead", "shard_key": "k"},
            {"shard_id": 1, "peer_id": 22, "state": "Active"},
        ],
        "shard_transfers": [{"shard_id": 0, "from": 1, "to": 2}],
    }
    found = ShardMap.of(answer)
    assert found.replicas == (Replica(0, 22, "Dead", "k"), Replica(1, 11, "Active"), Replica(1, 22, "Active"))
    assert (found.peer, found.shard_count, found.moving) == (11, 2, {0})
    assert found.inactive() == (Replica(0, 22, "Dead", "k"),)
    assert not found.settled


def test_sources_are_spread_evenly() -> None:
    chosen = ring(6, 3, 2).sources({1, 2, 3})
    assert sorted(chosen) == list(range(6))
    assert sorted(Counter(chosen.values()).values()) == [2, 2, 2]


def test_sources_are_spread_over_those_that_answer() -> None:
    chosen = ring(6, 3, 2).sources({1, 3})
    assert sorted(chosen) == list(range(6))
    assert set(chosen.values()) == {1, 3}
    assert sorted(Counter(chosen.values()).values()) == [3, 3]


def test_shards_with_the_least_choice_come_first() -> None:
    found = shard_map((0, 1, "Active"), (0, 2, "Active"), (1, 1, "Active"))
    assert found.sources({1, 2}) == {0: 2, 1: 1}


def fewest_possible(found: ShardMap, peers: int) -> int:
    """Of all ways to choose, tried one by one, the least that the busiest peer has."""
    able = [[replica.peer for replica in replicas if replica.peer <= peers] for replicas in found.shards().values()]
    return min(max(Counter(way).values()) for way in itertools.product(*able))


@pytest.mark.parametrize("seed", range(60))
def test_no_other_choice_would_spread_them_better(seed: int) -> None:
    chance = random.Random(seed)
    peers, copies = chance.randrange(2, 6), chance.randrange(1, 3)
    rows = [(s, peer, "Active") for s in range(8) for peer in chance.sample(range(1, peers + 1), copies)]
    found = shard_map(*rows)
    chosen = found.sources(set(range(1, peers + 1)))
    assert sorted(chosen) == list(range(8))
    assert {(shard, peer, "Active") for shard, peer in chosen.items()} <= set(rows)
    assert max(Counter(chosen.values()).values()) == fewest_possible(found, peers)


def test_hundreds_of_shards_are_spread_too() -> None:
    chosen = ring(600, 9, 3).sources(set(range(1, 10)))
    assert sorted(Counter(chosen.values()).values()) == [66] * 3 + [67] * 6


def test_only_active_replicas_are_sources() -> None:
    found = shard_map((0, 1, "Dead"), (0, 2, "Active"), (1, 1, "Partial"))
    assert found.sources({1, 2}) == {0: 2}
    assert found.unserved({1, 2}) == (1,)
    assert found.unserved({1}) == (0, 1)


def test_a_shard_that_nobody_has_is_not_served() -> None:
    assert shard_map((0, 1, "Active"), count=2).unserved({1}) == (1,)


def test_settled_is_all_there_all_active_nothing_on_its_way() -> None:
    assert ring(6, 3, 2).settled
    assert not shard_map((0, 1, "Active"), count=2).settled
    assert not shard_map((0, 1, "Active"), (0, 2, "Partial")).settled
    assert not shard_map((0, 1, "Active"), moving=(0,)).settled


def test_missing_copies_go_where_the_fewest_are() -> None:
    found = shard_map((0, 1, "Active"), (1, 1, "Active"), (1, 2, "Active"), (2, 2, "Active"))
    load = Counter({1: 2, 2: 2, 3: 0})
    assert missing_copies(found, 2, [1, 2, 3], load) == [Copy(0, 1, 3), Copy(2, 2, 3)]
    assert load[3] == 2


def test_no_copy_is_made_of_what_nobody_has_nor_twice_on_one_node() -> None:
    assert missing_copies(shard_map((0, 1, "Dead")), 2, [1, 2], Counter()) == []
    assert missing_copies(shard_map((0, 1, "Active")), 3, [1, 2], Counter()) == [Copy(0, 1, 2)]
    assert missing_copies(ring(6, 3, 2), 2, [1, 2, 3], Counter()) == []


def test_a_shard_is_copied_once_at_a_time() -> None:
    assert missing_copies(shard_map((0, 1, "Active")), 3, [1, 2, 3], Counter()) == [Copy(0, 1, 2)]
    assert missing_copies(shard_map((0, 1, "Active"), moving=(0,)), 3, [1, 2, 3], Counter()) == []
