"""A new start of one node: emptied first if it answers, then out of the cluster, and in again without data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress
from ragops.errors import InterruptedRunError, RagopsError, UsageError
from ragops.operations.cluster.moves import ChangePlan, Request, carry_out, check_request, name_step
from ragops.operations.cluster.status import SERVICE, open_cluster
from ragops.operations.lifecycle.provision import provision
from ragops.services import by_name
from ragops.services.qdrant.cluster.changes import placement_of, weights_of
from ragops.services.qdrant.cluster.membership import refuse_only_replicas, remove_peer
from ragops.services.qdrant.cluster.planner import plan as make_plan
from ragops.services.qdrant.cluster.topology import read_topology

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.adapters.pulumi.events import OnStep
    from ragops.operations.session import Session
    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.cluster.shard_order import Pace
    from ragops.services.qdrant.cluster.topology import Topology

    Confirm = Callable[["ReplacePlan"], bool]

_VERB = "replace-node"
# What the journal keeps: the peers that go, that they are gone, and where the data went.
_PEERS, _LEFT, _EMPTY = "peers", "left", "empty"


@dataclass(frozen=True)
class ReplacePlan:
    """The node, whether it answers and is emptied first, and the steps of its replicas until it is out."""

    node: str
    answers: bool
    change: ChangePlan


@dataclass(frozen=True)
class ReplaceResult:
    """The plan, how many steps were done, and where the data that it had were left (empty: it had none)."""

    plan: ReplacePlan
    done: int
    kept: str


def plan_replacement(session: Session, name: str) -> ReplacePlan:
    """Return what `replace_node` would do.

    Raises UsageError (unknown_node, not_a_cluster, single_node), IntegrityError (last_replica_lost) if only the node
    has a shard and does not answer, and as `plan_change`.
    """
    endpoint, topology = _look(session)
    _refuse_name(endpoint, name)
    node = topology.node(name)
    answers = node is not None and node.answers
    request = _empty(topology, name, answers=answers)
    resumes = check_request(session, request, topology)
    if not answers or _LEFT in _facts(session):
        if _LEFT not in _facts(session):
            refuse_only_replicas(topology, {name})
        return ReplacePlan(name, answers, ChangePlan((), (), {}, resumes))
    found = make_plan(placement_of(topology, weights_of(topology)), request.goal(topology))
    steps = tuple(name_step(step, topology) for step in found.steps)
    return ReplacePlan(name, answers, ChangePlan(steps, found.blocked, {}, resumes))


def replace_node(session: Session, name: str, confirm: Confirm | None, on_step: OnStep, pace: Pace) -> ReplaceResult:
    """Empty the node if it answers, remove it from the cluster, start it without data and fill it from the others.

    Its data are moved aside, not deleted. A killed run is continued by the next one. Raises as `plan_replacement`,
    UnhealthyError (qdrant_not_active, shard_transfer_failed, qdrant_not_joined).
    """
    with session.changing():
        found = plan_replacement(session, name)
        if confirm and not confirm(found):
            raise InterruptedRunError("declined", "nothing was changed", "")
        done, kept = _take_out(session, found, on_step, pace)
        _bring_back(session, name, on_step)
        _endpoint, topology = _look(session)
        request = Request((_VERB, name), balance=True)
        done += carry_out(session, request, topology, on_step, pace)
        session.cluster_journal().end()
        return ReplaceResult(found, done, kept)


def _take_out(session: Session, found: ReplacePlan, on_step: OnStep, pace: Pace) -> tuple[int, str]:
    """Take the node out of the cluster, with its data aside; what an interrupted run has done is not done again."""
    name, journal = found.node, session.cluster_journal()
    endpoint, topology = _look(session)
    if journal.read() is None:
        journal.begin((_VERB, name), weights_of(topology))
    done = 0
    if _LEFT not in _facts(session):
        if _PEERS not in _facts(session):
            journal.note_fact(_PEERS, ",".join(map(str, _peers(topology, name))))
        if found.answers:
            done = carry_out(session, _empty(topology, name, answers=True), topology, on_step, pace)
        for peer in filter(None, _facts(session)[_PEERS].split(",")):
            on_step(Progress(SERVICE, f"removing {name} from the cluster"))
            remove_peer(endpoint, int(peer), name, force=not found.answers)
        journal.note_fact(_LEFT, "yes")
    if _EMPTY in _facts(session):
        return done, _facts(session)[_EMPTY]
    kept = _set_aside(session, endpoint, name)
    journal.note_fact(_EMPTY, kept)
    return done, kept


def _set_aside(session: Session, endpoint: Endpoint, name: str) -> str:
    control = session.host.control(endpoint, name)
    control.stop()
    try:
        return control.move_data_aside("before-replacement")
    except RagopsError as error:
        if error.code != "not_provisioned":
            raise
        return ""  # its container is gone, and maybe its volume


def _bring_back(session: Session, name: str, on_step: OnStep) -> None:
    """Start the node without data; it joins as a new one. Without its container, `up` makes it again."""
    endpoint = session.endpoint(SERVICE)
    on_step(Progress(SERVICE, f"starting {name} without data"))
    try:
        session.host.control(endpoint, name).start()
    except RagopsError as error:
        if error.code != "not_provisioned":
            raise
        provision(session, None, on_step)
    by_name(SERVICE).prepare(endpoint)
    on_step(Progress(SERVICE, f"{name} is a member of the cluster again", final=True))


def _empty(topology: Topology, name: str, *, answers: bool) -> Request:
    """Return the request to take everything off the node; what it was before it lost its data may be away."""
    former = frozenset(node.name for node in topology.nodes if node.host == name)
    away = former if answers else former | {name}
    return Request((_VERB, name), drained=former | {name}, excused=away)


def _peers(topology: Topology, name: str) -> list[int]:
    return [node.peer for node in topology.nodes if node.peer and name in (node.name, node.host)]


def _refuse_name(endpoint: Endpoint, name: str) -> None:
    known = [node.name for node in endpoint.nodes]
    if name not in known:
        raise UsageError("unknown_node", f"cannot find node {name!r}", f"one of: {', '.join(known)}")
    if len(known) == 1:
        what = f"cannot replace {name}: there is no other node that could take over its shards"
        raise UsageError("single_node", what, "`ragops cluster add-node` first; or `ragops restore latest`")


def _facts(session: Session) -> dict[str, str]:
    left = session.cluster_journal().read()
    return dict(left.facts) if left else {}


def _look(session: Session) -> tuple[Endpoint, Topology]:
    with open_cluster(session) as (endpoint, nodes):
        return endpoint, read_topology(endpoint, nodes)
