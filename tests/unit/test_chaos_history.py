"""The checker of the fault campaign: it accepts what a store that loses nothing answers, and rejects every forgery."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.chaos.history import ANY_NODE, History, Outage, Read, Write, check

if TYPE_CHECKING:
    from pathlib import Path

NODES = ("a", "b", "c")


def kinds(history: History) -> list[str]:
    return [violation.kind for violation in check(history).violations]


def seen(version: int | None, start: float, end: float | None = None, node: str = "a", key: int = 1) -> Read:
    return Read(key, version, node, start, start + 0.1 if end is None else end)


def test_an_acknowledged_write_is_there() -> None:
    writes = [Write(1, 1, 0, 1), Write(1, 2, 2, 3)]
    assert kinds(History(writes, [seen(2, 4)])) == []
    assert kinds(History(writes, [seen(1, 4)])) == ["lost"]
    assert kinds(History(writes, [seen(None, 4)])) == ["lost"]


def test_a_key_that_nobody_wrote_is_not_there() -> None:
    assert kinds(History([], [seen(None, 1)])) == []
    assert kinds(History([], [seen(7, 1)])) == ["invented"]
    assert kinds(History([Write(1, 1, 0, 1)], [seen(7, 4)])) == ["invented"]


def test_a_write_that_is_under_way_may_be_seen_or_not() -> None:
    writes = [Write(1, 1, 0, 1), Write(1, 2, 2, 5)]
    assert kinds(History(writes, [seen(1, 3), seen(2, 3), seen(1, 4.9, 6)])) == []
    assert kinds(History(writes, [seen(None, 3)])) == ["lost"]
    assert kinds(History(writes, [seen(2, 1.2, 1.5)])) == ["lost"], "before its call"


def test_a_deleted_point_does_not_return() -> None:
    writes = [Write(1, 1, 0, 1), Write(1, None, 2, 3)]
    assert kinds(History(writes, [seen(None, 4), seen(1, 2.5)])) == []
    assert kinds(History(writes, [seen(1, 3.5)])) == ["returned"]


def test_a_write_without_an_answer_may_take_effect_at_any_time() -> None:
    writes = [Write(1, 1, 0, 1), Write(1, 2, 2, None)]
    assert kinds(History(writes, [seen(1, 9), seen(2, 10)])) == []
    assert kinds(History(writes, [seen(2, 1.2, 1.5)])) == ["lost"], "not before its call"


def test_a_late_effect_is_counted() -> None:
    """An attempt that was given up takes effect after a later write: allowed, and seen."""
    writes = [Write(1, 1, 0, None), Write(1, None, 2, 3)]
    found = check(History(writes, [seen(1, 4), seen(None, 5)]))
    assert (found.violations, found.late, found.reads) == ((), 1, 2)


def test_a_node_that_is_out_answers_as_of_the_beginning_of_its_outage() -> None:
    writes = [Write(1, 1, 0, 1), Write(1, 2, 2, 3), Write(1, 3, 6, 7)]
    outage = [Outage("b", 5, 9)]
    found = check(History(writes, [seen(2, 8, node="b")], outages=outage))
    assert (found.stale, found.late) == (1, 0)
    assert kinds(History(writes, [seen(2, 8, node="b")], outages=outage)) == []
    assert kinds(History(writes, [seen(2, 8, node=ANY_NODE)], outages=outage)) == []
    assert kinds(History(writes, [seen(1, 8, node="b")], outages=outage)) == ["lost"], "acknowledged to all before"
    assert kinds(History(writes, [seen(2, 8, node="a")], outages=outage)) == ["lost"], "another node was not out"
    assert kinds(History(writes, [seen(2, 9.5, node="b")], outages=outage)) == ["lost"], "whole again"


def test_a_delete_that_all_acknowledged_holds_on_a_node_that_is_out() -> None:
    writes = [Write(1, 1, 0, 1), Write(1, None, 2, 3)]
    outage = [Outage("b", 5, 9)]
    assert kinds(History(writes, [seen(1, 8, node="b")], outages=outage)) == ["returned"]
    later = [Write(1, 1, 0, 1), Write(1, None, 6, 7)]
    assert kinds(History(later, [seen(1, 8, node="b")], outages=outage)) == []


def test_nodes_agree_at_the_end() -> None:
    open_one = [Write(1, 1, 0, 1), Write(1, 2, 2, None)]
    final = [seen(1, 9, node="a"), seen(2, 9, node="b")]
    assert kinds(History(open_one, final=final)) == [], "a write without an answer may be on some of them"
    settled = [*open_one, Write(1, 3, 4, 5)]
    assert kinds(History(settled, final=[seen(3, 9, node="a"), seen(2, 9, node="b")])) == ["differs"]
    assert kinds(History(settled, final=[seen(3, 9, node="a"), seen(1, 9, node="b")])) == ["lost", "differs"]


def test_a_history_survives_being_stored(tmp_path: Path) -> None:
    made = simulate(random.Random(1))
    made.save(tmp_path / "history.json")
    assert History.load(tmp_path / "history.json") == made


# --- histories of a simulated store ----------------------------------------------------------------------------------


def simulate(dice: random.Random, keys: int = 8, steps: int = 40) -> History:
    """A store that takes every write at one moment between its call and its answer, or later if it has no answer."""
    history = History()
    for key in range(keys):
        effects: list[tuple[float, int | None]] = []  # when, what
        now = dice.uniform(0, 1)
        for version in range(1, steps + 1):
            value = None if dice.random() < 0.3 else version
            start, end = now, now + dice.uniform(0.01, 1)
            if dice.random() < 0.15:
                if dice.random() < 0.7:
                    effects.append((dice.uniform(start, start + 20), value))
                history.writes.append(Write(key, value, start, None))
            else:
                effects.append((dice.uniform(start, end), value))
                history.writes.append(Write(key, value, start, end))
            now = end + dice.uniform(0.001, 0.3)
        effects.sort(key=lambda effect: effect[0])
        for _ in range(steps):
            start = dice.uniform(0, now)
            end = start + dice.uniform(0.001, 0.5)
            history.reads.append(Read(key, _at(effects, dice.uniform(start, end)), dice.choice(NODES), start, end))
        over = now + 30
        history.final += [Read(key, _at(effects, over), node, over, over + 0.1) for node in NODES]
    return history


def _at(effects: list[tuple[float, int | None]], moment: float) -> int | None:
    return next((value for when, value in reversed(effects) if when <= moment), None)


@pytest.mark.parametrize("seed", range(40))
def test_a_store_that_loses_nothing_is_accepted(seed: int) -> None:
    found = check(simulate(random.Random(seed)))
    assert found.violations == ()
    assert found.stale == 0


@pytest.mark.parametrize("seed", range(40))
def test_a_store_that_forgets_a_write_is_rejected(seed: int) -> None:
    """One acknowledged write, after which the key was not written again, is gone on one node or on all."""
    dice = random.Random(seed)
    history = simulate(dice)
    last = {write.key: write for write in history.writes}
    settled = [write for write in last.values() if write.end is not None]
    victim = dice.choice(settled)
    open_versions = {write.version for write in history.writes if write.key == victim.key and write.end is None}
    olds = [write.version for write in history.writes if write.key == victim.key and write is not victim]
    wrong = next(version for version in [*reversed(olds), None] if version not in {victim.version, *open_versions})
    nodes = NODES if dice.random() < 0.5 else (dice.choice(NODES),)
    history.final = [
        replace(read, version=wrong) if read.key == victim.key and read.node in nodes else read
        for read in history.final
    ]
    found = check(history)
    assert {violation.key for violation in found.violations} == {victim.key}
    assert {violation.kind for violation in found.violations} <= {"lost", "returned", "differs"}
