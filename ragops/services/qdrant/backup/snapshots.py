"""Takes a snapshot of one replica of every shard, spread over the nodes, and leaves none of them on a server."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from ragops.adapters.qdrant.addresses import path_of
from ragops.errors import RagopsError, UnhealthyError
from ragops.services.contract import Part
from ragops.services.qdrant.backup import manifest, snapshot_reader
from ragops.services.qdrant.backup.manifest import CollectionRecord, Shard
from ragops.services.qdrant.backup.proven_copies import user_collections
from ragops.services.qdrant.backup.snapshot_download import follow_snapshot, start_download
from ragops.services.qdrant.cluster.shards import ShardMap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.services.contract import PartWriter
    from ragops.services.qdrant.backup.snapshot_journal import ServerCopies
    from ragops.services.qdrant.cluster.nodes import Nodes
    from ragops.services.qdrant.cluster.shards import Replica


@dataclass
class CollectionSnapshot:
    """The snapshots of one collection: each of `tasks` takes a shard, after them `record` returns the result."""

    bare: CollectionRecord
    tasks: list[Callable[[], None]] = field(default_factory=list)
    shards: dict[int, Shard] = field(default_factory=dict)
    gone: bool = False

    def record(self) -> CollectionRecord:
        """Return the collection with the shards that were taken, in their order."""
        ordered = tuple(shard for _, shard in sorted(self.shards.items()))
        return self.bare.model_copy(update={"shards": ordered})


@dataclass(frozen=True)
class Dump:
    """The target of a dump's parts, the facts of their engine, and the copies that servers make during the dump.

    `storage` is the folder of the development server if this machine has access to it.
    """

    nodes: Nodes
    writer: PartWriter
    versions: Mapping[str, str]
    copies: ServerCopies
    storage: Path | None = None

    def collection(self, name: str, number: int) -> CollectionSnapshot:
        """Return the tasks for the shards of the collection, the `number`th.

        Raises UnhealthyError (qdrant_shard_away) if no node that answers has a shard.
        """
        holding = self.nodes.shard_placement(name)
        if away := holding.shards.unserved(holding.clients):
            what = f"cannot back up {name}: no node that answers has shard {away[0]}"
            raise UnhealthyError(
                "qdrant_shard_away", what, "`ragops health qdrant`; `ragops up` starts what is stopped"
            )
        snapshot = CollectionSnapshot(manifest.record(self.nodes.first, name))
        replicas = holding.shards.shards()
        names = {peer: client.name for peer, client in holding.clients.items()}
        for shard, peer in holding.shards.sources(holding.clients).items():
            where = _whereabouts(replicas[shard], names)
            others = [one.peer for one in replicas[shard] if one.active and one.peer in names and one.peer != peer]
            clients = [holding.clients[one] for one in (peer, *others)]
            take = partial(self._from_any, clients, snapshot, shard, f"{number:04}-{shard}", len(replicas))
            snapshot.tasks.append(partial(self._unless_deleted, snapshot, take, where))
        return snapshot

    def _from_any(
        self, clients: Sequence[HttpClient], snapshot: CollectionSnapshot, shard: int, file: str, shards: int
    ) -> Shard:
        """Take the shard from the first node, or if that is lost from another one that has it."""
        first, *others = clients
        try:
            return self._shard(snapshot, first, shard, file, shards)
        except UnhealthyError:
            able = [client for client in others if _has_active(client, snapshot.bare.name, shard)]
            if not able:
                raise
        return self._from_any(able, snapshot, shard, file, shards)

    def _unless_deleted(
        self, snapshot: CollectionSnapshot, take: Callable[[], Shard], where: Mapping[str, object]
    ) -> None:
        if snapshot.gone:
            return
        with ignore_deletion(snapshot.bare.name, self.nodes.first):
            shard = take()
            snapshot.shards[shard.id] = shard.model_copy(update=where)
            return
        snapshot.gone = True

    def _shard(self, snapshot: CollectionSnapshot, client: HttpClient, shard: int, file: str, shards: int) -> Shard:
        name, instant = snapshot.bare.name, datetime.now(tz=UTC)
        part_name = f"{file}.snapshot"
        target = self.writer.folder / f"{part_name}.copy"

        def read_back() -> Part:
            points = self._points(download.wait())
            counts = {} if points is None else {kind(name, shard, shards): points}
            return Part(part_name, instant, counts, self.versions)

        path = f"{path_of(name)}/shards/{shard}/snapshots"
        if self.storage is None:
            source = start_download(client, path, target, self.copies)
        else:
            source = follow_snapshot(client, path, self.storage, self.copies)
        with source as download:
            part = self.writer.store(part_name, download, read_back, sha256=download.checksum)
        return Shard(id=shard, file=part_name, points=next(iter(part.counts.values()), None))

    def _points(self, target: Path) -> int | None:
        """Count by the engine if it can read the file; None if only its completeness can be checked."""
        if snapshot_reader.is_readable(*next(iter(self.versions.items()))):
            return snapshot_reader.count_points(target)
        snapshot_reader.check_archive(target)
        return None


@contextmanager
def ignore_deletion(name: str, client: HttpClient) -> Iterator[None]:
    """End the block if its owner has deleted the collection."""
    try:
        yield
    except RagopsError as error:
        if error.code != "qdrant_not_found" or name in user_collections(client):
            raise


def _has_active(client: HttpClient, name: str, shard: int) -> bool:
    """Return whether the node answers and reports its replica as active: it may have missed a write by now."""
    try:
        seen = ShardMap.read(client, name)
    except UnhealthyError:
        return False
    return any(one.shard == shard and one.peer == seen.peer and one.active for one in seen.replicas)


def _whereabouts(replicas: tuple[Replica, ...], names: Mapping[int, str]) -> dict[str, object]:
    holders = tuple(names[replica.peer] for replica in replicas if replica.active and replica.peer in names)
    return {"key": replicas[0].key, "nodes": holders}


def kind(name: str, shard: int, shards: int) -> str:
    """Return the name of a shard's points among the counts; a collection's name cannot contain a slash."""
    return f"{name}.points" if shards == 1 else f"{name}/{shard}.points"
