"""What a cluster of Qdrant answers while shards are placed, sent, copied and counted, with its delays in looks.

As seen on 1.18.3: replicas that exist when a snapshot is sent to another one say that they are active, and hold
nothing, until the cluster has noticed; counts come later than states.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from ragops.errors import RagopsError, UnhealthyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

GONE = RagopsError("qdrant_not_found", "there is no such collection")


@dataclass
class Replica:
    """`waits` are looks until it is what it becomes: first to be found dead, then filled."""

    state: str = "Active"
    points: int = 0
    waits: int = 0
    source: Replica | None = None

    def tick(self) -> None:
        if self.source is None:
            return
        self.waits -= 1
        if self.waits <= 0 and self.state == "Active":  # the cluster has noticed
            self.state, self.waits = "Partial", 2
        elif self.waits <= 0:
            self.state, self.points, self.source = "Active", self.source.points, None


@dataclass
class Collection:
    body: dict[str, Any]
    shards: dict[int, dict[int, Replica]]


@dataclass
class Cluster:
    """`lag` are the looks for which a node counts nothing of a replica that it says is active."""

    nodes: int
    delay: int = 3
    lag: int = 0
    transfers_hang: bool = False
    collections: dict[str, Collection] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    away: Counter[int] = field(default_factory=Counter)
    refuses: set[str] = field(default_factory=set)

    def clients(self) -> tuple[Any, ...]:
        return tuple(Client(self, peer) for peer in range(1, self.nodes + 1))

    def found(self, name: str) -> Collection:
        if (made := self.collections.get(self.aliases.get(name, name))) is None:
            raise GONE
        return made

    def create(self, name: str, body: dict[str, Any]) -> None:
        if name in self.collections or name in self.aliases:
            raise RagopsError("qdrant_exists", f"{name} exists already")
        copies = body["replication_factor"]
        assert copies <= self.nodes
        shards = {
            shard: {1 + (shard + copy) % self.nodes: Replica() for copy in range(copies)}
            for shard in range(body["shard_number"])
        }
        self.collections[name] = Collection(dict(body), shards)

    def put(self, name: str, shard: int, peer: int, points: int) -> None:
        replicas = self.found(name).shards[shard]
        replicas[peer] = Replica(points=points)
        for other, replica in replicas.items():
            if other != peer:
                replica.source, replica.waits, replica.points = replicas[peer], self.delay, 0

    def copy(self, name: str, shard: int, source: int, target: int) -> None:
        replicas = self.found(name).shards[shard]
        waits = 10**9 if self.transfers_hang else self.delay
        replicas[target] = Replica("Partial", 0, waits, replicas[source])

    def count(self, name: str, peer: int) -> int:
        if self.lag > 0:
            self.lag -= 1
            return 0
        total = 0
        for replicas in self.found(name).shards.values():
            local = replicas.get(peer)
            active = [replica for replica in replicas.values() if replica.state == "Active"]
            total += (local if local in active else active[0]).points  # type: ignore[union-attr]
        return total


@dataclass(eq=False)
class Client:
    """`NodeClient` of one node."""

    cluster: Cluster
    peer: int

    @property
    def name(self) -> str:
        return f"qdrant-{self.peer}"

    def within(self, _seconds: float) -> Client:
        return self

    def _answer(self, log: str = "") -> None:
        if self.cluster.away[self.peer] > 0:
            self.cluster.away[self.peer] -= 1
            raise UnhealthyError("qdrant_unreachable", f"{self.name} did not answer in time")
        if log:
            self.cluster.log.append(log)

    def status(self, _path: str) -> int:
        self._answer()
        return 200

    def collection_names(self) -> list[str]:
        self._answer()
        return sorted(self.cluster.collections)

    def aliases(self) -> dict[str, str]:
        self._answer()
        return dict(self.cluster.aliases)

    def collection(self, name: str) -> dict[str, Any]:
        self._answer()
        return {"payload_schema": {}, "config": {"params": self.cluster.found(name).body}}

    def shards(self, name: str) -> dict[str, Any]:
        self._answer()
        return self._placement(self.cluster.found(name))

    def _placement(self, found: Collection) -> dict[str, Any]:
        rows = [(shard, peer, one) for shard, replicas in found.shards.items() for peer, one in replicas.items()]
        seen = [(shard, peer, one.state, one.points) for shard, peer, one in rows]
        moving = [{"shard_id": shard} for shard, _peer, one in rows if one.state == "Partial"]
        for _shard, _peer, one in rows:
            one.tick()
        return {
            "peer_id": self.peer,
            "shard_count": len(found.shards),
            "local_shards": [
                {"shard_id": shard, "state": state, "points_count": points}
                for shard, peer, state, points in seen
                if peer == self.peer
            ],
            "remote_shards": [
                {"shard_id": shard, "peer_id": peer, "state": state}
                for shard, peer, state, _points in seen
                if peer != self.peer
            ],
            "shard_transfers": moving,
        }

    def change(self, method: str, path: str, body: Any = None, **_query: str) -> None:
        self._answer(f"{method} {path}")
        _, _, name, *rest = (unquote(part) for part in path.split("/"))
        assert not rest, path
        if method == "PUT":
            self.cluster.create(name, body)
        else:
            assert method == "PATCH"
            made = self.cluster.found(name).body
            made.update(body.get("params", {}))
            made["metadata"] = {**made.get("metadata", {}), **body.get("metadata", {})}

    def delete_collection(self, name: str) -> None:
        self._answer(f"DELETE /collections/{quote(name, safe='')}")
        if name not in self.cluster.collections:
            raise GONE
        del self.cluster.collections[name]
        self.cluster.aliases = {alias: target for alias, target in self.cluster.aliases.items() if target != name}

    def change_aliases(self, set_to: Mapping[str, str], delete: Iterable[str] = ()) -> None:
        self._answer("POST /collections/aliases")
        for alias in delete:
            self.cluster.aliases.pop(alias, None)
        assert not set(set_to) & set(self.cluster.collections)
        self.cluster.aliases |= set_to

    def replicate_shard(self, name: str, shard: int, source: int, target: int) -> None:
        self._answer(f"POST /collections/{name}/cluster")
        self.cluster.copy(name, shard, source, target)

    def count(self, name: str) -> int:
        self._answer()
        return self.cluster.count(name, self.peer)

    def upload(self, path: str, source: Path, _checksum: str) -> None:
        self._answer()
        _, _, name, _, shard, *_ = path.split("/")
        self.cluster.log.append(f"upload {name}")
        if name in self.cluster.refuses:
            raise RagopsError("qdrant_error", f"{self.name} answers 500: told to fail", "see the log")
        self.cluster.put(unquote(name), int(shard), self.peer, int(source.read_text()))
