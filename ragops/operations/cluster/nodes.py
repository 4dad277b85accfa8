"""More and fewer nodes: `qdrant.nodes` of ragops.yaml is changed, and replicas are moved before or after it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ragops.adapters.files import SECRET_MODE, write_atomic
from ragops.adapters.progress import Progress
from ragops.config.edit import set_number
from ragops.errors import InterruptedRunError, RagopsError, UsageError
from ragops.operations.cluster.moves import (
    ChangePlan,
    Request,
    carry_out,
    check_request,
    name_step,
)
from ragops.operations.cluster.status import SERVICE, open_cluster
from ragops.operations.lifecycle.provision import provision
from ragops.operations.lifecycle.stack import open_existing
from ragops.services.control import RemovesInstance
from ragops.services.qdrant.cluster.changes import placement_of, weights_of
from ragops.services.qdrant.cluster.membership import refuse_only_replicas, remove_peer
from ragops.services.qdrant.cluster.planner import Goal
from ragops.services.qdrant.cluster.planner import plan as make_plan
from ragops.services.qdrant.cluster.prepare import followed_factors
from ragops.services.qdrant.cluster.topology import ClusterNode, read_topology
from ragops.services.qdrant.settings import instance

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.adapters.pulumi.events import OnStep
    from ragops.operations.lifecycle.provision import Plan as ProvisionPlan
    from ragops.operations.session import Session
    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.cluster.shard_order import Pace
    from ragops.services.qdrant.cluster.topology import Topology

    Confirm = Callable[["NodesPlan"], bool]
    ConfirmUp = Callable[[ProvisionPlan], bool]

ADD, REMOVE = "add-node", "remove-node"
_DRAIN_ROUNDS = 5  # collections may be made on a node while it is drained


@dataclass(frozen=True)
class NodesPlan:
    """From how many nodes to how many, which come or go, and the steps that replicas take."""

    before: int
    after: int
    nodes: tuple[str, ...]
    change: ChangePlan


@dataclass(frozen=True)
class NodesResult:
    """The plan, and how many steps were done; `kept` is where the data of nodes that are gone were left."""

    plan: NodesPlan
    done: int
    kept: tuple[str, ...] = ()


# --- more ------------------------------------------------------------------------------------------------------------


def plan_more(session: Session, nodes: int | None) -> NodesPlan:
    """Return what `add_nodes` would do; `nodes` is their number then, two more if it is not given.

    Raises UsageError (nodes_invalid, not_a_cluster), and as `plan_change`.
    """
    endpoint, topology = _look(session)
    before = len(endpoint.nodes)
    after = _wanted(session, ADD, nodes, before)
    resumes = check_request(session, _spread(after, endpoint, topology), topology)
    if after <= before and not resumes:
        raise _invalid(f"there are {before} nodes already", f"use a larger odd number, such as {before + 2}")
    names = tuple(instance(number) for number in range(before + 1, after + 1))
    # The new ones have no peers yet.
    coming = tuple(ClusterNode(name, -number) for number, name in enumerate(names, 1))
    then = replace(topology, nodes=(*topology.nodes, *coming))
    factors = _followed(session, topology, after)
    found = make_plan(placement_of(then, _weights(session, topology)), Goal(factors=factors))
    change = ChangePlan(tuple(name_step(step, then) for step in found.steps), found.blocked, factors, resumes)
    return NodesPlan(before, after, names, change)


def add_nodes(
    session: Session,
    nodes: int | None,
    confirm: Confirm | None,
    confirm_up: ConfirmUp | None,
    on_step: OnStep,
    pace: Pace,
) -> NodesResult:
    """Set `qdrant.nodes`, bring the new nodes up and spread replicas over all; a killed run is continued by the next.

    `confirm` is asked before anything changes, `confirm_up` before services are replaced; None means yes. Raises as
    `plan_more`, `provision` and `change`.
    """
    with session.changing():
        found = plan_more(session, nodes)
        if confirm and not confirm(found):
            raise InterruptedRunError("declined", "nothing was changed", "")
        endpoint, topology = _look(session)
        _begin(session, _spread(found.after, endpoint, topology), topology)
        later = _with_nodes(session, found.after)
        if len(endpoint.nodes) != found.after:
            provision(later, confirm_up, on_step)
        endpoint, topology = _look(later)
        done = carry_out(later, _spread(found.after, endpoint, topology), topology, on_step, pace)
        later.cluster_journal().end()
        return NodesResult(found, done)


def _followed(session: Session, topology: Topology, after: int) -> dict[str, int]:
    """Return the replication factors that `up` raises: of collections that have a replica on every node."""
    now = {one.name: one.factor for one in topology.collections}
    with open_cluster(session) as (_endpoint, nodes):
        found = followed_factors(nodes.first, after)
    return {name: factor for name, factor in found.items() if now.get(name, factor) != factor}


def _spread(after: int, endpoint: Endpoint, topology: Topology) -> Request:
    """Return the request; new nodes that an interrupted run has started may be members already."""
    known = {node.name for node in endpoint.nodes}
    coming = frozenset(node.name for node in topology.nodes if node.name not in known)
    excused = coming if len(known) < after else frozenset()
    return Request((ADD, "--nodes", str(after)), balance=True, excused=excused)


# --- fewer -----------------------------------------------------------------------------------------------------------


def plan_fewer(session: Session, nodes: int | None) -> NodesPlan:
    """Return what `remove_nodes` would do; `nodes` is their number then, two fewer if it is not given.

    One node alone has to be asked for: a command that is repeated after its end must not go down to one copy. Raises
    UsageError (nodes_invalid, not_a_cluster), IntegrityError (last_replica_lost), and as `plan_change`.
    """
    endpoint, topology = _look(session)
    before = len(endpoint.nodes)
    after = _wanted(session, REMOVE, nodes, before)
    if nodes is None and after == 1 and session.cluster_journal().read() is None:
        raise _invalid("one would be left, with the only copy of everything", "if that is meant: `--nodes 1`")
    request = _drain(topology, before, after)
    resumes = check_request(session, request, topology)
    if after >= before and not resumes:
        raise _invalid(f"there are {before} nodes", f"use a smaller odd number, such as {max(before - 2, 1)}")
    refuse_only_replicas(topology, request.excused)
    found = make_plan(placement_of(topology, _weights(session, topology)), request.goal(topology))
    steps = tuple(name_step(step, topology) for step in found.steps)
    change = ChangePlan(steps, found.blocked, request.factors, resumes)
    return NodesPlan(before, after, tuple(sorted(request.drained)), change)


def remove_nodes(
    session: Session,
    nodes: int | None,
    confirm: Confirm | None,
    confirm_up: ConfirmUp | None,
    on_step: OnStep,
    pace: Pace,
) -> NodesResult:
    """Move everything off the last nodes, remove them from the cluster, set `qdrant.nodes` and stop them.

    Their volumes stay. A killed run is continued by the next one. Raises as `plan_fewer`, `provision` and `change`.
    """
    with session.changing():
        found = plan_fewer(session, nodes)
        if confirm and not confirm(found):
            raise InterruptedRunError("declined", "nothing was changed", "")
        endpoint, topology = _look(session)
        request = _drain(topology, found.before, found.after)
        _begin(session, request, topology)
        done = _drain_and_remove(session, request, on_step, pace)
        kept = tuple(_set_aside(session, endpoint, name) for name in found.nodes)
        # The engine refuses to forget protected resources; it keeps the volumes of nodes that go all the same.
        open_existing(session.project, session.secrets()).unprotect()
        later = _with_nodes(session, found.after)
        _forget_nodes(later, found.after)
        provision(later, confirm_up, on_step)
        session.cluster_journal().end()
        return NodesResult(found, done, tuple(place for place in kept if place))


def _drain(topology: Topology, before: int, after: int) -> Request:
    going = frozenset(instance(number) for number in range(after + 1, before + 1))
    away = frozenset(node.name for node in topology.nodes if node.name in going and node.fault)
    factors = {one.name: after for one in topology.collections if one.factor > after}
    return Request((REMOVE, "--nodes", str(after)), factors=factors, drained=going, excused=away)


def _drain_and_remove(session: Session, request: Request, on_step: OnStep, pace: Pace) -> int:
    done = 0
    for attempt in range(1, _DRAIN_ROUNDS + 1):
        endpoint, topology = _look(session)
        done += carry_out(session, request, topology, on_step, pace)
        try:
            for name in sorted(request.drained, reverse=True):
                node = topology.node(name)
                if node is not None and node.peer:
                    on_step(Progress(SERVICE, f"removing {name} from the cluster"))
                    remove_peer(endpoint, node.peer, name, force=False)
        except RagopsError as error:
            if "there are shards on it" not in error.message or attempt == _DRAIN_ROUNDS:
                raise
        else:
            break
    return done


def _set_aside(session: Session, endpoint: Endpoint, name: str) -> str:
    """Stop a node that is out of the cluster, and keep its data away from one that may get its name later."""
    control = session.host.control(endpoint, name)
    control.stop()
    try:
        kept = control.move_data_aside("before-removal")
    except RagopsError as error:
        if error.code != "not_provisioned":
            raise
        return ""  # its container is gone: an interrupted run has done this
    if isinstance(control, RemovesInstance):
        control.remove()  # `up` would start it again, as a new node
    return kept


def _forget_nodes(session: Session, after: int) -> None:
    """Write endpoints without the nodes that are gone: nothing is to wait for them any more."""
    path = session.project.paths.endpoints
    values = json.loads(path.read_text())
    values[SERVICE]["nodes"] = values[SERVICE]["nodes"][:after]
    write_atomic(path, json.dumps(values, indent=2), SECRET_MODE)


# --- both ------------------------------------------------------------------------------------------------------------


def _look(session: Session) -> tuple[Endpoint, Topology]:
    with open_cluster(session) as (endpoint, nodes):
        return endpoint, read_topology(endpoint, nodes)


def _wanted(session: Session, verb: str, nodes: int | None, before: int) -> int:
    """Return the number of nodes that is asked for, by an interrupted run too. Raises UsageError (nodes_invalid)."""
    left = session.cluster_journal().read()
    if nodes is None and left is not None and left.words[0] == verb:
        return int(left.words[-1])
    after = nodes if nodes is not None else before + (2 if verb == ADD else -2)
    if after < 1 or after % 2 == 0:
        reason = (
            f"{after} nodes survive the loss of no more nodes than {after - 1} do" if after > 1 else "1 is the least"
        )
        raise _invalid(reason, f"use an odd number, such as {before + 2 if verb == ADD else max(before - 2, 1)}")
    return after


def _invalid(reason: str, hint: str) -> UsageError:
    return UsageError("nodes_invalid", f"cannot change the number of nodes: {reason}", hint)


def _weights(session: Session, topology: Topology) -> dict[str, int]:
    left = session.cluster_journal().read()
    return dict(left.weights) if left else weights_of(topology)


def _begin(session: Session, request: Request, topology: Topology) -> None:
    journal = session.cluster_journal()
    if journal.read() is None:
        journal.begin(request.words, weights_of(topology))


def _with_nodes(session: Session, nodes: int) -> Session:
    """Return the session of the project with so many nodes in its file."""
    if session.project.settings.qdrant.nodes == nodes:
        return session
    return replace(session, project=set_number(session.project, "qdrant", "nodes", nodes))
