"""Changes of where replicas are: rebalance, set-replication, move-shard. Planned first, then done step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ragops.adapters.qdrant.addresses import path_of
from ragops.errors import InterruptedRunError, UnhealthyError, UsageError
from ragops.operations.cluster.status import open_cluster
from ragops.services.qdrant.cluster.changes import Work, placement_of, weights_of
from ragops.services.qdrant.cluster.planner import Goal, Plan, Step, Verb, next_step
from ragops.services.qdrant.cluster.planner import plan as make_plan
from ragops.services.qdrant.cluster.shard_order import Pace, describe
from ragops.services.qdrant.cluster.topology import read_topology

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ragops.adapters.progress import OnProgress
    from ragops.operations.session import Session
    from ragops.services.qdrant.cluster.planner import Placement
    from ragops.services.qdrant.cluster.topology import Topology

    Choose = Callable[[Placement], Step | None]


@dataclass(frozen=True)
class PlannedStep:
    """A step with the names of nodes; `points` are about those of the shard. `target` is empty if it is dropped."""

    action: str
    collection: str
    shard: int
    source: str
    target: str
    points: int


@dataclass(frozen=True)
class ChangePlan:
    """What a change does: `factors` are collections with another replication factor, `blocked` what is not possible.

    `resumes`: an interrupted run of the same command is continued.
    """

    steps: tuple[PlannedStep, ...]
    blocked: tuple[str, ...] = ()
    factors: Mapping[str, int] = field(default_factory=dict)
    resumes: bool = False

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to do."""
        return not self.steps and not self.factors


@dataclass(frozen=True)
class ChangeResult:
    """The plan, and how many steps were done: more or fewer if others changed the cluster."""

    plan: ChangePlan
    done: int


@dataclass(frozen=True)
class Request:
    """A change: `words` are those of its command, `factors` the replicas that collections are to have.

    Nodes of `drained` are to hold nothing, those of `excused` may be away. `step` is the only one that is wanted.
    """

    words: tuple[str, ...]
    balance: bool = False
    factors: Mapping[str, int] = field(default_factory=dict)
    only: frozenset[str] = frozenset()
    drained: frozenset[str] = frozenset()
    excused: frozenset[str] = frozenset()
    step: tuple[str, int, str, str] | None = None

    def goal(self, topology: Topology) -> Goal:
        """Return the goal for the planner."""
        drained = frozenset(node.peer for node in topology.nodes if node.name in self.drained and node.peer)
        return Goal(self.balance, drained, self.factors, self.only)

    def choose(self, topology: Topology) -> Choose:
        """Return what chooses the next step."""
        if self.step is None:
            goal = self.goal(topology)
            return lambda placement: next_step(placement, goal)
        collection, shard, source, target = self.step
        wanted = Step(Verb.MOVE, collection, shard, peer_of(topology, source), peer_of(topology, target))
        return lambda placement: wanted if _is_possible(wanted, placement) else None


def rebalance(*collections: str) -> Request:
    """Return the request to spread replicas evenly, of these collections if any are named, and to make missing ones."""
    return Request(("rebalance", *collections), balance=True, only=frozenset(collections))


def set_replication(collection: str, factor: int) -> Request:
    """Return the request for another number of replicas of each shard."""
    words = ("set-replication", collection, str(factor))
    return Request(words, factors={collection: factor}, only=frozenset({collection}))


def move_shard(collection: str, shard: int, source: str, target: str) -> Request:
    """Return the request to move one replica."""
    words = ("move-shard", collection, str(shard), "--from", source, "--to", target)
    return Request(words, only=frozenset({collection}), step=(collection, shard, source, target))


def plan_change(session: Session, request: Request) -> ChangePlan:
    """Return what the change would do.

    Raises UsageError (not_a_cluster, unknown_collection, unknown_node, too_few_nodes, shard_not_there,
    cluster_change_pending), UnhealthyError (qdrant_node_down).
    """
    with open_cluster(session) as (endpoint, nodes):
        return _plan(session, request, read_topology(endpoint, nodes))


