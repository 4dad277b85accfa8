"""Takes a snapshot of one replica of every shard, spread over the nodes, and leaves none of them on a server."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from ragops.errors import RagopsError, UnhealthyError
from ragops.services.contract import Part
from ragops.services.qdrant import catalogue, offline
from ragops.services.qdrant.catalogue import CollectionRecord, Shard, path_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ragops.services.qdrant.nodes import Nodes
    from ragops.services.qdrant.rest import Rest
    from ragops.services.qdrant.shards import Replica


@dataclass(frozen=True)
class Dump:
    """Where the files of a dump go, and what is stated of their engine."""

    nodes: Nodes
    folder: Path
    versions: Mapping[str, str]

    def collection(self, name: str, number: int) -> tuple[CollectionRecord, list[Part]]:
        """Snapshots of all shards of the collection, the `number`th, and its record.

        Raises UnhealthyError (qdrant_shard_away) where no node that answers has a shard.
        """
        holding = self.nodes.holding(path_of(name))
        if away := holding.shards.unserved(holding.clients):
            what = f"{name}: no node that answers has shard {away[0]}"
            raise UnhealthyError(
                "qdrant_shard_away", what, "`ragops health qdrant`; `ragops up` starts what is stopped"
            )
        record = catalogue.record(self.nodes.first, name)
        replicas = holding.shards.shards()
        names = {peer: client.name for peer, client in holding.clients.items()}
        shards, parts = [], []
        for shard, peer in holding.shards.sources(holding.clients).items():
            kept, part = self._shard(holding.clients[peer], name, shard, f"{number:04}-{shard}", len(replicas))
            shards.append(kept.model_copy(update=_whereabouts(replicas[shard], names)))
            parts.append(part)
        return record.model_copy(update={"shards": tuple(shards)}), parts

    def _shard(self, client: Rest, name: str, shard: int, file: str, shards: int) -> tuple[Shard, Part]:
        instant = datetime.now(tz=UTC)
        target = self.folder / f"{file}.snapshot"
        fetch(client, f"{path_of(name)}/shards/{shard}/snapshots", target)
        points = self._points(target)
        counts = {} if points is None else {kind(name, shard, shards): points}
        return Shard(id=shard, file=target.name, points=points), Part(target.name, instant, counts, self.versions)

    def _points(self, target: Path) -> int | None:
        """By the engine, where it can read the file; None where it can only be seen to be whole."""
        if offline.is_readable(*next(iter(self.versions.items()))):
            return offline.count_points(target)
        offline.check_archive(target)
        return None


def _whereabouts(replicas: tuple[Replica, ...], names: Mapping[int, str]) -> dict[str, object]:
    holders = tuple(names[replica.peer] for replica in replicas if replica.active and replica.peer in names)
    return {"key": replicas[0].key, "nodes": holders}


def kind(name: str, shard: int, shards: int) -> str:
    """How the points of a shard are called among the counts; a collection's name cannot contain a slash."""
    return f"{name}.points" if shards == 1 else f"{name}/{shard}.points"


def fetch(client: Rest, snapshots: str, target: Path) -> None:
    """Have a snapshot made, fetch it, and remove it from the server whatever happens."""
    before = _names(client, snapshots)
    with _nothing_left(client, snapshots, before):
        made = client.send("POST", snapshots, wait="true")
        path = f"{snapshots}/{quote(made['name'], safe='')}"
        client.download(path, target, made.get("checksum") or "")
    client.send("DELETE", path, wait="true")


def _names(client: Rest, snapshots: str) -> set[str]:
    return {item["name"] for item in client.get(snapshots)}


@contextlib.contextmanager
def _nothing_left(client: Rest, snapshots: str, before: set[str]) -> Iterator[None]:
    """A request that was given up may have left a snapshot whose name nobody was told."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(RagopsError):  # the first failure is the one to tell
            for name in _names(client, snapshots) - before:
                client.send("DELETE", f"{snapshots}/{quote(name, safe='')}", wait="true")
        raise
