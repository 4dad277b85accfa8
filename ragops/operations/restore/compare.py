"""Compare a restored platform with its recovery point: counts of every service, and samples that are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ragops.services import backup_engine
from ragops.services.qdrant.backup import sampling as qdrant
from ragops.services.redis import sampling as redis
from ragops.services.timescaledb.backup import sampling as timescaledb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ragops.operations.session import Platform
    from ragops.recovery.manifest import ManifestPart
    from ragops.recovery.point import RecoveryPoint
    from ragops.services.timescaledb.backup.sampling import Chunk

LIMIT = 50
_SHARD = re.compile(r"(.+)/\d+(\.points)")  # a collection's name has no slash
_SHOWN = 3  # faults that are shown in full


@dataclass(frozen=True)
class Comparison:
    """Counts by service as they are after the restore, how many samples were read, and what is not as it should be.

    `orphans` are points without a row: vectors are taken after the rows, so that an ingestion at work leaves some.
    """

    counts: Mapping[str, Mapping[str, int]]
    checked: int
    missing: tuple[str, ...]
    differing: tuple[str, ...]
    wrong_counts: tuple[str, ...]
    orphans: int = 0

    @property
    def faults(self) -> tuple[str, ...]:
        """All that is wrong, as text."""
        return (*self.wrong_counts, *self.missing, *self.differing)

    @property
    def summary(self) -> str:
        """The first of the faults, and how many more there are."""
        more = len(self.faults) - _SHOWN
        return "; ".join(self.faults[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")

    @property
    def samples(self) -> dict[str, int]:
        """Numbers of samples by what came of them."""
        return {
            "checked": self.checked,
            "missing": len(self.missing),
            "differing": len(self.differing),
            "strangers": self.orphans,
        }


class _Comparer:
    """The results of a comparison so far."""

    def __init__(self) -> None:
        self.checked = self.orphans = 0
        self.missing: list[str] = []
        self.differing: list[str] = []


def compare(platform: Platform, point: RecoveryPoint) -> Comparison:
    """Count what the platform holds and read samples of it. Raises RagopsError if it cannot be read."""
    held = [service.name for service in platform.services() if point.manifest.parts_of(service.name)]
    counts = {name: backup_engine(name).counts(platform.endpoint(name)) for name in held}
    wrong: list[str] = []
    for name in held:
        shrinking = (
            timescaledb.find_shrinking_tables(platform.endpoint(name)) if name == "timescaledb" else frozenset[str]()
        )
        faults = count_faults(name, expected(point.manifest.parts_of(name)), counts[name], shrinking)
        wrong += [f"{name}: {fault}" for fault in faults]
    look = _Comparer()
    if "timescaledb" in held:
        _rows(look, platform, counts["timescaledb"])
    if "redis" in held:
        checked, faults = redis.read_keys(platform.endpoint("redis"), LIMIT)
        look.checked += checked
        look.differing += [f"redis: {fault}" for fault in faults]
    if "timescaledb" in held and "qdrant" in held:
        _points_of_rows(look, platform)
        _rows_of_points(look, platform)
    return Comparison(
        counts, look.checked, tuple(look.missing), tuple(look.differing), tuple(wrong), orphans=look.orphans
    )


# --- counts ----------------------------------------------------------------------------------------------------------


def expected(parts: Iterable[ManifestPart]) -> dict[str, int]:
    """Return what the parts hold by kind, in the terms of a live service: shards of a collection together.

    Nothing of a collection with a shard that no engine could read when it was taken.
    """
    parts = tuple(parts)
    unknown = {_collection(part) for part in parts if not part.counts}
    found: dict[str, int] = {}
    for part in parts:
        if part.counts and _collection(part) not in unknown:
            for kind, number in part.counts.items():
                whole = _SHARD.sub(r"\1\2", kind)
                found[whole] = found.get(whole, 0) + number
    return found


def _collection(part: ManifestPart) -> str:
    """Return what the snapshots of one collection's shards have in common: `0001` of `0001-2.snapshot`."""
    return part.name.partition("-")[0]


def count_faults(
    service: str, wanted: Mapping[str, int], found: Mapping[str, int], shrinking: Iterable[str] = ()
) -> list[str]:
    """Return the counts that are not those wanted; `shrinking` kinds may have become fewer."""
    if service == "redis":
        return _key_faults(wanted, found)
    fewer = {*shrinking}
    faults = []
    for kind, number in wanted.items():
        now = found.get(kind, 0)
        if now > number or (now < number and kind not in fewer):
            faults.append(f"{now} {kind}, not {number}")
    return faults


def _key_faults(wanted: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    """Keys that never expire are all there; of those that do, some may have expired since."""
    lasting, now = (counts.get("keys", 0) - counts.get("expires", 0) for counts in (wanted, found))
    faults = [] if lasting == now else [f"{now} keys that never expire, not {lasting}"]
    if found.get("expires", 0) > wanted.get("expires", 0):
        faults.append(f"{found.get('expires', 0)} keys that expire, more than {wanted.get('expires', 0)}")
    return faults


# --- samples ---------------------------------------------------------------------------------------------------------


def _rows(look: _Comparer, platform: Platform, counts: Mapping[str, int]) -> None:
    tables = [kind for kind, number in counts.items() if "." in kind and number]
    empty = timescaledb.read_rows(platform.endpoint("timescaledb"), tables)
    look.checked += len(tables) - len(empty)
    look.missing += [f"timescaledb: no row of {table} can be read" for table in empty]


def _points_of_rows(look: _Comparer, platform: Platform) -> None:
    """Every sampled chunk has its point, which repeats it."""
    rows: dict[str, list[Chunk]] = {}
    for chunk in timescaledb.some_chunks(platform.endpoint("timescaledb"), LIMIT):
        rows.setdefault(chunk.point_collection, []).append(chunk)
    for collection, chunks in rows.items():
        payloads = qdrant.points(platform.endpoint("qdrant"), collection, [str(chunk.id) for chunk in chunks])
        for chunk in chunks:
            look.checked += 1
            payload = payloads.get(str(chunk.id))
            if payload is None:
                look.missing.append(f"{collection}: chunk {chunk.id} has no point")
            elif fault := difference(chunk, payload):
                look.differing.append(f"{collection}: {fault}")


def _rows_of_points(look: _Comparer, platform: Platform) -> None:
    """Every sampled point has its chunk, which it repeats."""
    database = platform.endpoint("timescaledb")
    for collection in timescaledb.point_collections(database):
        payloads = qdrant.some_points(platform.endpoint("qdrant"), collection, LIMIT)
        ids = [UUID(ident) for ident in payloads if "-" in ident]  # a number is nothing that an ingestion made
        rows = timescaledb.chunks(database, ids)
        look.orphans += len(payloads) - len(rows)
        for ident, chunk in rows.items():
            look.checked += 1
            if fault := difference(chunk, payloads[str(ident)]):
                look.differing.append(f"{collection}: {fault}")


def difference(chunk: Chunk, payload: Mapping[str, Any]) -> str:
    """Return how a point differs from its chunk, or the chunk from its checksum; empty if neither does."""
    if not chunk.holds:
        return f"the text of chunk {chunk.id} has another SHA-256 than its row has"
    pairs = {
        "text": chunk.content,
        "content_hash": chunk.content_hash,
        "position": chunk.position,
        "document_id": chunk.document_id,
    }
    for name, value in pairs.items():
        if name in payload and payload[name] != value:
            return f"point {chunk.id} has another {name} than its row"
    return ""
