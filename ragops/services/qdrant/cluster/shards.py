"""The shards of a collection and their replicas, as one node reports them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragops.adapters.qdrant.failures import suppress_missing

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from ragops.adapters.qdrant.http import HttpClient

ACTIVE = "Active"

ShardKey = str | int


@dataclass(frozen=True)
class Replica:
    """A replica of a shard on a peer; `key` is the shard key of custom sharding."""

    shard: int
    peer: int
    state: str
    key: ShardKey | None = None

    @property
    def active(self) -> bool:
        """Return whether it answers requests."""
        return self.state == ACTIVE


@dataclass(frozen=True)
class ShardMap:
    """All replicas of a collection as peer `peer` reports them; `moving` are shards that are being copied."""

    peer: int
    shard_count: int
    replicas: tuple[Replica, ...]
    moving: frozenset[int] = frozenset()

    @classmethod
    def read(cls, client: HttpClient, collection: str) -> ShardMap:
        """Return the shards as this node reports them. Raises as `HttpClient`."""
        return cls.of(client.shards(collection))

    @classmethod
    def of(cls, cluster: Mapping[str, Any]) -> ShardMap:
        """Return the shards from the answer to `GET /collections/NAME/cluster`."""
        own = cluster["peer_id"]
        rows = [(own, shard) for shard in cluster["local_shards"]]
        rows += [(shard["peer_id"], shard) for shard in cluster["remote_shards"]]
        replicas = (Replica(row["shard_id"], peer, row["state"], row.get("shard_key")) for peer, row in rows)
        ordered = tuple(sorted(replicas, key=lambda replica: (replica.shard, replica.peer)))
        moving = frozenset(transfer["shard_id"] for transfer in cluster["shard_transfers"])
        return cls(own, cluster["shard_count"], ordered, moving)

    def shards(self) -> dict[int, tuple[Replica, ...]]:
        """Return the replicas of every shard."""
        found: dict[int, list[Replica]] = defaultdict(list)
        for replica in self.replicas:
            found[replica.shard].append(replica)
        return {shard: tuple(replicas) for shard, replicas in sorted(found.items())}

    def inactive(self) -> tuple[Replica, ...]:
        """Return the replicas that do not answer requests."""
        return tuple(replica for replica in self.replicas if not replica.active)

    @property
    def settled(self) -> bool:
        """Return whether every shard is there, every replica is active, and none is being copied."""
        return len(self.shards()) == self.shard_count and not self.inactive() and not self.moving

    def unserved(self, peers: Container[int]) -> tuple[int, ...]:
        """Return the shards without an active replica on any of `peers`."""
        shards = self.shards()
        lost = set(range(self.shard_count)) - set(shards) if all(r.key is None for r in self.replicas) else set()
        lost |= {
            shard
            for shard, replicas in shards.items()
            if not any(replica.active and replica.peer in peers for replica in replicas)
        }
        return tuple(sorted(lost))

    def sources(self, peers: Container[int]) -> dict[int, int]:
        """Return for every shard one of `peers` with an active replica, so that each peer gets as few as possible.

        Shards that none of them has are left out.
        """
        able = {
            shard: [replica.peer for replica in replicas if replica.active and replica.peer in peers]
            for shard, replicas in self.shards().items()
        }
        able = {shard: found for shard, found in able.items() if found}
        for most in range(1, len(able) + 1):
            if chosen := _spread(able, most):
                return dict(sorted(chosen.items()))
        return {}

    def fewest_replicas(self) -> int:
        """Return the number of replicas, active or not, of the shard that has the fewest."""
        return min((len(replicas) for replicas in self.shards().values()), default=0)


def shard_maps(client: HttpClient) -> Iterator[tuple[str, ShardMap]]:
    """Return the shards of every collection."""
    for name in client.collection_names():
        with suppress_missing():  # deleted in between
            yield name, ShardMap.read(client, name)


def _spread(able: Mapping[int, Sequence[int]], most: int) -> dict[int, int]:
    """Return a peer for every shard, at most `most` shards on each, nothing if that is impossible.

    If all peers of a shard are full, another shard is moved away from one of them, which may move a third one.
    """
    held: dict[int, list[int]] = defaultdict(list)

    def place(shard: int, seen: set[int]) -> bool:
        for peer in sorted(able[shard], key=lambda peer: (len(held[peer]), peer)):
            if peer in seen:
                continue
            seen.add(peer)
            shards = held[peer]
            leaving = None if len(shards) < most else next((other for other in shards if place(other, seen)), None)
            if leaving is not None:
                shards.remove(leaving)  # it is on another peer now
            if len(shards) < most:
                shards.append(shard)
                return True
        return False

    if all(place(shard, set()) for shard in able):
        return {shard: peer for peer, shards in held.items() for shard in shards}
    return {}
