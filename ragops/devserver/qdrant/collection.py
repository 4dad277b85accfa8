"""One collection: its folder, its shard, and what can be asked of it. Every call blocks; Edge holds the GIL in it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import qdrant_edge as edge

from ragops.adapters.files import sync_dir
from ragops.devserver.qdrant import filters, indexes, queries, values
from ragops.devserver.qdrant.creation import Settings
from ragops.devserver.qdrant.errors import internal, no_collection, no_space
from ragops.devserver.qdrant.places import SNAPSHOTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ragops.devserver.qdrant.values import Json

SHARD = "shard"
_NEW, _OLD = "shard.new", "shard.old"
# A mapped file that cannot grow ends the whole process (SIGBUS), so changes stop before the disk is full.
_SPARE_BYTES = 64 << 20


class Collection:
    """One collection; callers hold its locks (see engine.py). `fault` is why it could not be opened."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self.dirty = False
        self.gone = False
        self.fault = ""
        self._shard: edge.EdgeShard | None = None

    @classmethod
    def found(cls, folder: Path) -> Collection:
        """Return the collection in `folder`, not opened yet. Raises OSError, ValueError."""
        return cls(folder, Settings.read(folder))

    @property
    def name(self) -> str:
        """Its name."""
        return self.settings.name

    @property
    def snapshots(self) -> Path:
        """Where its snapshots lie."""
        return self.folder / SNAPSHOTS

    def create(self) -> None:
        """Write settings and an empty shard into a folder that is not in the catalogue yet."""
        self.folder.mkdir(mode=0o700)
        self.snapshots.mkdir(mode=0o700)
        self.settings.save(self.folder)
        shard = self.folder / SHARD
        shard.mkdir(mode=0o700)
        made = edge.EdgeShard.create(str(shard), self.settings.edge_config())
        made.flush()
        made.close()

    def open(self) -> None:
        """Load the shard; a failure is kept in `fault`, not raised."""
        try:
            self._shard = edge.EdgeShard.load(str(self.folder / SHARD))
            self.fault = ""
        except Exception as error:  # Edge raises nothing narrower
            self.fault = str(error) or type(error).__name__

    def close(self) -> None:
        """Write everything to disk and let go of the files."""
        shard, self._shard = self._shard, None
        if shard is not None:
            shard.flush()
            shard.close()
        self.dirty = False

    def recover(self) -> None:
        """Put right what a crash left behind; before the first `open` only."""
        old, shard = self.folder / _OLD, self.folder / SHARD
        if old.exists() and not shard.exists():
            old.rename(shard)
        for leftover in (old, self.folder / _NEW, *self.snapshots.glob(".*")):
            remove(leftover)

    def shard(self) -> edge.EdgeShard:
        """Return the open shard. Raises ApiError: 404 if the collection was deleted in between, 500 if it is broken."""
        self.refuse_if_gone()
        if self._shard is None:
            raise internal(f"collection `{self.name}` could not be opened: {self.fault}")
        return self._shard

    def refuse_if_gone(self) -> None:
        """Raise ApiError (404) if the collection was deleted in between."""
        if self.gone:
            raise no_collection(self.name)

    # --- writes -------------------------------------------------------------------------------------------------

    def upsert(self, body: Json) -> None:
        """Store points; all of them are checked before the first is stored."""
        self._update(edge.UpdateOperation.upsert_points, values.points(body, self.settings.size, self.settings.sparse))

    def delete_points(self, body: Json) -> None:
        """Delete by `points` (ids) or by `filter`."""
        values.refuse(body, "shard_key")
        if "points" in body:
            self._update(edge.UpdateOperation.delete_points, values.point_ids(body["points"]))
        else:
            condition = filters.parse(values.required(body, "filter"))
            self._update(edge.UpdateOperation.delete_points_by_filter, condition or edge.Filter())

    def create_index(self, body: Json) -> None:
        """Index a payload field."""
        self._update(edge.UpdateOperation.create_field_index, *indexes.parse(body))

    def delete_index(self, field: str) -> None:
        """Drop the index of a payload field; nothing happens if there is none."""
        self._update(edge.UpdateOperation.delete_field_index, field)

    def _update(self, operation: Callable[..., edge.UpdateOperation], *arguments: Any) -> None:
        shard = self.shard()
        check_space(self.folder)
        self.dirty = True
        shard.update(operation(*arguments))

    def flush(self) -> None:
        """Write to disk what only the log has; an acknowledged write survives a killed process without it."""
        self.dirty = False
        self.shard().flush()

    # --- reads --------------------------------------------------------------------------------------------------

    def retrieve(self, body: Json) -> list[Json]:
        """Points by id, those that exist."""
        values.refuse(body, "shard_key")
        found = self.shard().retrieve(
            values.point_ids(values.required(body, "ids")),
            values.payload_selector(body.get("with_payload"), True),
            values.vector_selector(body.get("with_vector")),
        )
        return [values.record(point) for point in found]

    def scroll(self, body: Json) -> Json:
        """One page of points in the order of their ids."""
        values.refuse(body, "shard_key", "order_by")
        offset = body.get("offset")
        request = edge.ScrollRequest(
            offset=None if offset is None else values.point_id(offset),
            limit=values.whole(body, "limit", 10, 1),
            filter=filters.parse(body.get("filter")),
            with_payload=values.payload_selector(body.get("with_payload"), True),
            with_vector=values.vector_selector(body.get("with_vector")),
        )
        found, following = self.shard().scroll(request)
        following_id = None if following is None else values.plain_id(following)  # type: ignore[arg-type]
        return {"points": [values.record(point) for point in found], "next_page_offset": following_id}

    def count(self, body: Json) -> int:
        """How many points there are, exact whether asked so or not."""
        values.refuse(body, "shard_key")
        return self.shard().count(edge.CountRequest(exact=True, filter=filters.parse(body.get("filter"))))

    def query(self, body: Json) -> list[Json]:
        """Return the points nearest to a vector or a text, or those of several such results, fused by rank."""
        request = queries.Parser(self.settings.size, self.settings.sparse).request(body)
        return [values.scored(hit) for hit in self.shard().query(request)]

    def describe(self) -> Json:
        """Its state as `GET /collections/{name}` shows it."""
        info = self.shard().info()
        return {
            "status": "green",
            "optimizer_status": "ok",
            "indexed_vectors_count": info.indexed_vectors_count,
            "points_count": info.points_count,
            "segments_count": info.segments_count,
            "config": self.settings.describe(),
            "payload_schema": indexes.show(info.payload_schema),
            "update_queue": {"length": 0},
        }

    # --- the shard as a whole -----------------------------------------------------------------------------------

    def unpack(self, snapshot: Path) -> int:
        """Unpack and open `snapshot` next to the shard; return its points. Raises Exception if Edge cannot."""
        fresh = self.folder / _NEW
        remove(fresh)
        try:
            edge.EdgeShard.unpack_snapshot(str(snapshot), str(fresh))
            found = edge.EdgeShard.load(str(fresh), self.settings.edge_config())
            points = found.count(edge.CountRequest(exact=True))
            found.flush()
            found.close()
        except BaseException:
            remove(fresh)
            raise
        return points

    def swap(self) -> None:
        """Let what `unpack` left take the shard's place; the old one is back where that fails."""
        shard, fresh, old = (self.folder / name for name in (SHARD, _NEW, _OLD))
        self.close()
        if shard.exists():
            shard.rename(old)
        try:
            fresh.rename(shard)
            sync_dir(self.folder)
            self._shard = edge.EdgeShard.load(str(shard))
        except BaseException:
            remove(shard)
            if old.exists():
                old.rename(shard)
            self.open()
            raise
        self.fault = ""
        remove(old)


def check_space(folder: Path) -> None:
    """Raise ApiError (507) before the disk is full."""
    if shutil.disk_usage(folder).free < _SPARE_BYTES:
        raise no_space()


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
