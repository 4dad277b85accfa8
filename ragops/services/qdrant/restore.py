"""Puts collections back over the REST API, which can neither rename nor exchange them.

First every snapshot goes into a collection beside, `<name>__ragops-restore`, and is counted: what fails here has
touched nothing. Then each collection is deleted and made again from the same files. Between the two it is away, by its
name and its aliases: for that long searches in this one collection answer 404. Should that step fail, the proven copy
is still there under its own name, and the next run starts over from the recovery point.

In a cluster each snapshot is sent to one node that has the shard; the other replicas are filled from that one. A
collection is back when every replica is active on the word of every node, and every node counts the same points.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ragops.errors import IntegrityError, RagopsError
from ragops.services.qdrant import RESTORE_SUFFIX, catalogue
from ragops.services.qdrant.catalogue import path_of
from ragops.services.qdrant.consensus import change
from ragops.services.qdrant.shards import ShardMap

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ragops.services.qdrant.catalogue import Catalogue, CollectionRecord
    from ragops.services.qdrant.nodes import Nodes
    from ragops.services.qdrant.rest import Rest

_STUCK_SECONDS = 600.0  # without anything changing
_POLL = 0.1
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Restore:
    """One run: makes the server hold `wanted`, from the files in `folder`; shards get `copies` replicas at least."""

    nodes: Nodes
    folder: Path
    wanted: Catalogue
    copies: int = 1

    def run(self) -> tuple[str, ...]:
        """Make the server hold `wanted` and no other collection or alias; returns words for the user.

        Raises IntegrityError (counts_differ), RagopsError; before the first collection was replaced, all are as they
        were.
        """
        rest = self.nodes.first
        clear(rest)
        try:
            for number, record in enumerate(self.wanted.collections):
                self._build(record, _beside(record.name, number), copies=1, most=1)
        except BaseException:
            with contextlib.suppress(RagopsError):  # the first failure is the one to tell; the next run clears them
                clear(rest)
            raise
        for number, record in enumerate(self.wanted.collections):
            self._replace(record, _beside(record.name, number))
        extra = sorted(set(catalogue.names(rest)) - {record.name for record in self.wanted.collections})
        for name in extra:
            _delete(rest, name)
        _set_aliases(rest, self.wanted.aliases)
        clear(rest)
        gone = f"collections removed because the recovery point does not have them: {', '.join(extra)}"
        return (gone,) if extra else ()

    def _build(self, record: CollectionRecord, name: str, *, copies: int, most: int) -> None:
        """Make the collection `name` from the snapshots of `record`; it holds every point when this returns.

        A shard gets as many replicas as the record says, but at least `copies` and at most `most`.
        """
        rest = self.nodes.first
        change(rest, "PUT", path_of(name), _body(record, copies, most))
        _make_shard_keys(rest, name, record)
        # Before the data: a node keeps for new segments only those indexes that it was told of.
        for index in record.indexes:
            change(rest, "PUT", f"{path_of(name)}/index", index.model_dump(), wait="true")
        self._wait_active(name)
        self._upload(record, name)
        known = rest.get(path_of(name))["payload_schema"]
        for index in record.indexes:
            if index.field_name not in known:
                rest.send("PUT", f"{path_of(name)}/index", index.model_dump(), wait="true")
        self._wait_active(name)
        self._compare(record, name)

    def _upload(self, record: CollectionRecord, name: str) -> None:
        """Each snapshot to one node that has its shard, spread over the nodes."""
        holding = self.nodes.holding(path_of(name))
        targets = holding.shards.sources(holding.clients)
        ids = _new_ids(record, holding.shards)
        for shard in record.shards:
            source = self.folder / shard.file
            with source.open("rb") as stream:
                checksum = hashlib.file_digest(stream, "sha256").hexdigest()
            here = ids[shard.id]
            if here not in targets:
                what = f"{name}: no node that answers has shard {here}"
                raise RagopsError("qdrant_shard_away", what, "`ragops health qdrant`, then restore again")
            client = holding.clients[targets[here]]
            client.upload(f"{path_of(name)}/shards/{here}/snapshots/upload", source, checksum)

    def _compare(self, record: CollectionRecord, name: str) -> None:
        """Every node counts what the recovery point holds. Raises IntegrityError (counts_differ)."""
        if record.points is None:
            return
        for client in self.nodes.clients:
            if (found := catalogue.count(client, name)) != record.points:
                what = f"{record.name}: {found} points came back, not {record.points}"
                raise IntegrityError("counts_differ", what, "use another recovery point: `ragops backup list`")

    def _wait_active(self, name: str) -> None:
        """Only then is a restore done: replicas have been left half-way by servers (field notes)."""
        seen: object = None
        since = time.monotonic()
        while True:
            views = [self._view(client, name) for client in self.nodes.clients]
            if all(view is not None and ShardMap.of(view).settled for view in views):
                return
            if (picture := [_picture(view) for view in views]) != seen:
                seen, since = picture, time.monotonic()
            if time.monotonic() - since > _STUCK_SECONDS:
                what = f"{name}: not every replica is active, and nothing has changed for {_STUCK_SECONDS:.0f} s"
                raise RagopsError("qdrant_shards_inactive", what, "see `ragops logs qdrant`, then restore again")
            time.sleep(_POLL)

    @staticmethod
    def _view(client: Rest, name: str) -> dict[str, Any] | None:
        """None where the node has not heard of the collection yet."""
        try:
            found: dict[str, Any] = client.get(f"{path_of(name)}/cluster")
        except RagopsError as error:
            if error.code == "qdrant_not_found":
                return None
            raise
        return found

    def _replace(self, record: CollectionRecord, copy: str) -> None:
        """Let the snapshots that were proven in `copy` take the place of the collection."""
        rest = self.nodes.first
        try:
            if record.name in catalogue.aliases(rest):
                _change(rest, [_deletion(record.name)])
            _delete(rest, record.name)
            self._build(record, record.name, copies=self.copies, most=len(self.nodes.clients))
            live = set(catalogue.names(rest))
            aliases = self.wanted.aliases.items()
            own = {alias: name for alias, name in aliases if name == record.name and alias not in live}
            _change(rest, [_creation(alias, name) for alias, name in own.items()])
        except RagopsError as error:
            hint = f"restore again; what it is to hold is in the collection {copy} meanwhile. {error.hint}".strip()
            what = f"{record.name} is not back: {error.message}"
            raise RagopsError(error.code, what, hint, exit_code=error.exit_code) from error
        _delete(rest, copy)


def clear(rest: Rest) -> None:
    """Remove the copies of an earlier run."""
    for item in rest.get("/collections")["collections"]:
        if item["name"].endswith(RESTORE_SUFFIX):
            _delete(rest, item["name"])


def _body(record: CollectionRecord, copies: int, most: int) -> dict[str, Any]:
    """What makes the collection here, where there may be another number of nodes."""
    body = dict(record.create)
    if "replication_factor" in body:
        wanted = min(max(int(str(body["replication_factor"])), copies), most)
        consistent = int(str(body.get("write_consistency_factor") or 1))
        body |= {"replication_factor": wanted, "write_consistency_factor": min(consistent, wanted)}
    return body


def _delete(rest: Rest, name: str) -> None:
    change(rest, "DELETE", path_of(name))


def _beside(name: str, number: int) -> str:
    """The name of the copy; a number where the name leaves no room for the suffix."""
    beside = f"{name}{RESTORE_SUFFIX}"
    return beside if len(beside.encode()) <= _LONGEST_NAME else f"{number}{RESTORE_SUFFIX}"


def _picture(view: Mapping[str, Any] | None) -> object:
    """What changes while replicas are filled."""
    if view is None:
        return None
    points = [(shard["shard_id"], shard["state"], shard["points_count"]) for shard in view["local_shards"]]
    return points, ShardMap.of(view)


# --- custom sharding -------------------------------------------------------------------------------------------------


def _make_shard_keys(rest: Rest, name: str, record: CollectionRecord) -> None:
    """The keys in the order that they were made in, by the numbers of their shards."""
    keyed = [shard for shard in record.shards if shard.key is not None]
    for key, shards in groupby(sorted(keyed, key=lambda shard: shard.id), key=lambda shard: shard.key):
        body = {"shard_key": key, "shards_number": sum(1 for _ in shards)}
        change(rest, "PUT", f"{path_of(name)}/shards", body)


def _new_ids(record: CollectionRecord, shards: ShardMap) -> dict[int, int]:
    """The number of each shard in the new collection: where keys were dropped, numbers have been left out."""
    keys = {replica.shard: replica.key for replica in shards.replicas}
    if not any(shard.key is not None for shard in record.shards):
        return {shard.id: shard.id for shard in record.shards}
    ids: dict[int, int] = {}
    for key in {shard.key for shard in record.shards}:
        olds = sorted(shard.id for shard in record.shards if shard.key == key)
        news = sorted(shard for shard, its_key in keys.items() if its_key == key)
        ids |= dict(zip(olds, news, strict=True))
    return ids


# --- aliases ---------------------------------------------------------------------------------------------------------


def _set_aliases(rest: Rest, wanted: Mapping[str, str]) -> None:
    """In one request, which is carried out as a whole."""
    gone = [alias for alias in catalogue.aliases(rest) if alias not in wanted]
    _change(rest, [*map(_deletion, gone), *(_creation(alias, name) for alias, name in wanted.items())])


def _change(rest: Rest, actions: list[dict[str, object]]) -> None:
    if actions:
        change(rest, "POST", "/collections/aliases", {"actions": actions})


def _creation(alias: str, collection: str) -> dict[str, object]:
    return {"create_alias": {"alias_name": alias, "collection_name": collection}}


def _deletion(alias: str) -> dict[str, object]:
    return {"delete_alias": {"alias_name": alias}}
