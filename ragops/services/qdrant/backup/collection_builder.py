"""Builds one collection from the snapshots of its shards, and proves that it holds all their points.

Every shard gets one replica, which receives its snapshot and is counted; only then the other replicas are copied from
it. Replicas that exist when a snapshot is received report that they are active, and are empty, until the cluster has
noticed (seen on 1.18.3).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ragops.adapters.progress import Progress, report
from ragops.adapters.qdrant.addresses import path_of
from ragops.adapters.qdrant.failures import suppress_missing
from ragops.errors import RagopsError, UnhealthyError
from ragops.services.qdrant import shard_layout
from ragops.services.qdrant.cluster.polling import Observation, wait, while_answering
from ragops.services.qdrant.cluster.replicas import missing_copies, start_copy
from ragops.services.qdrant.cluster.shards import ShardMap

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.adapters.qdrant.node_client import NodeClient
    from ragops.services.qdrant.backup.manifest import CollectionRecord
    from ragops.services.qdrant.cluster.nodes import Nodes

_LOOK_SECONDS = 10.0
_TRIES = 5  # to copy a shard to a node
_CREATE_TRIES = 20  # against a writer that creates the collection as soon as it is deleted
_LIMITS = "strict_mode_config"  # they would refuse the writes of a restore


@dataclass(frozen=True)
class Builder:
    """Builds collections from the files in `folder`; `checksums` of them are SHA-256 by name."""

    nodes: Nodes
    folder: Path
    checksums: Mapping[str, str]
    load: Counter[int] = field(default_factory=Counter)

    @property
    def _is_alone(self) -> bool:
        return len(self.nodes.clients) == 1

    def build(self, record: CollectionRecord, name: str, copies: int, proven: str = "") -> str:
        """Build the collection `name`, with `copies` replicas of every shard; it holds every point when this returns.

        With `proven`, the name of a copy that was built before, others may write into `name` at the same time: it has
        to hold all points of the copy, and may hold more. Returns a note for the user. Raises IntegrityError
        (counts_differ), UnhealthyError, RagopsError.
        """
        client = self.nodes.first
        _create(client, name, _single(record.create), replace=bool(proven))
        _create_shard_keys(client, name, record)
        # Before the data: a node builds in new segments only those indexes that exist by then.
        for index in record.indexes:
            client.change("PUT", f"{path_of(name)}/index", index.model_dump(), wait="true")
        wait(name, lambda: self._look(record, name, 1, counted=False), alone=self._is_alone)
        self._upload(record, name)
        self._index(record, name)
        wait(name, lambda: self._look(record, name, 1, proven=proven), alone=self._is_alone)
        if later := _later(record, copies):
            client.change("PATCH", path_of(name), later)
        if copies > 1:
            self._copy(record, name, copies, proven)
        self._optimize(name)
        return self._describe_more(record, name) if proven else ""

    def _optimize(self, name: str) -> None:
        """Start the optimizers: segments of a snapshot wait for a change, and the collection is grey for as long."""
        with contextlib.suppress(RagopsError):  # all data are there, and health reports a grey collection
            infos = [client.within(_LOOK_SECONDS).collection(name) for client in self.nodes.clients]
            if any(info.get("status") == "grey" for info in infos):
                self.nodes.first.start_optimizers(name)

    def is_whole(self, record: CollectionRecord, name: str) -> bool:
        """Return whether every node reports the collection with all points."""
        try:
            return not self._look(record, name, 1).missing
        except RagopsError:
            return False

    def _upload(self, record: CollectionRecord, name: str) -> None:
        """Send each snapshot to the node that has its shard."""
        holding = self.nodes.shard_placement(name)
        targets = holding.shards.sources(holding.clients)
        ids = _new_ids(record, holding.shards)
        for number, shard in enumerate(record.shards, 1):
            report(Progress("qdrant", f"{name}: shard {number} of {len(record.shards)} is sent"))
            here = ids[shard.id]
            if here not in targets:
                what = f"cannot send a snapshot of {name}: no node that answers has shard {here}"
                raise UnhealthyError("qdrant_shard_away", what, "`ragops health qdrant`")
            client, path = holding.clients[targets[here]], f"{path_of(name)}/shards/{here}/snapshots/upload"
            send = partial(client.upload, path, self.folder / shard.file, self.checksums[shard.file])
            while_answering(client, send)

    def _index(self, record: CollectionRecord, name: str) -> None:
        """Create those indexes that the snapshots lack."""
        known = self.nodes.first.collection(name)["payload_schema"]
        for index in record.indexes:
            if index.field_name not in known:
                self.nodes.first.send("PUT", f"{path_of(name)}/index", index.model_dump(), wait="true")

    def _copy(self, record: CollectionRecord, name: str, wanted: int, proven: str) -> None:
        """Copy every shard until there are as many replicas as wanted, and count them."""
        begun: Counter[tuple[int, int]] = Counter()
        clients = self.nodes.shard_placement(name).clients
        self.load.update(replica.peer for replica in ShardMap.read(self.nodes.first, name).replicas)

        def look() -> Observation:
            if (view := self._view(self.nodes.first, name)) is not None:
                for copy in missing_copies(ShardMap.of(view), wanted, sorted(clients), self.load):
                    begun[copy.shard, copy.target] += 1
                    if begun[copy.shard, copy.target] > _TRIES:
                        what = f"cannot copy shard {copy.shard} of {name} to {clients[copy.target].name}"
                        raise RagopsError("qdrant_copy_fails", what, "see `ragops logs qdrant`")
                    start_copy(self.nodes.first, name, copy)
            return self._look(record, name, wanted, proven=proven)

        wait(name, look)

    def _look(
        self, record: CollectionRecord, name: str, wanted: int, *, counted: bool = True, proven: str = ""
    ) -> Observation:
        """Return what is missing until every node reports every replica as active and counts every point."""
        views = {client.name: self._view(client, name) for client in self.nodes.clients}
        if unheard := [node for node, view in views.items() if view is None]:
            return Observation(f"{', '.join(unheard)} has no such collection yet", unheard)
        picture = [_picture(view) for view in views.values()]
        for node, view in views.items():
            if missing := _describe_unsettled(ShardMap.of(view or {}), wanted):
                return Observation(f"{missing}, by {node}", picture)
        if not counted or record.points is None:
            return Observation("")
        counts = {client.name: client.count(name) for client in self.nodes.clients}
        other = {node: count for node, count in counts.items() if count != record.points}
        if not other or (proven and min(counts.values()) >= record.points and self._holds_all(proven, name)):
            return Observation("")
        found = ", ".join(f"{node} counts {count}" for node, count in other.items())
        return Observation(f"{found} points, not {record.points}", (picture, counts), counts=True)

    @staticmethod
    def _view(client: HttpClient, name: str) -> dict[str, Any] | None:
        """Return the shards as JSON, None if the node has no such collection yet."""
        with suppress_missing():
            return client.within(_LOOK_SECONDS).shards(name)
        return None

    def _holds_all(self, proven: str, name: str) -> bool:
        """Return whether every node finds every point of the copy in the collection."""
        pages = self.nodes.first.point_ids(proven)
        return all(client.has_points(name, ids) for ids in pages for client in self.nodes.clients)

    def _describe_more(self, record: CollectionRecord, name: str) -> str:
        """Return a note on points that the recovery point does not have."""
        more = self.nodes.first.count(name) - (record.points or 0)
        if record.points is None or more <= 0:
            return ""
        return f"{name} holds {more} points more than the recovery point: something wrote into it during the restore"


def digests(folder: Path, record: CollectionRecord) -> dict[str, str]:
    """Return the SHA-256 of every snapshot of the collection, by the name of its file."""
    found = {}
    for shard in record.shards:
        with (folder / shard.file).open("rb") as stream:
            found[shard.file] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def replicas(record: CollectionRecord, least: int, most: int) -> int:
    """Return how many replicas of a shard the collection is to have on `most` nodes, `least` of them at least."""
    if _is_on_every_node(record):
        return most
    return min(max(int(str(record.create.get("replication_factor") or 1)), least), most)


def _is_on_every_node(record: CollectionRecord) -> bool:
    return shard_layout.is_on_every_node(record.create, record.create.get("metadata"))


def _create(client: NodeClient, name: str, body: dict[str, Any], *, replace: bool) -> None:
    """Create the collection; with `replace` one that a writer has created since its removal is deleted."""
    for attempt in range(1, _CREATE_TRIES + 1):
        try:
            return client.change("PUT", path_of(name), body)
        except RagopsError as error:
            if not replace or error.code != "qdrant_exists" or attempt == _CREATE_TRIES:
                raise
        client.delete_collection(name)
    raise AssertionError("unreachable")


def _single(create: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body that creates the collection with one replica of every shard and no limits of strict mode."""
    body = {name: value for name, value in create.items() if name != _LIMITS}
    if "replication_factor" in body:
        body |= {"replication_factor": 1, "write_consistency_factor": 1}
    return body


