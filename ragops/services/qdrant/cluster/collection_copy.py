"""A copy of a collection in another layout: the open edition of Qdrant cannot change the shards of one that exists.

The copy is made like its source, then filled page by page in the order of the ids, so that a run which ended is
continued behind its last page. It is equal if both have the same ids; what differs is copied again or deleted.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from ragops.adapters import cancellation
from ragops.adapters.progress import Progress, report
from ragops.adapters.qdrant.addresses import path_of
from ragops.adapters.qdrant.failures import RequestFailedError, client_error
from ragops.errors import IntegrityError, RagopsError, UsageError
from ragops.services.qdrant.backup import manifest
from ragops.services.qdrant.cluster.nodes import addresses, operator_key
from ragops.services.qdrant.cluster.polling import Observation, wait
from ragops.services.qdrant.cluster.shards import ShardMap
from ragops.services.qdrant.shard_layout import EVERY_NODE, EXPECTED, SHARDS_SET, numbers_of
from ragops.services.qdrant.vector_storage import storage_for, with_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ragops.adapters.qdrant.client import Client, PointId
    from ragops.adapters.qdrant.copying import CopiedPage, IdDigest, Renaming
    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.cluster.nodes import Nodes
    from ragops.services.qdrant.shard_layout import ShardLayout

_SECONDS = 60.0
_LIMITS = "strict_mode_config"  # they might refuse the writes of a copy
_FIELD = "collection"  # of the payload: which collection ragops stored a point for
_MEND_TRIES = 3
_MEND_PAGE = 1000
_AGAIN = "run the same command again to continue"
_OWN_NOTES = (EVERY_NODE, EXPECTED, SHARDS_SET)


@dataclass(frozen=True)
class CollectionCopy:
    """The copy `target` of the collection `source`, which is to have `layout`; `nodes` are all nodes."""

    nodes: Nodes
    client: Client
    source: str
    target: str
    layout: ShardLayout

    def create(self) -> None:
        """Create the copy like its source, or continue to; it has all its shards and indexes when this returns.

        Raises UsageError (custom_sharding), IntegrityError (layout_differs) if there is one with other shards.
        """
        first, record = self.nodes.first, manifest.record(self.nodes.first, self.source)
        body = {name: value for name, value in record.create.items() if name != _LIMITS}
        if body.get("sharding_method") == "custom":
            what = f"cannot copy {self.source}: its shards have keys of its owner's"
            raise UsageError("custom_sharding", what, "only its owner can write its points into other shards")
        noted: Any = body.get("metadata") or {}
        kept = {name: value for name, value in noted.items() if name not in _OWN_NOTES}
        placement = self.layout.placement()
        asked = min(int(str(body.get("write_consistency_factor") or 1)), self.layout.copies)
        placement["write_consistency_factor"] = max(asked, placement["write_consistency_factor"])
        if self.target not in first.collection_names():
            numbers = numbers_of(first.collection(self.source))
            storage = storage_for(self.layout.expected, numbers, self.layout.shards)
            made = {**body, **placement, "metadata": kept | placement["metadata"]}
            first.change("PUT", path_of(self.target), with_storage(made, storage))
        for index in record.indexes:
            first.change("PUT", f"{path_of(self.target)}/index", index.model_dump(), wait="true")
        if record.later:
            first.change("PATCH", path_of(self.target), {"params": record.later})
        wait(self.target, self._look)
        found = ShardMap.read(first, self.target).shard_count
        if found != self.layout.shards:
            what = f"cannot fill {self.target}: it has {found} shards, not {self.layout.shards}"
            raise IntegrityError("layout_differs", what, "somebody else made it: delete it in Qdrant")

    def fill(self, start: PointId | None, rate: float, on_page: Callable[[CopiedPage], None]) -> None:
        """Copy the points from the id `start` on, at most `rate` points a second; 0 is no limit.

        `on_page` is called for each page that is stored. Raises UnhealthyError, MissingError (disk_full), RagopsError,
        InterruptedRunError.
        """
        from ragops.adapters.qdrant.copying import copy_page  # the library takes up to a second and 60 MB

        renaming = self._renaming()
        while True:
            began = time.monotonic()
            with translate_errors(self.source):
                page = copy_page(self.client, self.source, self.target, start, renaming)
            on_page(page)
            cancellation.check()
            if page.next is None:
                return
            start = page.next
            if rate and (left := page.points / rate - (time.monotonic() - began)) > 0:
                cancellation.sleep(left)

    def require_equal(self) -> IdDigest:
        """Return the digest that both collections have; points that only one of them has are copied or deleted.

        Raises IntegrityError (points_differ) if something keeps changing one of them.
        """
        from ragops.adapters.qdrant.copying import digest_ids

        for attempt in range(_MEND_TRIES + 1):
            with translate_errors(self.source):
                ours, theirs = digest_ids(self.client, self.source), digest_ids(self.client, self.target)
            if ours == theirs:
                return ours
            if attempt < _MEND_TRIES:
                report(Progress("qdrant", f"{self.target}: points that differ are copied again"))
                self._mend()
        what = f"cannot switch to {self.target}: it has {theirs.points} points, {self.source} {ours.points}"
        raise IntegrityError("points_differ", f"{what}; something writes into one of them", _AGAIN)

    def settle(self) -> None:
        """Give the copy its limits; return once every replica is active and every node has optimized it.

        Raises UnhealthyError if nothing changes any more.
        """
        limits = manifest.record(self.nodes.first, self.source).create.get(_LIMITS)
        if limits:
            self.nodes.first.change("PATCH", path_of(self.target), {_LIMITS: limits})
        wait(self.target, lambda: self._look(optimized=True))

    def require_counts(self) -> int:
        """Return the number of points that every node counts in both. Raises IntegrityError (counts_differ)."""
        found = {
            (client.name, name): client.count(name)
            for client in self.nodes.clients
            for name in (self.source, self.target)
        }
        if len(set(found.values())) > 1:
            counts = ", ".join(f"{node} counts {count} in {name}" for (node, name), count in found.items())
            raise IntegrityError("counts_differ", f"cannot switch to {self.target}: {counts}", _AGAIN)
        return next(iter(found.values()))

    def _renaming(self) -> Renaming:
        from ragops.adapters.qdrant.copying import Renaming

        return Renaming(_FIELD, self.source, self.target)

    def _mend(self) -> None:
        from ragops.adapters.qdrant.copying import copy_points, differences

        with translate_errors(self.source):
            found = differences(self.client, self.source, self.target)
            while page := list(islice(found, _MEND_PAGE)):
                cancellation.check()
                if missing := [point for point, is_missing in page if is_missing]:
                    copy_points(self.client, self.source, self.target, missing, self._renaming())
                if extra := [point for point, is_missing in page if not is_missing]:
                    self.client.delete(self.target, extra)

    def _look(self, *, optimized: bool = False) -> Observation:
        """Return what is missing until every node reports every replica as active, and the copy as optimized."""
        picture: list[object] = []
        for client in self.nodes.clients:
            try:
                shards, info = ShardMap.read(client, self.target), client.collection(self.target)
            except RagopsError as error:
                if error.code != "qdrant_not_found":
                    raise
                return Observation(f"{client.name} has no such collection yet", client.name)
            picture.append((shards, info.get("indexed_vectors_count"), info.get("segments_count")))
            if not shards.settled or shards.fewest_replicas() < self.layout.copies:
                return Observation(f"not every copy of a shard is active, by {client.name}", picture)
            if optimized and info.get("status") != "green":
                return Observation(
                    f"{info.get('indexed_vectors_count')} vectors are indexed, by {client.name}", picture
                )
        return Observation("")


@contextmanager
def open_copies(endpoint: Endpoint, nodes: Nodes) -> Iterator[Callable[[str, str, ShardLayout], CollectionCopy]]:
    """Connect to all nodes for the length of a copy; the result makes one of source, target and layout."""
    from ragops.adapters.qdrant.client import Client  # takes up to a second and 60 MB

    with Client(addresses(endpoint), operator_key(endpoint), seconds=_SECONDS) as client:
        yield partial(CollectionCopy, nodes, client)


@contextmanager
def translate_errors(name: str) -> Iterator[None]:
    """Raise ragops' error for a request that failed at every node."""
    try:
        yield
    except RequestFailedError as error:
        raise client_error(error.failure, f"qdrant, {name}", _AGAIN) from error
