"""Plans changes of where replicas are: from the placement and a goal to steps, one after the other. Pure.

`next_step` depends on the placement alone, so a plan that was interrupted is planned again from wherever it got to, and
ends the same. It ends: what is missing, on a node to be drained, or too many becomes less with each step; and a step
that balances lowers the squares of replicas of one collection on a node, summed up, or keeps them and lowers those of
the weights on a node. Both have no worse neighbours at their least: counts of a collection differ by one at most.

No step takes the active replicas of a shard below two, or below what it is to have: a move keeps its source until the
target is active, and a replica is dropped only if enough others are active.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SAFE = 2  # active replicas that no step goes below
# Differences of weight that are not worth a transfer, of the average weight of a node.
_TOLERANCE = 0.1


class Verb(StrEnum):
    """What a step does to one replica."""

    MOVE = "move"
    REPLICATE = "replicate"
    DROP = "drop"


@dataclass(frozen=True)
class Step:
    """One change of one shard; `source` has the replica, `target` gets it (0 if it is dropped). Both are peers."""

    verb: Verb
    collection: str
    shard: int
    source: int
    target: int = 0


@dataclass(frozen=True)
class Shard:
    """A shard: the peers whose replica is `active`, those whose replica is `idle`, and how many there are to be.

    `weight` is what a replica costs a node, such as its points. A shard that `is_moving` is changed by no step.
    """

    collection: str
    number: int
    active: frozenset[int]
    wanted: int
    idle: frozenset[int] = frozenset()
    weight: int = 1
    is_moving: bool = False

    @property
    def holders(self) -> frozenset[int]:
        """Return the peers with a replica, active or not."""
        return self.active | self.idle


@dataclass(frozen=True)
class Placement:
    """All shards, and the peers that answer in the order of their nodes."""

    shards: tuple[Shard, ...]
    alive: tuple[int, ...]

    def after(self, step: Step) -> Placement:
        """Return the placement once the step is done."""
        return replace(self, shards=tuple(_after(one, step) for one in self.shards))


@dataclass(frozen=True)
class Goal:
    """What is to be: replicas on no peer of `drained`, as many as wanted, and spread evenly if `balance`.

    `factors` are other numbers of replicas than collections have now. Only the collections of `only` are changed, if
    any are named.
    """

    balance: bool = True
    drained: frozenset[int] = frozenset()
    factors: Mapping[str, int] = field(default_factory=dict)
    only: frozenset[str] = frozenset()

    def includes(self, collection: str) -> bool:
        """Return whether the collection may be changed."""
        return not self.only or collection in self.only


@dataclass(frozen=True)
class Plan:
    """The steps in their order, and what cannot be done, each with its reason."""

    steps: tuple[Step, ...]
    blocked: tuple[str, ...] = ()


def plan(placement: Placement, goal: Goal) -> Plan:
    """Return all steps from here to the goal."""
    steps = []
    while step := next_step(placement, goal):
        steps.append(step)
        placement = placement.after(step)
    return Plan(tuple(steps), tuple(_find_blocked(placement, goal)))


def next_step(placement: Placement, goal: Goal) -> Step | None:
    """Return the next step towards the goal, None if there is none.

    Shards with the fewest active replicas come first, then those on nodes to be drained, then what is too many.
    """
    view = _View(placement, goal)
    steps = [(step, shard) for shard in view.shards if not shard.is_moving and (step := view.mend(shard))]
    if steps:
        return min(steps, key=lambda found: view.urgency(*found))[0]
    return view.balance() if goal.balance else None


class _View:
    """A placement seen with a goal: the weights and counts that decide where a replica goes."""

    def __init__(self, placement: Placement, goal: Goal) -> None:
        self.shards = [one for one in placement.shards if goal.includes(one.collection)]
        self.goal = goal
        self.order = {peer: at for at, peer in enumerate(placement.alive)}
        self.alive = frozenset(placement.alive)
        self.allowed = [peer for peer in placement.alive if peer not in goal.drained]
        self.counts: Counter[tuple[str, int]] = Counter()
        self.load: Counter[int] = Counter()
        for one in placement.shards:
            for peer in one.holders:
                self.counts[one.collection, peer] += 1
                self.load[peer] += one.weight

    def wanted(self, shard: Shard) -> int:
        """Return how many replicas it is to have on the nodes that there are."""
        return min(self.goal.factors.get(shard.collection, shard.wanted), len(self._places(shard)))

    def _places(self, shard: Shard) -> frozenset[int]:
        """Return the peers on which replicas may be: nodes away count if they have one, they come back."""
        return frozenset(self.allowed) | (shard.holders - self.goal.drained)

    def mend(self, shard: Shard) -> Step | None:
        """Return the step that the shard needs before anything is balanced."""
        staying = shard.holders - self.goal.drained
        serving = shard.active & self.alive
        leaving = sorted(serving & self.goal.drained, key=self._position)
        if len(staying) < self.wanted(shard):
            target = self._target(shard)
            if target is None or not serving:
                return None
            if leaving:
                return Step(Verb.MOVE, shard.collection, shard.number, leaving[0], target)
            source = min(serving, key=lambda peer: (self.load[peer], self._position(peer)))
            return Step(Verb.REPLICATE, shard.collection, shard.number, source, target)
        too_many = shard.holders - staying or (staying if len(staying) > self.wanted(shard) else frozenset())
        return self._drop(shard, too_many)

    def _drop(self, shard: Shard, candidates: frozenset[int]) -> Step | None:
        """Return the step that drops one of them: an idle one first, then the one whose node has the most."""
        serving = shard.active & self.alive
        enough = min(_SAFE, self.wanted(shard))
        able = [peer for peer in candidates if serving - {peer} and (peer not in serving or len(serving) > enough)]
        if not able:
            return None
        peer = max(able, key=lambda one: (one not in serving, *self._fullness(shard, one), self._position(one)))
        return Step(Verb.DROP, shard.collection, shard.number, peer)

    def _target(self, shard: Shard) -> int | None:
        free = [peer for peer in self.allowed if peer not in shard.holders]
        return min(free, key=lambda peer: (*self._fullness(shard, peer), self._position(peer)), default=None)

    def _fullness(self, shard: Shard, peer: int) -> tuple[int, int]:
        return self.counts[shard.collection, peer], self.load[peer]

    def _position(self, peer: int) -> tuple[int, int]:
        return self.order.get(peer, len(self.order)), peer

    def urgency(self, step: Step, shard: Shard) -> tuple[int, int, str, int]:
        """Return what to sort steps by."""
        at_stake = len(shard.active & self.alive) if step.verb is Verb.REPLICATE else len(self.order) + 1
        return at_stake, list(Verb).index(step.verb), shard.collection, shard.number

    def balance(self) -> Step | None:
        """Return the move that evens out the most, None if none is worth it."""
        moves = ((gain, step) for shard in self.shards for gain, step in self._moves(shard))
        best = min(moves, key=lambda found: (found[0], found[1].collection, found[1].shard), default=None)
        return best[1] if best else None

    def _moves(self, shard: Shard) -> Iterator[tuple[tuple[int, int, int, int, int], Step]]:
        """Return the moves of the shard that lower what is to be low, with what to sort them by: the best is least."""
        if shard.is_moving or shard.idle or not shard.active <= self.alive:
            return
        tolerated = _TOLERANCE * sum(self.load[peer] for peer in self.allowed) / max(len(self.allowed), 1)
        for source in shard.active - self.goal.drained:
            for target in self.allowed:
                if target in shard.holders:
                    continue
                counts = self.counts[shard.collection, target] - self.counts[shard.collection, source] + 1
                apart = self.load[source] - self.load[target]
                if counts < 0 or (counts == 0 and apart > max(shard.weight, tolerated)):
                    gain = shard.weight * (shard.weight - apart)
                    key = (counts, gain, shard.weight, self.order[source], self.order[target])
                    yield key, Step(Verb.MOVE, shard.collection, shard.number, source, target)


def _after(shard: Shard, step: Step) -> Shard:
    if (shard.collection, shard.number) != (step.collection, step.shard):
        return shard
    active, idle = shard.active, shard.idle
    if step.verb is not Verb.REPLICATE:
        active, idle = active - {step.source}, idle - {step.source}
    if step.target:
        active |= {step.target}
    return replace(shard, active=active, idle=idle)


def _find_blocked(placement: Placement, goal: Goal) -> Iterator[str]:
    view = _View(placement, goal)
    for shard in view.shards:
        name = f"{shard.collection}/{shard.number}"
        if not shard.active & view.alive:
            yield f"{name}: no node that answers has an active replica"
        elif shard.is_moving:
            yield f"{name}: it is being moved or copied"
        elif len(shard.holders - goal.drained) != view.wanted(shard) or shard.holders & goal.drained:
            yield f"{name}: too few of its replicas are active"
