"""One step on one shard: ordered from the cluster, watched until it is done.

POST /collections/NAME/cluster with `move_shard`, `replicate_shard` or `drop_replica` (Qdrant documentation, "Moving
shards"). A move that is aborted leaves no replica on its target, a copy one that is `Dead`, which its node then fills
by itself.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ragops.adapters import cancellation
from ragops.adapters.progress import Progress
from ragops.adapters.qdrant.addresses import path_of
from ragops.errors import RagopsError, UnhealthyError
from ragops.services.qdrant.cluster.nodes import connect
from ragops.services.qdrant.cluster.planner import Verb
from ragops.services.qdrant.cluster.shards import ACTIVE, ShardMap

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ragops.adapters.progress import OnProgress
    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.cluster.nodes import Nodes
    from ragops.services.qdrant.cluster.planner import Step
    from ragops.services.qdrant.cluster.topology import Topology

_SERVICE = "qdrant"
_ANSWER_SECONDS = 90.0
_POLL = 0.5
# What one node has begun, another one may report a moment later.
_SEEN_SECONDS = 5.0
_UNDER_WAY = "already involved in transfer"
_LOST = "consensus operation commit failed"


@dataclass(frozen=True)
class Limits:
    """Seconds: until all replicas are active before a step, that a node may be away, that a replica has to recover."""

    settle: float = 600.0
    away: float = 120.0
    recover: float = 600.0


@dataclass(frozen=True)
class Pace:
    """How steps are done: seconds between two, and the transfer method, the server's own choice if it is empty."""

    pause: float = 0.0
    method: str = ""
    limits: Limits = field(default_factory=Limits)


def describe(step: Step, topology: Topology) -> str:
    """Return the step as text."""
    shard, source = f"{step.collection}/{step.shard}", topology.name_of(step.source)
    if step.verb is Verb.DROP:
        return f"drop {shard} on {source}"
    verb = "move" if step.verb is Verb.MOVE else "copy"
    return f"{verb} {shard} from {source} to {topology.name_of(step.target)}"


def transfer_failed(what: str, reason: str) -> UnhealthyError:
    """Return the error of a step that cannot be done (shard_transfer_failed)."""
    hint = "see `ragops logs qdrant`; `ragops cluster status` shows what is where; run the command again to continue"
    return UnhealthyError("shard_transfer_failed", f"cannot {what}: {reason}", hint)


@dataclass
class ShardOrder:
    """A step on the cluster `endpoint`, `text` is its description; `topology` is the cluster before it.

    `excused` are nodes that may be away.
    """

    endpoint: Endpoint
    step: Step
    text: str
    topology: Topology
    excused: Collection[str]
    pace: Pace
    show: OnProgress
    _silent_since: float = 0.0
    _idle_since: float = 0.0

    def carry_out(self) -> bool:
        """Order the step and wait for its end; returns whether it is done or not needed any more, False if aborted.

        Raises RagopsError if the server refuses it, UnhealthyError (qdrant_node_down, shard_transfer_failed),
        InterruptedRunError; the cluster completes the transfer all the same.
        """
        self.show(Progress(_SERVICE, self.text))
        self._order()
        while (is_done := self._look()) is None:
            cancellation.sleep(_POLL)
        if is_done:
            self.show(Progress(_SERVICE, f"{self.text}: done", final=True))
        return is_done

    def _order(self) -> None:
        try:
            with connect(self.endpoint, _ANSWER_SECONDS) as nodes:
                nodes.first.change("POST", f"{path_of(self.step.collection)}/cluster", self._body())
        except RagopsError as error:
            # Begun by a run before this one, or unknown: the look that follows finds out.
            unknown = error.code in ("qdrant_unreachable", "qdrant_not_found")
            if not unknown and _UNDER_WAY not in error.message and _LOST not in error.message:
                raise RagopsError(error.code, f"cannot {self.text}: {error.message}", error.hint) from error

    def _body(self) -> dict[str, object]:
        step = self.step
        if step.verb is Verb.DROP:
            return {"drop_replica": {"shard_id": step.shard, "peer_id": step.source}}
        order: dict[str, object] = {
            "shard_id": step.shard,
            "from_peer_id": step.source,
            "to_peer_id": step.target,
        }
        if self.pace.method:
            order["method"] = self.pace.method
        return {"move_shard" if step.verb is Verb.MOVE else "replicate_shard": order}

    def _look(self) -> bool | None:
        """Return whether the step is done, None as long as it is under way."""
        try:
            with connect(self.endpoint, _ANSWER_SECONDS) as nodes:
                answer = nodes.first.shards(self.step.collection)
                self._report(nodes)
                away = [name for name in nodes.unreachable if name not in self.excused]
        except RagopsError as error:
            if error.code == "qdrant_not_found":
                return True  # its collection was deleted
            self._bear_silence(error.message)
            return None
        if away:
            self._bear_silence(f"{', '.join(away)} does not answer")
        else:
            self._silent_since = 0.0
        return self._judge(answer)

    def _bear_silence(self, fault: str) -> None:
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        if now - self._silent_since > self.pace.limits.away:
            hint = "`ragops up` starts what is stopped; then run the command again to continue"
            raise UnhealthyError("qdrant_node_down", f"cannot {self.text}: {fault}", hint)

    def _judge(self, answer: Mapping[str, Any]) -> bool | None:
        shards, step = ShardMap.of(answer), self.step
        states = {replica.peer: replica.state for replica in shards.shards().get(step.shard, ())}
        if step.verb is Verb.DROP:
            return True if step.source not in states else self._bear_state("it is still there")
        is_there = states.get(step.target) == ACTIVE
        if is_there and (step.verb is Verb.REPLICATE or step.source not in states):
            return True
        if step.shard in shards.moving:
            self._idle_since = 0.0
            return None
        if step.target in states:
            return self._bear_state(f"the new replica is {states[step.target]}")
        return None if self._idle_seconds() < _SEEN_SECONDS else False

    def _bear_state(self, state: str) -> bool | None:
        """Return None: the cluster mends it by itself. Raises UnhealthyError (shard_transfer_failed) in the end."""
        if self._idle_seconds() > self.pace.limits.recover:
            raise transfer_failed(self.text, state)
        return None

    def _idle_seconds(self) -> float:
        now = time.monotonic()
        self._idle_since = self._idle_since or now
        return now - self._idle_since

    def _report(self, nodes: Nodes) -> None:
        """Show what the source reports of the transfer; no other node has it."""
        name = self.topology.name_of(self.step.source)
        source = next((client for client in nodes.clients if client.name == name), None)
        if source is None or self.step.verb is Verb.DROP:
            return
        for one in source.shards(self.step.collection)["shard_transfers"]:
            if one["shard_id"] == self.step.shard and one.get("comment"):
                self.show(Progress(_SERVICE, f"{self.text}: {one['comment']}"))
