"""Makes one collection from the snapshots of its shards, and proves that it holds what they do.

Every shard gets one replica to begin with, which is sent its snapshot and counted; only then are the others copied from
it, as the cluster copies what a node has lost. Replicas that exist when a snapshot is sent would say that they are
active, and hold nothing, until the cluster has noticed (seen on 1.18.3).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ragops.adapters.progress import Progress, report
from ragops.errors import RagopsError, UnhealthyError
from ragops.services.qdrant.backup import manifest
from ragops.services.qdrant.backup.manifest import path_of
from ragops.services.qdrant.backup.proven_copies import CHANGE_SECONDS
from ragops.services.qdrant.cluster.consensus import retry_consensus
from ragops.services.qdrant.cluster.membership import begin_copy, missing_copies
from ragops.services.qdrant.cluster.polling import Seen, wait, while_answering
from ragops.services.qdrant.cluster.shards import ShardMap

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.services.qdrant.backup.manifest import CollectionRecord
    from ragops.services.qdrant.cluster.nodes import Nodes

_LOOK_SECONDS = 10.0
_COUNT_SECONDS = 120.0
_TRIES = 5  # to copy a shard to a node
_PAGE = 1000
_LIMITS = "strict_mode_config"  # they hold for what a restore writes too


@dataclass(frozen=True)
class Builder:
    """Makes collections from the files in `folder`; `checksums` of them are SHA-256 by name."""

    nodes: Nodes
    folder: Path
    checksums: Mapping[str, str]
    load: Counter[int] = field(default_factory=Counter)

    @property
    def _is_alone(self) -> bool:
        return len(self.nodes.clients) == 1

    def build(self, record: CollectionRecord, name: str, copies: int, proven: str = "") -> str:
        """Make the collection `name`, with `copies` replicas of every shard; it holds every point when this returns.

        With `proven`, the name of a copy that was made before, others may write into `name` at the same time: it has to
        hold all points of the copy, and may hold more. Returns a note for the user. Raises IntegrityError
        (counts_differ), UnhealthyError, RagopsError.
        """
        rest = self.nodes.first.within(CHANGE_SECONDS)
        _create(rest, name, _single(record.create), replace=bool(proven))
        _make_shard_keys(rest, name, record)
        # Before the data: a node builds in new segments only those indexes that exist by then.
        for index in record.indexes:
            retry_consensus(rest, "PUT", f"{path_of(name)}/index", index.model_dump(), wait="true")
        wait(name, lambda: self._look(record, name, 1, counted=False), alone=self._is_alone)
        self._upload(record, name)
        self._index(record, name)
        wait(name, lambda: self._look(record, name, 1, proven=proven), alone=self._is_alone)
        if later := _later(record, copies):
            retry_consensus(rest, "PATCH", path_of(name), later)
        if copies > 1:
            self._copy(record, name, copies, proven)
        self._optimize(name)
        return self._more(record, name) if proven else ""

    def _optimize(self, name: str) -> None:
        """Segments that came as they were wait for a change before they are optimized, and are grey for as long."""
        with contextlib.suppress(RagopsError):  # all data are there: health reports what is left undone here
            infos = [client.within(_LOOK_SECONDS).get(path_of(name)) for client in self.nodes.clients]
            if any(info.get("status") == "grey" for info in infos):
                retry_consensus(
                    self.nodes.first.within(CHANGE_SECONDS), "PATCH", path_of(name), {"optimizers_config": {}}
                )

    def is_whole(self, record: CollectionRecord, name: str) -> bool:
        """Whether the collection is there with all points, on the word of every node."""
        try:
            return not self._look(record, name, 1).missing
        except RagopsError:
            return False

    def _upload(self, record: CollectionRecord, name: str) -> None:
        """Each snapshot to the node that has its shard."""
        holding = self.nodes.shard_placement(path_of(name))
        targets = holding.shards.sources(holding.clients)
        ids = _new_ids(record, holding.shards)
        for number, shard in enumerate(record.shards, 1):
            report(Progress("qdrant", f"{name}: shard {number} of {len(record.shards)} is sent"))
            here = ids[shard.id]
            if here not in targets:
                what = f"{name}: no node that answers has shard {here}"
                raise UnhealthyError("qdrant_shard_away", what, "`ragops health qdrant`")
            self._send(holding.clients[targets[here]], f"{path_of(name)}/shards/{here}/snapshots/upload", shard.file)

    def _send(self, client: HttpClient, path: str, file: str) -> None:
        while_answering(client, lambda: client.upload(path, self.folder / file, self.checksums[file]))

    def _index(self, record: CollectionRecord, name: str) -> None:
        """Make those indexes that a snapshot did not bring."""
        known = self.nodes.first.get(path_of(name))["payload_schema"]
        for index in record.indexes:
            if index.field_name not in known:
                self.nodes.first.send("PUT", f"{path_of(name)}/index", index.model_dump(), wait="true")

    def _copy(self, record: CollectionRecord, name: str, wanted: int, proven: str) -> None:
        """Have every shard copied until there are as many replicas as wanted, and count them."""
        begun: Counter[tuple[int, int]] = Counter()
        clients = self.nodes.shard_placement(path_of(name)).clients
        first = ShardMap.of(self._view(self.nodes.first, name) or {})
        self.load.update(replica.peer for replica in first.replicas)

        def look() -> Seen:
            if (view := self._view(self.nodes.first, name)) is not None:
                for copy in missing_copies(ShardMap.of(view), wanted, sorted(clients), self.load):
                    begun[copy.shard, copy.target] += 1
                    if begun[copy.shard, copy.target] > _TRIES:
                        what = f"{name}: shard {copy.shard} was not copied to {clients[copy.target].name}"
                        raise RagopsError("qdrant_copy_fails", what, "see `ragops logs qdrant`")
                    begin_copy(self.nodes.first.within(CHANGE_SECONDS), name, copy)
            return self._look(record, name, wanted, proven=proven)

        wait(name, look)

    def _look(
        self, record: CollectionRecord, name: str, wanted: int, *, counted: bool = True, proven: str = ""
    ) -> Seen:
        """Whether every replica is there and active, and every node counts every point, by the word of each of them."""
        views = {client.name: self._view(client, name) for client in self.nodes.clients}
        if unheard := [node for node, view in views.items() if view is None]:
            return Seen(f"{', '.join(unheard)} has not heard of it yet", unheard)
        picture = [_picture(view) for view in views.values()]
        for node, view in views.items():
            if missing := _describe_unsettled(ShardMap.of(view or {}), wanted):
                return Seen(f"{missing}, by {node}", picture)
        if not counted or record.points is None:
            return Seen("")
        counts = {client.name: self._count(client, name) for client in self.nodes.clients}
        other = {node: count for node, count in counts.items() if count != record.points}
        if not other or (proven and min(counts.values()) >= record.points and self._holds_all(proven, name)):
            return Seen("")
        found = ", ".join(f"{node} counts {count}" for node, count in other.items())
        return Seen(f"{found} points, not {record.points}", (picture, counts), counts=True)

    @staticmethod
    def _view(client: HttpClient, name: str) -> dict[str, Any] | None:
        """None where the node has not heard of the collection yet."""
        try:
            found: dict[str, Any] = client.within(_LOOK_SECONDS).get(f"{path_of(name)}/cluster")
        except RagopsError as error:
            if error.code == "qdrant_not_found":
                return None
            raise
        return found

    @staticmethod
    def _count(client: HttpClient, name: str) -> int:
        return manifest.count(client.within(_COUNT_SECONDS), name)

    def _holds_all(self, proven: str, name: str) -> bool:
        """Whether every node finds every point of the copy in the collection."""
        offset: object = None
        while True:
            body = {"limit": _PAGE, "offset": offset, "with_payload": False, "with_vector": False}
            page = self.nodes.first.send("POST", f"{path_of(proven)}/points/scroll", body)
            wanted = {"ids": [point["id"] for point in page["points"]], "with_payload": False, "with_vector": False}
            for client in self.nodes.clients if wanted["ids"] else ():
                if len(client.send("POST", f"{path_of(name)}/points", wanted)) < len(page["points"]):
                    return False
            if (offset := page.get("next_page_offset")) is None:
                return True

    def _more(self, record: CollectionRecord, name: str) -> str:
        """Words on points that the recovery point does not have."""
        more = self._count(self.nodes.first, name) - (record.points or 0)
        if record.points is None or more <= 0:
            return ""
        return f"{name} holds {more} points more than the recovery point: something wrote into it during the restore"


def digests(folder: Path, record: CollectionRecord) -> dict[str, str]:
    """SHA-256 of every snapshot of the collection, by the name of its file."""
    found = {}
    for shard in record.shards:
        with (folder / shard.file).open("rb") as stream:
            found[shard.file] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def replicas(record: CollectionRecord, least: int, most: int) -> int:
    """How many replicas of a shard the collection is to have here, where there may be another number of nodes."""
    return min(max(int(str(record.create.get("replication_factor") or 1)), least), most)


def _create(rest: HttpClient, name: str, body: dict[str, Any], *, replace: bool) -> None:
    """Make the collection; what a writer has made under its name since it was removed gives way where `replace`."""
    try:
        retry_consensus(rest, "PUT", path_of(name), body)
    except RagopsError as error:
        if not replace or error.code != "qdrant_exists":
            raise
        retry_consensus(rest, "DELETE", path_of(name))
        retry_consensus(rest, "PUT", path_of(name), body)


def _single(create: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body that creates the collection with one replica of every shard and no limits of strict mode."""
    body = {name: value for name, value in create.items() if name != _LIMITS}
    if "replication_factor" in body:
        body |= {"replication_factor": 1, "write_consistency_factor": 1}
    return body


