"""How many shards and copies a collection gets, and what is said of one that has others."""

from __future__ import annotations

from typing import Any

import pytest

from ragops.services.contract import Endpoint, Node
from ragops.services.qdrant import shard_layout
from ragops.services.qdrant.shard_layout import LayoutRules, ShardLayout

MILLION = 1_000_000


def info(shards: int, copies: int, points: int = 0, size: int = 768, **metadata: Any) -> dict[str, Any]:
    """The answer to `GET /collections/NAME` of such a collection."""
    params = {"vectors": {"size": size}, "shard_number": shards, "replication_factor": copies}
    return {"points_count": points, "config": {"params": params, "metadata": metadata or None}}


@pytest.mark.parametrize(
    ("nodes", "points", "numbers", "shards", "copies", "on_every_node"),
    [
        (3, 0, 384, 1, 3, True),
        (3, 3 * MILLION, 768, 1, 3, True),
        (3, 3 * MILLION + 1, 768, 3, 2, False),
        (3, 6 * MILLION, 384, 1, 3, True),  # half the numbers, half the bytes
        (3, 10 * MILLION, 768, 6, 2, False),
        (5, 10 * MILLION, 768, 5, 2, False),
        (5, 1000, 768, 1, 5, True),
        (1, 1000, 768, 1, 1, False),
        (1, 10 * MILLION, 768, 4, 1, False),
        (3, 18 * MILLION, 0, 1, 3, True),  # words alone
        (3, 19 * MILLION, 0, 3, 2, False),
    ],
)
def test_one_shard_on_every_node_until_it_holds_the_points_no_more(
    nodes: int, points: int, numbers: int, shards: int, copies: int, on_every_node: bool
) -> None:
    found = LayoutRules(nodes).choose(points, numbers)
    assert (found.shards, found.copies, found.on_every_node) == (shards, copies, on_every_node)


def test_what_is_set_wins() -> None:
    assert LayoutRules(3, shards=6, copies=2).choose(10, 384) == ShardLayout(6, 2, expected=10, is_set=True)
    assert LayoutRules(3, copies=2).choose(10, 384) == ShardLayout(1, 2, expected=10)
    assert LayoutRules(3, shards=6).choose(10, 384, shards=1) == ShardLayout(1, 3, True, 10, is_set=True)
    assert LayoutRules(3).choose(10, 384, shards=4) == ShardLayout(4, 2, expected=10, is_set=True)


def test_the_rules_are_those_of_a_cluster_alone() -> None:
    one = Endpoint("qdrant", "qdrant", "1.18.3", "docker", "127.0.0.1", 6333)
    assert LayoutRules.of(one) is None
    nodes = tuple(Node(f"qdrant-{number}", "") for number in (1, 2, 3))
    three = Endpoint("qdrant", "qdrant", "1.18.3", "docker", "127.0.0.1", 6333, nodes=nodes)
    assert LayoutRules.of(three) == LayoutRules(3)
    assert LayoutRules(3).least_copies == 2
    assert LayoutRules(1).least_copies == 1
    assert LayoutRules(3, copies=1).least_copies == 1


def test_a_collection_with_a_copy_on_every_node_follows_the_nodes_until_somebody_sets_another_number() -> None:
    made = info(1, 3, ragops_copy_on_every_node=3)
    factors = {"replication_factor": 5, "write_consistency_factor": 3}
    change = {"params": factors, "metadata": {"ragops_copy_on_every_node": 5}}
    assert shard_layout.following_nodes(made, 5) == change
    assert shard_layout.following_nodes(made, 3) is None
    assert shard_layout.following_nodes(info(1, 2, ragops_copy_on_every_node=3), 5) is None, "set to 2 by somebody"
    assert shard_layout.following_nodes(info(1, 3), 5) is None, "not made by us"


def test_the_layout_is_read_back_as_it_was_written() -> None:
    for made in (LayoutRules(3).choose(10, 4), LayoutRules(3).choose(9 * MILLION, 768), ShardLayout(4, 2, is_set=True)):
        body = made.placement()
        found = info(body["shard_number"], body["replication_factor"], **body["metadata"])
        assert shard_layout.layout_of(found) == made


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (info(6, 2, 33_770, 384), "docs has 6 shards in 2 copies for 33,770 points; a search asks every shard"),
        (info(1, 3, 4 * MILLION, ragops_copy_on_every_node=3), "3 shards in 2 copies would hold them better"),
        (info(1, 3, 1000), ""),
        (info(1, 2, 1000), ""),
        (info(3, 2, 4 * MILLION), ""),
        (info(6, 2, 1000, ragops_shards_set=6), ""),
        (info(6, 2, 1000, ragops_expected_points=10 * MILLION), ""),
    ],
)
def test_a_layout_is_worse_if_its_shards_are_too_many_or_too_few(found: dict[str, Any], words: str) -> None:
    said = shard_layout.worse_than_default("docs", found, LayoutRules(3))
    assert words in said
    assert bool(said) == bool(words)


def test_on_a_single_node_no_layout_is_worth_a_change() -> None:
    assert shard_layout.worse_than_default("docs", info(2, 1, 1000), LayoutRules(1)) == ""
