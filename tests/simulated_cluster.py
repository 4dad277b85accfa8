"""A cluster of Qdrant as its nodes report it: replicas, transfers that take a while, members that join and leave.

It does what 1.18.3 does (lib/collection: shard_transfer.rs, collection_ops.rs): a move drops its source in the moment
its target is active; an aborted move leaves nothing, an aborted copy a dead replica that its node fills
again; a replica is not dropped if no other one is active. Every request is counted, and may be the last one of a run
(`dies_at`).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from ragops.errors import RagopsError, UnhealthyError
from ragops.services.contract import Endpoint, Login, Node
from ragops.services.qdrant.cluster.nodes import Nodes
from ragops.services.qdrant.names import API_KEY_SECRET
from ragops.services.qdrant.shard_layout import EVERY_NODE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TICKS = 3  # looks that a transfer takes


class KilledError(BaseException):
    """The process is gone."""


@dataclass
class Transfer:
    source: int
    target: int
    is_move: bool
    left: int = TICKS


@dataclass
class Shard:
    """The states of the replicas by peer, and the points that they hold."""

    states: dict[int, str]
    points: int = 100
    transfers: list[Transfer] = field(default_factory=list)
    # What single points of a replica say, of those that differ from the others.
    odd: dict[int, dict[int, str]] = field(default_factory=dict)

    def content(self, peer: int) -> dict[int, str]:
        return dict.fromkeys(range(10), "as written") | self.odd.get(peer, {})


@dataclass
class Collection:
    factor: int
    shards: dict[int, Shard]
    on_every_node: bool = False


@dataclass
class SimulatedCluster:
    """`names` are the nodes that run, by peer; `away` those of them that do not answer."""

    names: dict[int, str]
    members: set[int] = field(default_factory=set)
    collections: dict[str, Collection] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    aborts: int = 0
    requests: int = 0
    changes: list[str] = field(default_factory=list)
    dies_at: int = -1
    lowest: dict[str, int] = field(default_factory=dict)
    on_tick: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.members = self.members or set(self.names)

    @classmethod
    def of(cls, nodes: int) -> SimulatedCluster:
        return cls({100 + number: f"qdrant-{number}" for number in range(1, nodes + 1)})

    def fill(self, name: str, factor: int, *holders: str, points: int = 100) -> None:
        """A collection whose shards are on the nodes of these digits."""
        shards = {at: Shard({100 + int(n): "Active" for n in on}, points) for at, on in enumerate(holders)}
        self.collections[name] = Collection(factor, shards)

    def where(self, name: str) -> list[str]:
        """The nodes of each shard by their digits, those of inactive replicas in brackets."""
        found = []
        for shard in self.collections[name].shards.values():
            states = sorted((self.names[peer], state) for peer, state in shard.states.items())
            found.append("".join(f"{n[-1]}" if state == "Active" else f"({n[-1]})" for n, state in states))
        return found

    def endpoint(self, nodes: int) -> Endpoint:
        login = Login("", API_KEY_SECRET, SecretStr("the key"))
        names = [f"qdrant-{number}" for number in range(1, nodes + 1)]
        return Endpoint(
            "qdrant", "qdrant", "1.18.3", "docker", "127.0.0.1", 6333, "qdrant-1",
            options={"replication_factor": "2"}, logins={"operator": login, "application": login},
            nodes=tuple(Node(name, f"http://{name}") for name in names),
        )  # fmt: skip

    @contextmanager
    def connect(self, endpoint: Endpoint, _timeout: float) -> Iterator[Nodes]:
        running = {name: peer for peer, name in self.names.items()}
        clients: list[Any] = []
        unreachable = {}
        for node in endpoint.nodes:
            if node.name in running and node.name not in self.away:
                clients.append(Client(self, running[node.name], node.name))
            else:
                unreachable[node.name] = UnhealthyError("qdrant_unreachable", f"{node.name} did not answer in time")
        if not clients:
            raise next(iter(unreachable.values()))
        yield Nodes(tuple(clients), unreachable)

    def request(self) -> None:
        self.requests += 1
        if self.requests == self.dies_at:
            raise KilledError

    def tick(self) -> None:
        """A moment passes: transfers come to their end, dead replicas begin to be filled."""
        for one in self.collections.values():
            for shard in one.shards.values():
                for transfer in list(shard.transfers):
                    self._pass(shard, transfer)
                for peer, state in shard.states.items():
                    active = [other for other, its in shard.states.items() if its == "Active"]
                    if state == "Dead" and self._is_up(peer) and active and not shard.transfers:
                        shard.transfers.append(Transfer(active[0], peer, is_move=False))
        self.on_tick()
        self.note_lowest()

    def _pass(self, shard: Shard, transfer: Transfer) -> None:
        if not (self._is_up(transfer.source) and self._is_up(transfer.target)):
            return  # it stays listed until a node that is in it is back, or is removed
        transfer.left -= 1
        if transfer.left == 1 and self.aborts > 0:
            self.aborts -= 1
            self.abort(shard, transfer)
        elif transfer.left <= 0:
            shard.transfers.remove(transfer)
            shard.states[transfer.target] = "Active"
            shard.odd.pop(transfer.target, None)
            if transfer.source in shard.odd:
                shard.odd[transfer.target] = dict(shard.odd[transfer.source])
            if transfer.is_move:
                del shard.states[transfer.source]

    def abort(self, shard: Shard, transfer: Transfer) -> None:
        shard.transfers.remove(transfer)
        if transfer.is_move:
            del shard.states[transfer.target]
        else:
            shard.states[transfer.target] = "Dead"

    def _is_up(self, peer: int) -> bool:
        return peer in self.members and peer in self.names and self.names[peer] not in self.away

    def note_lowest(self) -> None:
        for name, one in self.collections.items():
            for number, shard in one.shards.items():
                active = sum(state == "Active" for state in shard.states.values())
                key = f"{name}/{number}"
                self.lowest[key] = min(self.lowest.get(key, 99), active)

    # --- changes ---------------------------------------------------------------------------------------------------

    def order(self, name: str, body: dict[str, Any]) -> None:
        shards = self._found(name).shards
        ((verb, values),) = body.items()
        shard = shards[values["shard_id"]]
        if verb == "drop_replica":
            self._drop(shard, values["peer_id"])
            self.changes.append(f"drop {name}/{values['shard_id']} {values['peer_id']}")
            return
        source, target = values["from_peer_id"], values["to_peer_id"]
        assert target not in shard.states, "a replica is sent to where there is one"
        if shard.states.get(source) != "Active" or target not in self.members:
            raise RagopsError("qdrant_error", f"Shard is not active on peer {source}")
        if any({source, target} & {one.source, one.target} for one in shard.transfers):
            raise RagopsError("qdrant_error", "Shard 0 is already involved in transfer 1 -> 2")
        shard.states[target] = "Recovery"
        shard.transfers.append(Transfer(source, target, verb == "move_shard"))
        self.changes.append(f"{verb} {name}/{values['shard_id']} {source} {target}")

    def _drop(self, shard: Shard, peer: int) -> None:
        if peer not in shard.states:
            raise RagopsError("qdrant_error", f"Peer {peer} has no replica of shard")
        left = [state for other, state in shard.states.items() if other != peer]
        if "Active" not in left:
            raise RagopsError("qdrant_error", "must have at least one active replica after removing")
        for transfer in [one for one in shard.transfers if peer in (one.source, one.target)]:
            self.abort(shard, transfer)
        shard.states.pop(peer, None)

    def remove_peer(self, peer: int, *, force: bool) -> None:
        if peer not in self.members:
            raise RagopsError("qdrant_not_found", f"peer {peer} not found")
        held = [shard for one in self.collections.values() for shard in one.shards.values() if peer in shard.states]
        if held and not force:
            raise RagopsError("qdrant_error", f"Cannot remove peer {peer} as there are shards on it")
        for shard in held:
            for transfer in [one for one in shard.transfers if peer in (one.source, one.target)]:
                self.abort(shard, transfer)
            shard.states.pop(peer, None)
        self.members.discard(peer)
        self.changes.append(f"remove {peer}")

    def join(self, name: str) -> None:
        """A node without data joins under a new peer."""
        peer = max([*self.names, *self.members]) + 1
        self.names = {one: other for one, other in self.names.items() if other != name} | {peer: name}
        self.members.add(peer)
        self.away.discard(name)

    def _found(self, name: str) -> Collection:
        if name not in self.collections:
            raise RagopsError("qdrant_not_found", f"there is no collection {name}")
        return self.collections[name]


@dataclass(eq=False)
class Client:
    """`NodeClient` of one node."""

    cluster: SimulatedCluster
    peer: int
    name: str

    def get(self, path: str) -> Any:
        self.cluster.request()
        assert path == "/cluster", path
        members = self.cluster.members
        listed = members if self.peer in members else {self.peer}
        names = {**{peer: f"qdrant-{peer - 100}" for peer in members}, **self.cluster.names}
        peers = {str(peer): {"uri": f"http://{names[peer]}:6335/"} for peer in listed}
        leader = min(peer for peer in listed if names[peer] not in self.cluster.away)
        return {
            "status": "enabled", "peer_id": self.peer, "peers": peers, "message_send_failures": {},
            "raft_info": {"leader": leader, "term": 1, "commit": 1, "pending_operations": 0},
            "consensus_thread_status": {"consensus_thread_status": "working"},
        }  # fmt: skip

    def send(self, _method: str, path: str, body: Any = None, **__: str) -> Any:
        parts = path.strip("/").split("/")
        if parts[0] == "collections":
            return self._points(parts[1], int(parts[3]), body, is_page=parts[-1] == "scroll")
        assert path == "/telemetry"
        raise RagopsError("qdrant_error", "it has none")

    def _points(self, name: str, number: int, body: Any, *, is_page: bool) -> Any:
        self.cluster.request()
        content = self.cluster._found(name).shards[number].content(self.peer)
        ids = sorted(content) if is_page else [ident for ident in body["ids"] if ident in content]
        points = [{"id": ident, "payload": {"text": content[ident]}, "vector": None} for ident in ids]
        return {"points": points, "next_page_offset": None} if is_page else points

    def collection(self, name: str) -> dict[str, Any]:
        found = self.cluster._found(name)
        noted = {EVERY_NODE: found.factor} if found.on_every_node else {}
        params = {"shard_number": len(found.shards), "replication_factor": found.factor}
        return {"config": {"params": params, "metadata": noted}}

    def root(self) -> dict[str, str]:
        return {"version": "1.18.3"}

    def collection_names(self) -> list[str]:
        return sorted(self.cluster.collections)

    def replication_factor(self, name: str) -> int:
        return self.cluster._found(name).factor

    def shards(self, name: str) -> dict[str, Any]:
        self.cluster.request()
        self.cluster.tick()
        found = self.cluster._found(name).shards
        rows = [(number, peer, shard) for number, shard in found.items() for peer in shard.states]
        return {
            "peer_id": self.peer,
            "shard_count": len(found),
            "local_shards": [
                {"shard_id": number, "state": shard.states[peer], "points_count": shard.points}
                for number, peer, shard in rows if peer == self.peer
            ],
            "remote_shards": [
                {"shard_id": number, "peer_id": peer, "state": shard.states[peer]}
                for number, peer, shard in rows if peer != self.peer
            ],
            "shard_transfers": [
                {"shard_id": number, "from": one.source, "to": one.target, "sync": not one.is_move}
                for number, shard in found.items() for one in shard.transfers
            ],
        }  # fmt: skip

    def change(self, method: str, path: str, body: Any = None, **query: str) -> None:
        self.cluster.request()
        parts = path.strip("/").split("/")
        if method == "PATCH":
            self.cluster._found(parts[1]).factor = body["params"]["replication_factor"]
        elif method == "POST":
            self.cluster.order(parts[1], body)
        else:
            assert (method, parts[:2]) == ("DELETE", ["cluster", "peer"])
            self.cluster.remove_peer(int(parts[2]), force=query["force"] == "true")
        self.cluster.note_lowest()
        self.cluster.request()  # a run may die before it hears of it