def _later(record: CollectionRecord, copies: int) -> dict[str, Any]:
    """Return what is changed once the data are there."""
    consistent = min(int(str(record.create.get("write_consistency_factor") or 1)), copies)
    factors = {"replication_factor": copies, "write_consistency_factor": consistent} if copies > 1 else {}
    params = {**record.later, **factors}
    limits = {_LIMITS: record.create[_LIMITS]} if _LIMITS in record.create else {}
    return limits | ({"params": params} if params else {})


def _describe_unsettled(shards: ShardMap, wanted: int) -> str:
    """Return what is missing for every shard to have so many active replicas, empty if nothing is."""
    if len(shards.shards()) < shards.shard_count:
        return f"{len(shards.shards())} of {shards.shard_count} shards are there"
    active = sum(replica.active for replica in shards.replicas)
    total = max(len(shards.replicas), wanted * len(shards.shards()))
    if active < total or shards.fewest_replicas() < min(wanted, total):
        return f"{active} of {total} copies are active"
    return f"{len(shards.moving)} shards are on their way" if shards.moving else ""


def _picture(view: Mapping[str, Any] | None) -> object:
    """Return what changes while replicas are filled."""
    if view is None:
        return None
    points = [(shard["shard_id"], shard["state"], shard["points_count"]) for shard in view["local_shards"]]
    return points, ShardMap.of(view)


# --- custom sharding -------------------------------------------------------------------------------------------------


def _make_shard_keys(rest: HttpClient, name: str, record: CollectionRecord) -> None:
    """Make the shard keys in the order of their creation, by the numbers of their shards."""
    keyed = [shard for shard in record.shards if shard.key is not None]
    for key, shards in groupby(sorted(keyed, key=lambda shard: shard.id), key=lambda shard: shard.key):
        body = {"shard_key": key, "shards_number": sum(1 for _ in shards)}
        retry_consensus(rest, "PUT", f"{path_of(name)}/shards", body)


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
