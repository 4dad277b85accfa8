"""Plans the repair of shards whose replicas differ: what differs is dropped and copied from those that agree. Pure.

A majority decides which replica is right, as in reads with `consistency: majority`: more than half of the replicas of a
shard hold the same points. Two that differ have none. Each replica that differs is dropped and made again on its node
before the next one is, so that a shard never has fewer than two active replicas, all of them right.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ragops.errors import UnhealthyError
from ragops.services.qdrant.cluster.planner import Goal, Plan, Step, Verb, next_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ragops.services.qdrant.cluster.planner import Placement, Shard

_SAFE = 2  # active replicas that no step goes below


@dataclass(frozen=True)
class Divergence:
    """A shard whose replicas differ: the peers with those that `agree`, and the peers with the others."""

    collection: str
    shard: int
    agree: frozenset[int]
    differ: frozenset[int]


def plan_repair(placement: Placement, found: Iterable[Divergence], only: frozenset[str] = frozenset()) -> Plan:
    """Return the steps that make all replicas of these shards the same, and those that are missing in `only` again."""
    steps: list[Step] = []
    blocked: list[str] = []
    for one in found:
        if reason := _hindrance(placement, one):
            blocked.append(f"{one.collection}/{one.shard}: {reason}")
            continue
        for step in _steps(placement, one):
            steps.append(step)
            placement = placement.after(step)
    held = frozenset(text.partition(":")[0] for text in blocked)
    while missing := _missing(placement, only, held):
        steps.append(missing)
        placement = placement.after(missing)
    return Plan(tuple(steps), tuple(blocked))


def _steps(placement: Placement, one: Divergence) -> Iterator[Step]:
    order = {peer: at for at, peer in enumerate(placement.alive)}
    source = min(one.agree, key=lambda peer: order[peer])
    for peer in sorted(one.differ, key=lambda peer: order[peer]):
        yield Step(Verb.DROP, one.collection, one.shard, peer)
        yield Step(Verb.REPLICATE, one.collection, one.shard, source, peer)


def _hindrance(placement: Placement, one: Divergence) -> str:
    """Return why the shard cannot be repaired, or nothing."""
    shard = _find(placement, one.collection, one.shard)
    if shard is None:
        return "it is gone"
    if shard.is_moving:
        return "it is being moved or copied"
    if shard.idle or shard.active != one.agree | one.differ or not shard.active <= frozenset(placement.alive):
        return "not all of its replicas are active"
    if 2 * len(one.agree) <= len(shard.active):
        if len(shard.active) == _SAFE:
            return "its two replicas differ, and nothing shows which of them is right"
        return "no majority of its replicas agrees"
    return ""


def _missing(placement: Placement, only: frozenset[str], held: frozenset[str]) -> Step | None:
    """Return the copy of a shard that an interrupted repair has left with too few; of none that still differs."""
    open_ones = tuple(one for one in placement.shards if f"{one.collection}/{one.number}" not in held)
    step = next_step(type(placement)(open_ones, placement.alive), Goal(balance=False, only=only))
    return step if step is not None and step.verb is Verb.REPLICATE else None


def _find(placement: Placement, collection: str, number: int) -> Shard | None:
    return next((one for one in placement.shards if (one.collection, one.number) == (collection, number)), None)


@dataclass
class InOrder:
    """Chooses the steps of a plan one after the other, each again until it is done."""

    steps: Sequence[Step]
    _at: int = field(default=0, init=False)

    def __call__(self, placement: Placement) -> Step | None:
        """Return the next step. Raises UnhealthyError (qdrant_not_active) if it would leave too few replicas."""
        while self._at < len(self.steps) and _is_done(self.steps[self._at], placement):
            self._at += 1
        if self._at == len(self.steps):
            return None
        step = self.steps[self._at]
        shard = _find(placement, step.collection, step.shard)
        staying = (shard.active & frozenset(placement.alive)) - {step.source} if shard else frozenset()
        if step.verb is Verb.DROP and len(staying) < _SAFE:
            what = f"cannot drop a replica of {step.collection}/{step.shard}: fewer than two others are active"
            raise UnhealthyError("qdrant_not_active", what, "`ragops cluster status`; then run the command again")
        return step


def _is_done(step: Step, placement: Placement) -> bool:
    shard = _find(placement, step.collection, step.shard)
    if shard is None:
        return True  # its collection was deleted
    return step.source not in shard.holders if step.verb is Verb.DROP else step.target in shard.active
