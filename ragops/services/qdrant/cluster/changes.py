"""Carries out steps of a plan, one at a time: the next one is chosen when the cluster is whole again.

A run may end at any moment. The cluster completes a transfer that has begun; one that is aborted leaves no replica
(a move) or one that its node fills by itself (a copy). The next run waits for it and chooses its steps from there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ragops.adapters import cancellation
from ragops.adapters.progress import Progress, ignore_progress
from ragops.adapters.wait import wait_until
from ragops.errors import RagopsError, UnhealthyError
from ragops.services.qdrant.cluster.nodes import connect
from ragops.services.qdrant.cluster.planner import Placement, Shard
from ragops.services.qdrant.cluster.shard_order import Pace, ShardOrder, describe, transfer_failed
from ragops.services.qdrant.cluster.topology import read_topology

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ragops.adapters.progress import OnProgress
    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.cluster.planner import Step
    from ragops.services.qdrant.cluster.topology import Topology

    Choose = Callable[[Placement], Step | None]

SERVICE = "qdrant"
_ANSWER_SECONDS = 90.0
_POLL = 0.5
_ATTEMPTS = 3
_MOST_STEPS = 10_000


def placement_of(topology: Topology, weights: Mapping[str, int]) -> Placement:
    """Return the placement that plans are made from; `weights` of shards (COLLECTION/NUMBER) count before points."""
    shards = []
    for one in topology.collections:
        for number, replicas in one.shards.shards().items():
            active = frozenset(replica.peer for replica in replicas if replica.active)
            idle = frozenset(replica.peer for replica in replicas) - active
            weight = weights.get(f"{one.name}/{number}", one.points.get(number, 0))
            moving = number in one.shards.moving
            shards.append(Shard(one.name, number, active, one.factor, idle, max(weight, 1), moving))
    return Placement(tuple(shards), tuple(node.peer for node in topology.nodes if node.answers))


def weights_of(topology: Topology) -> dict[str, int]:
    """Return the weight of every shard as it is now, so that a plan stays the same while points are written."""
    return {f"{one.name}/{shard}": count for one in topology.collections for shard, count in one.points.items()}


@dataclass(frozen=True)
class Work:
    """A change of the cluster `endpoint`: `choose` returns the next step, None at the end.

    `excused` are nodes that may be away. `note` hears of each step before it begins, `show` of the progress.
    """

    endpoint: Endpoint
    choose: Choose
    weights: Mapping[str, int] = field(default_factory=dict)
    excused: frozenset[str] = frozenset()
    pace: Pace = field(default_factory=Pace)
    note: Callable[[Step], None] = ignore_progress
    show: OnProgress = ignore_progress

    def run(self) -> int:
        """Do all steps; returns how many were done. Raises UnhealthyError (qdrant_not_active, shard_transfer_failed).

        Raises RagopsError (qdrant_error) if the server refuses a step, InterruptedRunError.
        """
        failures: dict[Step, int] = {}
        for done in range(_MOST_STEPS):
            topology = self._wait_settled()
            step = self.choose(placement_of(topology, self.weights))
            if step is None:
                return done
            if done:
                cancellation.sleep(self.pace.pause)
            self.note(step)
            text = describe(step, topology)
            order = ShardOrder(self.endpoint, step, text, topology, self.excused, self.pace, self.show)
            if not order.carry_out():
                failures[step] = failures.get(step, 0) + 1
                if failures[step] >= _ATTEMPTS:
                    raise transfer_failed(text, f"it was aborted {_ATTEMPTS} times")
        raise transfer_failed("end", "the cluster is changed by others as fast as by this run")

    def _wait_settled(self) -> Topology:
        """Return the cluster once nothing is on its way and every replica that can be is active."""
        faults: tuple[str, ...] = ()
        found: Topology | None = None

        def is_settled() -> bool:
            nonlocal faults, found
            try:
                with connect(self.endpoint, _ANSWER_SECONDS) as nodes:
                    found = read_topology(self.endpoint, nodes)
                faults = tuple(self._unsettled(found))
            except RagopsError as error:
                faults = (error.message,)
            if faults:
                self.show(Progress(SERVICE, f"waiting: {faults[0]}"))
            return not faults

        if wait_until(is_settled, self.pace.limits.settle, _POLL) and found is not None:
            return found
        what = f"cannot continue: after {self.pace.limits.settle:.0f} s {'; '.join(faults[:3])}"
        raise UnhealthyError("qdrant_not_active", what, "`ragops health qdrant`; then run the command again")

    def _unsettled(self, topology: Topology) -> Iterator[str]:
        for node in topology.nodes:
            if node.fault and node.name not in self.excused:
                yield f"{node.name}: {node.fault}"
        gone = frozenset(node.peer for node in topology.nodes if node.name in self.excused)
        for one in topology.collections:
            for shard in sorted(one.shards.moving):
                yield f"{one.name}/{shard} is being moved or copied"
            for replica in one.shards.inactive():
                if replica.peer not in gone:
                    yield f"{one.name}/{replica.shard} on {topology.name_of(replica.peer)} is {replica.state}"