def change(
    session: Session, request: Request, confirm: Callable[[ChangePlan], bool] | None, show: OnProgress, pace: Pace
) -> ChangeResult:
    """Do the change step by step; a run that was killed is continued by the next one.

    `confirm` is asked before anything is changed; None means yes. Raises as `plan_change`, UnhealthyError
    (qdrant_not_active, shard_transfer_failed, qdrant_node_down), InterruptedRunError.
    """
    with session.changing():
        with open_cluster(session) as (endpoint, nodes):
            topology = read_topology(endpoint, nodes)
        found = _plan(session, request, topology)
        if found.is_empty:
            session.cluster_journal().end()
            return ChangeResult(found, 0)
        if confirm and not confirm(found):
            raise InterruptedRunError("declined", "nothing was changed", "")
        done = carry_out(session, request, topology, show, pace)
        session.cluster_journal().end()
        return ChangeResult(found, done)


def carry_out(session: Session, request: Request, topology: Topology, show: OnProgress, pace: Pace) -> int:
    """Note the change in the journal and do its steps; returns how many. The journal is left for its caller to end."""
    journal = session.cluster_journal()
    left = journal.read() or journal.begin(request.words, weights_of(topology))
    endpoint = session.endpoint("qdrant")
    _set_factors(session, _changed_factors(request, topology))
    names = topology

    def note(step: Step) -> None:
        journal.note_step(describe(step, names))

    work = Work(endpoint, request.choose(topology), left.weights, request.excused, pace, note, show)
    return work.run()


def cancel(session: Session) -> str:
    """Forget the interrupted change; what it has done stays. Returns its command, empty if there is none."""
    with session.changing():
        journal = session.cluster_journal()
        left = journal.read()
        journal.end()
    return left.command if left else ""


def refuse_pending(session: Session, words: Sequence[str]) -> bool:
    """Return whether the command continues its own interrupted run. Raises UsageError if another one is pending.

    That is cluster_change_pending, or upgrade_pending while the nodes are of two versions.
    """
    if session.upgrade_journal().read():
        what = "cannot change the cluster: an upgrade was interrupted, and the nodes may be of two versions"
        raise UsageError("upgrade_pending", what, "complete it: `ragops cluster upgrade`")
    left = session.cluster_journal().read()
    if left is not None and left.words != tuple(words):
        what = f"cannot change the cluster: `{left.command}` was interrupted"
        hint = f"continue it: `{left.command}`; or give it up, which leaves what it has done: `ragops cluster cancel`"
        raise UsageError("cluster_change_pending", what, hint)
    return left is not None


def peer_of(topology: Topology, name: str) -> int:
    """Return the peer of a node. Raises UsageError (unknown_node)."""
    node = topology.node(name)
    if node is None or not node.peer:
        known = ", ".join(one.name for one in topology.nodes if one.peer)
        raise UsageError("unknown_node", f"cannot find node {name!r}", f"one of: {known}")
    return node.peer


def check_request(session: Session, request: Request, topology: Topology) -> bool:
    """Return whether the command continues its own interrupted run. Raises as `plan_change`."""
    resumes = refuse_pending(session, request.words)
    _refuse_unknown(request, topology)
    _require_nodes(request, topology)
    return resumes


def _plan(session: Session, request: Request, topology: Topology) -> ChangePlan:
    resumes = check_request(session, request, topology)
    left = session.cluster_journal().read()
    weights = left.weights if left else weights_of(topology)
    placement = placement_of(topology, weights)
    found = make_plan(placement, request.goal(topology)) if request.step is None else _single(request, topology)
    steps = tuple(name_step(step, topology) for step in found.steps)
    return ChangePlan(steps, found.blocked, _changed_factors(request, topology), resumes)


