"""Health checks of the cluster: its members, and the replicas of every shard."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ragops.adapters.background import TaskPool
from ragops.config.collection_names import base
from ragops.errors import RagopsError
from ragops.services.contract import Check, Status
from ragops.services.qdrant.backup.proven_copies import user_collections
from ragops.services.qdrant.cluster import collection_checks
from ragops.services.qdrant.cluster.collection_checks import Conditions
from ragops.services.qdrant.cluster.members import lost_peers, members
from ragops.services.qdrant.cluster.nodes import addresses, is_cluster
from ragops.services.qdrant.cluster.shards import ShardMap
from ragops.services.qdrant.shard_layout import (
    LayoutRules,
    following_nodes,
    layout_of,
    needs_every_copy,
    worse_than_default,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.cluster.members import Member
    from ragops.services.qdrant.cluster.nodes import Nodes

_LOG = "see `ragops logs qdrant`"
# Operations of consensus that a node may be behind the others while nothing is wrong.
_BEHIND = 50
_SHOWN = 5
_AT_ONCE = 4


def check_members(endpoint: Endpoint, nodes: Nodes) -> Check:
    """Check that the nodes are one cluster with one leader."""
    found = members(nodes)
    wanted = len(addresses(endpoint))
    if len(found) < len(nodes.clients):
        alone = [client.name for client in nodes.clients if client.name not in found]
        return Check("cluster", Status.DEGRADED, f"in no cluster: {', '.join(alone)}", "`ragops up`")
    if faults := list(_faults(found, wanted, nodes)):
        status = max((status for status, _detail, _hint in faults), key=list(Status).index)
        text = "; ".join(detail for _status, detail, _hint in faults[:_SHOWN])
        return Check("cluster", status, text, faults[0][2])
    one = next(iter(found.values()))
    leader = one.peers.get(one.leader or 0, "")
    return Check("cluster", Status.OK, f"{wanted} peers, {leader} leads, term {one.term}")


def _faults(found: Mapping[str, Member], wanted: int, nodes: Nodes) -> Iterator[tuple[Status, str, str]]:
    """Return status, detail and hint of each fault."""
    up = "`ragops up` starts what is stopped"
    if len(nodes.clients) <= wanted // 2:
        yield Status.DOWN, f"{len(nodes.clients)} of {wanted} nodes are no majority", up
    elif nodes.unreachable:
        yield Status.DEGRADED, f"without {', '.join(nodes.unreachable)}", up
    yield from _find_stopped(found)
    yield from _find_divided(found, wanted, {*found, *nodes.unreachable})
    leaders = {one.leader for one in found.values()}
    if None in leaders or 0 in leaders:
        yield Status.DEGRADED, "no leader is elected", f"it takes some seconds; then {_LOG}"
    elif len(leaders) > 1:
        yield Status.DEGRADED, "the nodes do not agree on a leader", f"look again in some seconds; then {_LOG}"
    newest = max(one.commit for one in found.values())
    late = [one.name for one in found.values() if newest - one.commit > _BEHIND]
    if late:
        yield Status.DEGRADED, f"behind the others: {', '.join(late)}", f"it catches up by itself; else {_LOG}"
    for one in found.values():
        for uri, error in one.failures.items():
            if _is_sent_to(one, uri) and not any(name in uri for name in nodes.unreachable):
                yield Status.DEGRADED, f"{one.name} cannot reach {uri}: {_extract_cause(error)}", _LOG


def _is_sent_to(one: Member, uri: str) -> bool:
    """Return whether the node sends messages to that address all the time.

    The leader sends to all, a follower to the leader. A failure is removed by the next message that arrives, so a
    follower's failure to send to another one may stay listed for ever.
    """
    return one.leader in (None, one.peer) or f"//{one.peers.get(one.leader)}:" in uri


def _extract_cause(error: str) -> str:
    """Return the cause inside an error of gRPC, which quotes the error of every layer."""
    found = re.search(r'message: "([^"]{1,100})', error)
    return found[1] if found else error[:100]


def _find_stopped(found: Mapping[str, Member]) -> Iterator[tuple[Status, str, str]]:
    for one in found.values():
        if one.fault:
            yield Status.DEGRADED, f"the consensus of {one.name} has stopped: {one.fault}", f"restart it; {_LOG}"


def _find_divided(
    found: Mapping[str, Member], wanted: int, known: Collection[str]
) -> Iterator[tuple[Status, str, str]]:
    """Return the nodes that have too few peers or too many, or are listed under a former peer."""
    lost = lost_peers(found)
    for peer, host in lost.items():
        hint = f"stop {host}, remove the volume of its data, and `ragops up` while the other nodes run"
        yield Status.DEGRADED, f"{host} has lost its data and is not peer {peer} any more", hint
    if not lost:
        for one in found.values():
            if len(one.peers) < wanted:
                hint = f"wait until all have joined; then {_LOG}"
                yield Status.DEGRADED, f"{one.name} has {len(one.peers)} of {wanted} peers", hint
        most = max(found.values(), key=lambda one: len(one.peers))
        if len(most.peers) > wanted:
            more = ", ".join(sorted(host for host in most.peers.values() if host not in known))
            hint = "`ragops up` completes an interrupted change of the number of nodes"
            yield Status.DEGRADED, f"{len(most.peers)} peers for {wanted} nodes; not noted: {more}", hint


# --- shards ----------------------------------------------------------------------------------------------------------


@dataclass
class _Found:
    """The findings on all collections."""

    down: list[str] = field(default_factory=list)
    inactive: list[str] = field(default_factory=list)
    few: list[str] = field(default_factory=list)
    unfilled: list[str] = field(default_factory=list)
    layouts: dict[str, str] = field(default_factory=dict)  # what is worse than a new collection's, by name
    strict: list[str] = field(default_factory=list)  # a write has to reach every copy
    looked: list[str] = field(default_factory=list)
    conditions: Conditions = field(default_factory=Conditions)


def check_shards(endpoint: Endpoint, nodes: Nodes, deadline: float) -> Iterator[Check]:
    """Check that every replica of every shard is active, and that there are as many as are wanted."""
    names = user_collections(nodes.first)
    hosts = {one.peer: name for name, one in members(nodes).items()} if is_cluster(endpoint) else {}
    rules = LayoutRules.of(endpoint)
    found = _Found()

    def look(name: str) -> None:
        if time.monotonic() < deadline:
            _check_collection(name, nodes, hosts, rules, found)
            collection_checks.check_collection(name, nodes, deadline, found.conditions)
            found.looked.append(name)

    # Daemon threads: the interpreter waits for the threads of an executor, and a server may never answer.
    TaskPool(_AT_ONCE).run_all([partial(look, name) for name in names])
    if len(found.looked) < len(names):
        hint = "give the probe more time"
        what = f"{len(found.looked)} of {len(names)} collections looked at in time"
        yield Check("shards", Status.DEGRADED, what, hint)
    else:
        yield _check_active(found, len(names))
        if rules and rules.nodes > 1:
            yield _check_replicas(found, rules.least_copies)
            yield from _check_layouts(found)
            yield from _check_strict(found)
    yield from found.conditions.checks()
    yield from collection_checks.check_leftovers(nodes.first)


def _check_collection(
    name: str, nodes: Nodes, hosts: Mapping[int, str], rules: LayoutRules | None, found: _Found
) -> None:
    try:
        seen = ShardMap.read(nodes.first, name)
    except RagopsError as error:
        if error.code != "qdrant_not_found":  # deleted in between
            found.inactive.append(f"{name}: {error.message}")
        return
    if hosts and (lost := seen.unserved(hosts)):
        found.down.append(f"{name}: no node that answers has shard {', '.join(map(str, lost))}")
    for replica in seen.inactive():
        where = f" on {hosts.get(replica.peer, f'peer {replica.peer}')}" if hosts else ""
        found.inactive.append(f"{name}: shard {replica.shard}{where} is {replica.state}")
    if rules:
        with contextlib.suppress(RagopsError):  # a shard of it is out of reach, which another check reports
            _check_layout(name, seen, nodes.first.collection(name), rules, found)


def _check_layout(name: str, seen: ShardMap, info: Mapping[str, Any], rules: LayoutRules, found: _Found) -> None:
    """Compare the replicas with those that the collection wants, and what it wants with what a new one would get."""
    wanted = min(layout_of(info).copies, rules.nodes)
    if seen.fewest_replicas() < wanted or following_nodes(info, rules.nodes):
        found.unfilled.append(name)
    elif wanted < min(rules.least_copies, rules.nodes):
        found.few.append(name)
    if needs_every_copy(info):
        found.strict.append(name)
    if worse := worse_than_default(name, info, rules):
        found.layouts[name] = worse


def _check_active(found: _Found, total: int) -> Check:
    if found.down:
        hint = f"`ragops up` starts what is stopped; {_LOG}"
        return Check("shards", Status.DOWN, "; ".join(found.down[:_SHOWN]), hint)
    if found.inactive:
        hint = f"a node that was away is filled from the others; if that does not end {_LOG}"
        return Check("shards", Status.DEGRADED, "; ".join(found.inactive[:_SHOWN]), hint)
    return Check("shards", Status.OK, f"{total} collections, all shards active{found.conditions.describe_busy()}")


def _check_replicas(found: _Found, least: int) -> Check:
    if not found.few and not found.unfilled:
        return Check("replicas", Status.OK, f"every shard has its copies, at least {least}")
    names = ", ".join([*found.unfilled, *found.few][:_SHOWN])
    hint = "`ragops up` has the copies made"
    if not found.unfilled:
        hint = f"it was made so; to change it: `ragops cluster set-replication {found.few[0]} {least}`"
    return Check("replicas", Status.DEGRADED, f"fewer copies of a shard than wanted: {names}", hint)


def _check_layouts(found: _Found) -> Iterator[Check]:
    """Report layouts that cost more than they have to: nothing is wrong with the data."""
    if found.layouts:
        name = min(found.layouts)
        more = f"; and {len(found.layouts) - 1} more collections" if len(found.layouts) > 1 else ""
        hint = f"`ragops cluster reshard {base(name)}` changes it while it is asked"
        yield Check("layout", Status.OK, f"{found.layouts[name]}{more}", hint)


def _check_strict(found: _Found) -> Iterator[Check]:
    """Report collections that cannot be written to while a node is away: it may have been meant so."""
    if found.strict:
        names = ", ".join(sorted(found.strict)[:_SHOWN])
        hint = '`PATCH /collections/NAME` with {"params": {"write_consistency_factor": 1}} has writes continue'
        what = f"no write succeeds while a node is away, since every copy has to take it: {names}"
        yield Check("writes", Status.OK, what, hint)
