"""Plans over thousands of random placements: what holds for every step, for every place to begin, and at the end."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragops.services.qdrant.cluster.planner import Goal, Placement, Plan, Shard, Step, Verb, next_step, plan

LOOK = settings(max_examples=500, deadline=None)
PEERS = [11, 12, 13, 14, 15, 16, 17]
SEEDS = st.integers(0, 2**32)


@st.composite
def placements(draw: st.DrawFn, *, settled: bool = False) -> Placement:
    """Any placement: too many and too few replicas, idle ones, nodes away. `settled`: all replicas are active.

    Filled from one seed: a draw for each replica takes fifty times as long as its plan.
    """
    nodes, collections = draw(st.integers(1, len(PEERS))), draw(st.integers(1, 4))
    dice = random.Random(draw(SEEDS))
    peers = PEERS[:nodes]
    alive = peers if settled else dice.sample(peers, dice.randint(1, nodes))
    shards = []
    for collection in "abcd"[:collections]:
        wanted = dice.randint(1, 4)
        for number in range(dice.randint(1, 6)):
            holders = frozenset(dice.sample(peers, dice.randint(1, min(5, nodes))))
            idle = frozenset() if settled else frozenset(dice.sample(sorted(holders), dice.randint(0, 1)))
            weight = dice.choice([1, 1, 3, 10, 1000, 50_000])
            is_moving = not settled and dice.randint(0, 9) == 0
            shards.append(Shard(collection, number, holders - idle, wanted, idle, weight, is_moving))
    return Placement(tuple(shards), tuple(sorted(alive)))


@st.composite
def goals(draw: st.DrawFn) -> Goal:
    """Any goal."""
    balance, dice = draw(st.booleans()), random.Random(draw(SEEDS))
    drained = frozenset(dice.sample(PEERS, dice.randint(0, 3)))
    factors = {name: dice.randint(1, 5) for name in dice.sample("abcd", dice.randint(0, 2))}
    only = frozenset(dice.choice(["", "", "a", "bd"]))
    return Goal(balance, drained, factors, only)


def states(placement: Placement, goal: Goal) -> list[tuple[Step, Placement, Placement]]:
    found = []
    for step in plan(placement, goal).steps:
        found.append((step, placement, placement.after(step)))
        placement = found[-1][2]
    return found


def end(placement: Placement, goal: Goal) -> Placement:
    steps = states(placement, goal)
    return steps[-1][2] if steps else placement


def shard_of(placement: Placement, step: Step) -> Shard:
    return next(one for one in placement.shards if (one.collection, one.number) == (step.collection, step.shard))


def wanted(shard: Shard, placement: Placement, goal: Goal) -> int:
    places = (set(placement.alive) - goal.drained) | (shard.holders - goal.drained)
    return min(goal.factors.get(shard.collection, shard.wanted), len(places))


# --- what holds for every step -------------------------------------------------------------------------------------


@LOOK
@given(placements(), goals())
def test_every_step_can_be_done(placement: Placement, goal: Goal) -> None:
    for step, before, _after in states(placement, goal):
        shard = shard_of(before, step)
        assert not shard.is_moving
        assert goal.includes(shard.collection)
        if step.verb is Verb.DROP:
            assert step.source in shard.holders
            assert (shard.active & set(before.alive)) - {step.source}, "another active replica is left"
            assert step.target == 0
        else:
            assert step.source in shard.active
            assert {step.source, step.target} <= set(before.alive)
            assert step.target not in shard.holders, "a node has a shard once"
            assert step.target not in goal.drained


@LOOK
@given(placements(), goals())
def test_no_step_takes_the_active_replicas_below_two_or_what_is_wanted(placement: Placement, goal: Goal) -> None:
    for step, before, after in states(placement, goal):
        alive = set(before.alive)
        had, has = (len(shard_of(one, step).active & alive) for one in (before, after))
        enough = min(2, wanted(shard_of(before, step), before, goal))
        assert has >= min(had, enough)


@LOOK
@given(placements(), goals())
def test_a_plan_ends_and_moves_no_replica_for_nothing(placement: Placement, goal: Goal) -> None:
    steps = plan(placement, goal).steps
    assert len(set(steps)) == len(steps)
    seen = [placement, *(after for *_, after in states(placement, goal))]
    assert len({one.shards for one in seen}) == len(seen), "no placement is passed through twice"
    replicas = sum(max(len(one.holders), wanted(one, placement, goal)) for one in placement.shards)
    assert len(steps) <= 2 * replicas


@LOOK
@given(placements(), goals(), st.data())
def test_a_plan_that_was_interrupted_goes_on_to_the_same_end(
    placement: Placement, goal: Goal, data: st.DataObject
) -> None:
    steps = states(placement, goal)
    if steps:
        done = data.draw(st.integers(1, len(steps)))
        assert end(steps[done - 1][2], goal) == steps[-1][2]


# --- what holds at the end -----------------------------------------------------------------------------------------


@LOOK
@given(placements(settled=True), goals())
def test_at_the_end_every_shard_is_where_it_is_to_be(placement: Placement, goal: Goal) -> None:
    goal = replace(goal, only=frozenset())
    if set(placement.alive) <= goal.drained:
        return
    for shard in end(placement, goal).shards:
        assert not shard.holders & goal.drained
        assert len(shard.active) == wanted(shard, placement, goal)


@LOOK
@given(placements(settled=True), goals())
def test_at_the_end_no_node_has_two_more_shards_of_a_collection_than_another(placement: Placement, goal: Goal) -> None:
    goal = replace(goal, only=frozenset(), balance=True)
    allowed = [peer for peer in placement.alive if peer not in goal.drained]
    final = end(placement, goal)
    for collection in {one.collection for one in final.shards if allowed}:
        counts = Counter(peer for one in final.shards if one.collection == collection for peer in one.active)
        assert max(counts[peer] for peer in allowed) - min(counts[peer] for peer in allowed) <= 1


@LOOK
@given(placements(settled=True))
def test_at_the_end_no_single_move_would_even_out_the_load(placement: Placement) -> None:
    final = end(placement, Goal())
    load = Counter(dict.fromkeys(final.alive, 0))
    counts: Counter[tuple[str, int]] = Counter()
    for one in final.shards:
        for peer in one.active:
            load[peer] += one.weight
            counts[one.collection, peer] += 1
    tolerated = 0.1 * load.total() / len(final.alive)
    for shard in final.shards:
        for source in shard.active:
            for target in set(final.alive) - shard.active:
                if counts[shard.collection, source] > counts[shard.collection, target]:
                    assert load[source] - load[target] <= max(shard.weight, tolerated)


@LOOK
@given(placements())
def test_what_is_not_reached_is_named(placement: Placement) -> None:
    found = plan(placement, Goal())
    final = end(placement, Goal())
    for shard in final.shards:
        whole = len(shard.holders) == wanted(shard, placement, Goal()) and shard.active & set(placement.alive)
        named = any(text.startswith(f"{shard.collection}/{shard.number}: ") for text in found.blocked)
        assert whole or named


# --- single cases --------------------------------------------------------------------------------------------------


def docs(*holders: str, wanted: int = 2, **more: int) -> tuple[Shard, ...]:
    """Shards of one collection, each by the digits of its nodes."""
    return tuple(
        Shard("docs", number, frozenset(map(int, nodes)), wanted, weight=more.get("weight", 1))
        for number, nodes in enumerate(holders)
    )


def test_new_nodes_get_no_more_than_their_share() -> None:
    found = plan(Placement(docs("12", "23", "13", "12", "23", "13"), (1, 2, 3, 4, 5)), Goal())
    assert len(found.steps) == 4, "of twelve replicas on three nodes, four are the share of two more"
    assert {step.verb for step in found.steps} == {Verb.MOVE}
    assert Counter(step.target for step in found.steps) == {4: 2, 5: 2}


def test_what_is_balanced_stays() -> None:
    assert plan(Placement(docs("12", "23", "13"), (1, 2, 3)), Goal()) == Plan(())


def test_a_node_is_drained_by_moves_or_by_drops_where_enough_are_left() -> None:
    drained = Goal(drained=frozenset({3}), balance=False)
    (step,) = plan(Placement(docs("13"), (1, 2, 3)), drained).steps
    assert step == Step(Verb.MOVE, "docs", 0, 3, 2)
    (step,) = plan(Placement(docs("123", wanted=3), (1, 2, 3)), drained).steps
    assert step == Step(Verb.DROP, "docs", 0, 3)


def test_a_dead_node_is_drained_by_copies_of_what_others_have() -> None:
    found = plan(Placement(docs("13", "23"), (1, 2, 4)), Goal(drained=frozenset({3}), balance=False))
    assert [step.verb for step in found.steps] == [Verb.REPLICATE, Verb.REPLICATE, Verb.DROP, Verb.DROP]
    assert all(step.source == 3 for step in found.steps[2:])


def test_the_only_replica_on_a_dead_node_is_named_and_left() -> None:
    found = plan(Placement(docs("3"), (1, 2)), Goal(drained=frozenset({3})))
    assert found == Plan((), ("docs/0: no node that answers has an active replica",))


def test_a_shard_with_one_replica_left_comes_first() -> None:
    shards = (*docs("12", "23", wanted=3), Shard("z", 0, frozenset({1}), 2))
    first = next_step(Placement(shards, (1, 2, 3)), Goal())
    assert first == Step(Verb.REPLICATE, "z", 0, 1, 3)


@pytest.mark.parametrize(("factor", "verbs"), [(3, [Verb.REPLICATE] * 3), (2, []), (1, [Verb.DROP] * 3)])
def test_another_number_of_replicas(factor: int, verbs: list[Verb]) -> None:
    found = plan(Placement(docs("12", "23", "13"), (1, 2, 3)), Goal(factors={"docs": factor}))
    assert [step.verb for step in found.steps] == verbs
    final = end(Placement(docs("12", "23", "13"), (1, 2, 3)), Goal(factors={"docs": factor}))
    assert Counter(peer for one in final.shards for peer in one.active) == dict.fromkeys((1, 2, 3), factor)


def test_an_idle_replica_is_dropped_before_an_active_one() -> None:
    shard = Shard("docs", 0, frozenset({1, 2}), 2, idle=frozenset({3}))
    assert next_step(Placement((shard,), (1, 2, 3)), Goal()) == Step(Verb.DROP, "docs", 0, 3)


def test_large_collections_do_not_share_a_node_while_another_has_small_ones() -> None:
    large = [Shard(name, 0, frozenset({1, 2}), 2, weight=1_000_000) for name in ("a", "b")]
    small = [Shard(name, 0, frozenset(pair), 2, weight=10) for name, pair in (("c", {3, 4}), ("d", {4, 5}))]
    final = end(Placement((*large, *small), (1, 2, 3, 4, 5)), Goal())
    load = Counter(peer for one in final.shards for peer in one.active if one.weight > 10)
    assert set(load.values()) == {1}