def _single(request: Request, topology: Topology) -> Plan:
    """Return the plan of one move. Raises UsageError (shard_not_there) if it is not possible."""
    placement = placement_of(topology, {})
    step = request.choose(topology)(placement)
    if step is not None:
        return Plan((step,))
    assert request.step is not None  # noqa: S101  for mypy
    collection, number, source, target = request.step
    shard = next((one for one in placement.shards if (one.collection, one.number) == (collection, number)), None)
    target_peer, source_peer = peer_of(topology, target), peer_of(topology, source)
    if shard and target_peer in shard.active and source_peer not in shard.holders:
        return Plan(())  # it is there already: an interrupted run has done it
    if shard is None:
        reason = "there is no such shard"
    elif source_peer not in shard.active:
        reason = f"{source} has no active replica of it"
    elif shard.is_moving:
        return Plan((), (f"{collection}/{number}: it is being moved or copied",))
    else:
        reason = f"{target} has a replica of it already"
    what = f"cannot move {collection}/{number} from {source} to {target}: {reason}"
    raise UsageError("shard_not_there", what, "`ragops cluster status --shards` shows which node has what")


def _is_possible(step: Step, placement: Placement) -> bool:
    for shard in placement.shards:
        if (shard.collection, shard.number) == (step.collection, step.shard):
            both_answer = {step.source, step.target} <= set(placement.alive)
            return (
                both_answer and step.source in shard.active and step.target not in shard.holders and not shard.is_moving
            )
    return False


def name_step(step: Step, topology: Topology) -> PlannedStep:
    """Return the step with names instead of peers."""
    points = next((one.points.get(step.shard, 0) for one in topology.collections if one.name == step.collection), 0)
    target = topology.name_of(step.target) if step.target else ""
    action = "copy" if step.verb is Verb.REPLICATE else step.verb.value
    return PlannedStep(action, step.collection, step.shard, topology.name_of(step.source), target, points)


def _changed_factors(request: Request, topology: Topology) -> dict[str, int]:
    factors = {one.name: one.factor for one in topology.collections}
    return {name: wanted for name, wanted in request.factors.items() if factors.get(name, wanted) != wanted}


def _set_factors(session: Session, factors: Mapping[str, int]) -> None:
    """Change them before any replica: `ragops up` makes those that are missing, and none that was dropped again."""
    if factors:
        with open_cluster(session) as (_endpoint, nodes):
            for name, factor in factors.items():
                nodes.first.change("PATCH", path_of(name), {"params": {"replication_factor": factor}})


def _refuse_unknown(request: Request, topology: Topology) -> None:
    known = {one.name for one in topology.collections}
    for name in sorted(request.only | frozenset(request.factors)):
        if name not in known:
            what = f"cannot find collection {name!r} in Qdrant"
            raise UsageError("unknown_collection", what, "`ragops cluster status` lists them; an alias is none")
    places = sum(bool(node.peer) and node.name not in request.drained for node in topology.nodes)
    for name, factor in request.factors.items():
        if not 1 <= factor <= places:
            what = f"cannot give {name} {factor} replicas: there are {places} nodes, and each holds one of a shard"
            raise UsageError("too_few_nodes", what, f"use 1 to {places}, or `ragops cluster add-node` first")


def _require_nodes(request: Request, topology: Topology) -> None:
    for node in topology.nodes:
        if node.fault and node.name not in request.excused:
            fault = node.fault.removeprefix(f"{node.name} ")
            what = f"cannot change the cluster: {node.name} does not take part: {fault}"
            hint = "`ragops up` completes an interrupted change of the number of nodes"
            if not node.host or topology.node(node.host):
                lost = f"`ragops cluster replace-node {node.host or node.name}`"
                hint = f"`ragops up` starts what is stopped; if it is lost for good: {lost}"
            raise UnhealthyError("qdrant_node_down", what, hint)
