"""Plans of repairs over random placements: whole at their end, and never with too few right replicas on the way."""

from __future__ import annotations

import random

import pytest

from ragops.errors import UnhealthyError
from ragops.services.qdrant.cluster.planner import Placement, Shard, Step, Verb
from ragops.services.qdrant.cluster.repair_plan import Divergence, InOrder, plan_repair


def drawn(dice: random.Random) -> tuple[Placement, list[Divergence]]:
    """Shards with one to five replicas on up to seven nodes, some of which differ from the others."""
    peers = [100 + number for number in range(dice.randint(1, 7))]
    shards, found = [], []
    for number in range(dice.randint(1, 6)):
        active = frozenset(dice.sample(peers, dice.randint(1, min(5, len(peers)))))
        wanted = min(len(peers), len(active) + dice.choice([0, 0, 1]))
        shards.append(Shard("docs", number, active, wanted, is_moving=dice.random() < 0.1))
        if len(active) > 1 and dice.random() < 0.7:
            differ = frozenset(dice.sample(sorted(active), dice.randint(1, len(active) - 1)))
            agree = active - differ if 2 * len(active - differ) > len(active) else frozenset()
            found.append(Divergence("docs", number, agree, active - agree))
    return Placement(tuple(shards), tuple(peers)), found


@pytest.mark.parametrize("part", range(10))
def test_a_repair_uses_right_replicas_alone_and_never_leaves_fewer_than_two(part: int) -> None:
    for seed in range(part, 2000, 10):
        placement, found = drawn(random.Random(seed))
        made = plan_repair(placement, found)
        wrong = {(one.collection, one.shard): set(one.differ) for one in found}
        blocked = {text.partition(":")[0] for text in made.blocked}
        for step in made.steps:
            key = (step.collection, step.shard)
            assert f"{step.collection}/{step.shard}" not in blocked, seed
            if step.verb is Verb.REPLICATE:
                assert step.source not in wrong.get(key, ()), f"{seed}: a wrong replica is copied"
            placement = placement.after(step)
            right = next(one for one in placement.shards if (one.collection, one.number) == key).active - wrong.get(
                key, set()
            )
            if step.verb is Verb.DROP:
                assert step.source in wrong[key]
                wrong[key].discard(step.source)
                assert len(right) >= 2, seed
        left = {f"{name}/{number}" for (name, number), peers in wrong.items() if peers}
        assert left == blocked, seed


def test_missing_replicas_of_an_interrupted_repair_are_made_again() -> None:
    placement = Placement((Shard("docs", 0, frozenset({1, 2}), 3),), (1, 2, 3))
    assert plan_repair(placement, []).steps == (Step(Verb.REPLICATE, "docs", 0, 1, 3),)


@pytest.mark.parametrize(
    ("shard", "reason"),
    [
        (None, "it is gone"),
        (Shard("docs", 0, frozenset({1, 2, 3}), 3, is_moving=True), "it is being moved or copied"),
        (Shard("docs", 0, frozenset({1, 2}), 3, idle=frozenset({3})), "not all of its replicas are active"),
        (Shard("docs", 0, frozenset({1, 2, 4}), 3), "not all of its replicas are active"),
    ],
)
def test_a_shard_that_is_not_as_it_was_compared_is_left_alone(shard: Shard | None, reason: str) -> None:
    placement = Placement((shard,) if shard else (), (1, 2, 3, 4))
    made = plan_repair(placement, [Divergence("docs", 0, frozenset({1, 2}), frozenset({3}))])
    assert (made.steps, made.blocked) == ((), (f"docs/0: {reason}",))


def test_a_drop_is_refused_if_others_have_changed_the_shard() -> None:
    choose = InOrder((Step(Verb.DROP, "docs", 0, 3), Step(Verb.REPLICATE, "docs", 0, 1, 3)))
    whole = Placement((Shard("docs", 0, frozenset({1, 2, 3}), 3),), (1, 2, 3))
    assert choose(whole) == Step(Verb.DROP, "docs", 0, 3)
    fewer = Placement((Shard("docs", 0, frozenset({1, 3}), 3),), (1, 2, 3))
    with pytest.raises(UnhealthyError, match="fewer than two others are active"):
        choose(fewer)
    assert choose(Placement((), (1, 2, 3))) is None, "its collection was deleted"