def _later(record: CollectionRecord, copies: int) -> dict[str, Any]:
    """Return the body of the change that follows the data."""
    consistent = min(int(str(record.create.get("write_consistency_factor") or 1)), copies)
    factors = {"replication_factor": copies, "write_consistency_factor": consistent} if copies > 1 else {}
    params = {**record.later, **factors}
    limits = {_LIMITS: record.create[_LIMITS]} if _LIMITS in record.create else {}
    noted = {"metadata": {shard_layout.EVERY_NODE: copies}} if _is_on_every_node(record) else {}
    return {**limits, **noted, **({"params": params} if params else {})}


def _describe_unsettled(shards: ShardMap, wanted: int) -> str:
    """Return what is missing for every shard to have so many active replicas, empty if nothing is."""
    if len(shards.shards()) < shards.shard_count:
        return f"{len(shards.shards())} of {shards.shard_count} shards are there"
    active = sum(replica.active for replica in shards.replicas)
    total = max(len(shards.replicas), wanted * len(shards.shards()))
    if active < total or shards.fewest_replicas() < min(wanted, total):
        return f"{active} of {total} copies are active"
    return f"{len(shards.moving)} shards are being copied" if shards.moving else ""


def _picture(view: Mapping[str, Any] | None) -> object:
    """Return a value that changes while replicas are filled."""
    if view is None:
        return None
    points = [(shard["shard_id"], shard["state"], shard["points_count"]) for shard in view["local_shards"]]
    return points, ShardMap.of(view)


# --- custom sharding -------------------------------------------------------------------------------------------------


def _create_shard_keys(client: NodeClient, name: str, record: CollectionRecord) -> None:
    """Create the shard keys in the order of the numbers of their shards, which is that of their first creation."""
    keyed = [shard for shard in record.shards if shard.key is not None]
    for key, shards in groupby(sorted(keyed, key=lambda shard: shard.id), key=lambda shard: shard.key):
        client.create_shard_key(name, key, sum(1 for _ in shards))


def _new_ids(record: CollectionRecord, shards: ShardMap) -> dict[int, int]:
    """Return the number of each shard in the new collection: dropped keys left gaps in the old numbers."""
    keys = {replica.shard: replica.key for replica in shards.replicas}
    if not any(shard.key is not None for shard in record.shards):
        return {shard.id: shard.id for shard in record.shards}
    ids: dict[int, int] = {}
    for key in {shard.key for shard in record.shards}:
        olds = sorted(shard.id for shard in record.shards if shard.key == key)
        news = sorted(shard for shard, its_key in keys.items() if its_key == key)
        ids |= dict(zip(olds, news, strict=True))
    return ids
