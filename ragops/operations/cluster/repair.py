"""Repair of replicas that differ: those that a majority contradicts are dropped and copied again, one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.errors import IntegrityError, InterruptedRunError
from ragops.operations.cluster.moves import ChangePlan, Request, carry_out, check_request, name_step
from ragops.operations.cluster.status import open_cluster
from ragops.operations.cluster.verify import verify
from ragops.services.qdrant.cluster.changes import placement_of, weights_of
from ragops.services.qdrant.cluster.repair_plan import Divergence, InOrder, plan_repair
from ragops.services.qdrant.cluster.topology import read_topology

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ragops.adapters.progress import OnProgress
    from ragops.operations.cluster.moves import Choose
    from ragops.operations.cluster.verify import ClusterVerification, ShardVerification
    from ragops.operations.session import Session
    from ragops.services.qdrant.cluster.planner import Step
    from ragops.services.qdrant.cluster.shard_order import Pace
    from ragops.services.qdrant.cluster.topology import Topology

    Confirm = Callable[["RepairPlan"], bool]


@dataclass(frozen=True)
class RepairPlan:
    """The comparison of the replicas, and the steps that make those that differ again."""

    found: ClusterVerification
    change: ChangePlan


@dataclass(frozen=True)
class RepairResult:
    """The plan, how many steps were done, and the comparison of the repaired shards after them."""

    plan: RepairPlan
    done: int
    after: ClusterVerification | None = None


@dataclass(frozen=True)
class _Repair(Request):
    """The request of a repair with its steps: which replica is right cannot be seen from where replicas are."""

    planned: tuple[Step, ...] = ()

    def choose(self, _topology: Topology) -> Choose:
        """Return what chooses the steps in their order."""
        return InOrder(self.planned)


def plan(session: Session, collections: Sequence[str], show: OnProgress, *, deep: bool) -> RepairPlan:
    """Compare the replicas of all shards, of `collections` if any are named, and return what a repair would do.

    Raises as `verify` and `plan_change`.
    """
    return _plan(session, collections, show, deep=deep)[0]


def repair(
    session: Session, collections: Sequence[str], confirm: Confirm | None, show: OnProgress, pace: Pace, *, deep: bool
) -> RepairResult:
    """Make the replicas again that differ from the majority of their shard; a killed run is continued by the next one.

    `confirm` is asked before anything is changed; None means yes. Shards without a majority are in the plan as blocked.
    Raises as `verify` and `change`, IntegrityError (replicas_differ) if some that were repaired differ again.
    """
    with session.changing():
        found, request, topology = _plan(session, collections, show, deep=deep)
        if found.change.is_empty:
            session.cluster_journal().end()
            return RepairResult(found, 0)
        if confirm and not confirm(found):
            raise InterruptedRunError("declined", "nothing was changed", "")
        done = carry_out(session, request, topology, show, pace)
        after = verify(session, sorted({step.collection for step in request.planned}), show, deep=deep)
        session.cluster_journal().end()
        _require_equal(request.planned, after)
        return RepairResult(found, done, after)


def _plan(
    session: Session, collections: Sequence[str], show: OnProgress, *, deep: bool
) -> tuple[RepairPlan, _Repair, Topology]:
    words = ("repair", *collections, *(["--deep"] if deep else []))
    with open_cluster(session) as (endpoint, nodes):
        topology = read_topology(endpoint, nodes)
    resumes = check_request(session, Request(words, only=frozenset(collections)), topology)
    compared = verify(session, collections, show, deep=deep)
    with open_cluster(session) as (endpoint, nodes):
        topology = read_topology(endpoint, nodes)
    divergences = [_divergence(one, topology) for one in compared.differing]
    made = plan_repair(placement_of(topology, weights_of(topology)), divergences, frozenset(collections))
    steps = tuple(name_step(step, topology) for step in made.steps)
    change = ChangePlan(steps, made.blocked, {}, resumes)
    return RepairPlan(compared, change), _Repair(words, only=frozenset(collections), planned=made.steps), topology


def _divergence(one: ShardVerification, topology: Topology) -> Divergence:
    peers = {node.name: node.peer for node in topology.nodes if node.peer}
    agree = frozenset(peers[name] for name in one.agree if name in peers)
    return Divergence(one.collection, one.shard, agree, frozenset(peers[n] for n in one.points if n in peers) - agree)


def _require_equal(steps: Sequence[Step], after: ClusterVerification) -> None:
    repaired = {(step.collection, step.shard) for step in steps}
    left = [f"{one.collection}/{one.shard}" for one in after.differing if (one.collection, one.shard) in repaired]
    if left:
        what = f"cannot repair {', '.join(left)}: replicas that were copied again differ again"
        raise IntegrityError("replicas_differ", what, "`ragops logs qdrant` may show why a node loses writes")
