"""Takes a snapshot of one replica of every shard, spread over the nodes, and leaves none of them on a server."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from ragops.errors import RagopsError, UnhealthyError
from ragops.services.contract import Part
from ragops.services.qdrant import catalogue, offline
from ragops.services.qdrant.catalogue import CollectionRecord, Shard, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from ragops.services.contract import Sink
    from ragops.services.qdrant.nodes import Nodes
    from ragops.services.qdrant.rest import Rest
    from ragops.services.qdrant.server_copies import ServerCopies
    from ragops.services.qdrant.shards import Replica


@dataclass
class Taking:
    """One collection on its way: `tasks` take its shards, each on its own; then `record` says what was taken."""

    bare: CollectionRecord
    tasks: list[Callable[[], None]] = field(default_factory=list)
    shards: dict[int, Shard] = field(default_factory=dict)
    gone: bool = False

    def record(self) -> CollectionRecord:
        """The collection with the shards that were taken, in their order."""
        ordered = tuple(shard for _, shard in sorted(self.shards.items()))
        return self.bare.model_copy(update={"shards": ordered})


@dataclass(frozen=True)
class Dump:
    """Where the parts of a dump go, what is stated of their engine, and the copies that servers make meanwhile."""

    nodes: Nodes
    sink: Sink
    versions: Mapping[str, str]
    copies: ServerCopies

    def collection(self, name: str, number: int) -> Taking:
        """What takes the shards of the collection, the `number`th.

        Raises UnhealthyError (qdrant_shard_away) where no node that answers has a shard.
        """
        holding = self.nodes.holding(path_of(name))
        if away := holding.shards.unserved(holding.clients):
            what = f"{name}: no node that answers has shard {away[0]}"
            raise UnhealthyError(
                "qdrant_shard_away", what, "`ragops health qdrant`; `ragops up` starts what is stopped"
            )
        taking = Taking(catalogue.record(self.nodes.first, name))
        replicas = holding.shards.shards()
        names = {peer: client.name for peer, client in holding.clients.items()}
        for shard, peer in holding.shards.sources(holding.clients).items():
            where = _whereabouts(replicas[shard], names)
            take = partial(self._shard, taking, holding.clients[peer], shard, f"{number:04}-{shard}", len(replicas))
            taking.tasks.append(partial(self._unless_deleted, taking, take, where))
        return taking

    def _unless_deleted(self, taking: Taking, take: Callable[[], Shard], where: Mapping[str, object]) -> None:
        """A collection that its owner deletes meanwhile is no failure."""
        if taking.gone:
            return
        try:
            shard = take()
        except RagopsError as error:
            if error.code != "qdrant_not_found" or taking.bare.name in catalogue.names(self.nodes.first):
                raise
            taking.gone = True
        else:
            taking.shards[shard.id] = shard.model_copy(update=where)

    def _shard(self, taking: Taking, client: Rest, shard: int, file: str, shards: int) -> Shard:
        name, instant = taking.bare.name, datetime.now(tz=UTC)
        target = self.sink.folder / f"{file}.snapshot"
        fetch(client, f"{path_of(name)}/shards/{shard}/snapshots", target, self.copies)

        def read_back() -> Part:
            points = self._points(target)
            counts = {} if points is None else {kind(name, shard, shards): points}
            return Part(target.name, instant, counts, self.versions)

        part = self.sink.put(target.name, read_back)
        return Shard(id=shard, file=target.name, points=next(iter(part.counts.values()), None))

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


def fetch(client: Rest, snapshots: str, target: Path, copies: ServerCopies) -> None:
    """Have a snapshot made, fetch it, and remove it from the server whatever happens."""
    before = names_of(client, snapshots)
    with copies.noted(client.name, snapshots, before), _nothing_left(client, snapshots, before):
        made = client.send("POST", snapshots, wait="true")
        path = f"{snapshots}/{quote(made['name'], safe='')}"
        client.download(path, target, made.get("checksum") or "")
        client.send("DELETE", path, wait="true")


def names_of(client: Rest, snapshots: str) -> set[str]:
    """The snapshots that the server has there."""
    return {item["name"] for item in client.get(snapshots)}


def remove_others(client: Rest, snapshots: str, before: set[str]) -> None:
    """Remove the snapshots that were not there `before`."""
    for name in names_of(client, snapshots) - before:
        client.send("DELETE", f"{snapshots}/{quote(name, safe='')}", wait="true")


@contextlib.contextmanager
def _nothing_left(client: Rest, snapshots: str, before: set[str]) -> Iterator[None]:
    """A request that was given up may have left a snapshot whose name nobody was told."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(RagopsError):  # the first failure is the one to tell
            remove_others(client, snapshots, before)
        raise
