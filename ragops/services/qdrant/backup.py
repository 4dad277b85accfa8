"""Dump, verify and restore of Qdrant: one snapshot of every shard, and what snapshots lack in `collections.json`."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from shutil import disk_usage
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ragops.adapters.files import SECRET_MODE, write_atomic
from ragops.errors import IntegrityError, MissingError, RagopsError
from ragops.services.contract import Capability, Part
from ragops.services.qdrant import catalogue, restore
from ragops.services.qdrant.catalogue import Catalogue, CollectionRecord, Shard, path_of
from ragops.services.qdrant.offline import count_points
from ragops.services.qdrant.rest import connected

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ragops.services.contract import Control, Endpoint
    from ragops.services.qdrant.rest import Rest

# Snapshots are made and put in place while the request waits, however long it takes.
_REQUEST_SECONDS = 3600.0
_OTHER_POINT = "use another recovery point: `ragops backup list`"


class QdrantBackup:
    """By shard snapshots.

    Counts are `collections` and `aliases`, and `<collection>.points` of every snapshot (`<collection>/<shard>.points`
    where a collection has several shards), read from the file by the engine.
    """

    def dump(self, endpoint: Endpoint, control: Control, folder: Path) -> tuple[Part, ...]:
        """Snapshot every shard, fetch it, read it back. Raises IntegrityError, MissingError, UnhealthyError."""
        del control
        with connected(endpoint, _REQUEST_SECONDS) as rest:
            versions = _versions(rest, endpoint)
            instant = datetime.now(tz=UTC)
            aliases, parts, records = catalogue.aliases(rest), [], []
            for number, name in enumerate(catalogue.names(rest), 1):
                with _skipped_when_deleted(name, rest):
                    record, its_parts = _dump_one(rest, name, folder, number, versions)
                    records.append(record)
                    parts += its_parts
        kept = {record.name for record in records}
        whole = Catalogue(
            collections=tuple(records), aliases={alias: name for alias, name in aliases.items() if name in kept}
        )
        write_atomic(folder / catalogue.PART, whole.model_dump_json(indent=2) + "\n", SECRET_MODE)
        return (Part(catalogue.PART, instant, whole.counts(), versions), *parts)

    def verify(self, folder: Path, part: Part, control: Control) -> None:
        """Read the part, a snapshot with the engine, and compare its counts."""
        del control
        if part.name == catalogue.PART:
            _compare(part, catalogue.read(folder / part.name).counts())
        else:
            (kind,) = part.counts
            _compare(part, {kind: count_points(folder / part.name)})

    def preflight(self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part]) -> None:
        """Refuse another engine or minor version, missing parts, too little space, a server that cannot be started."""
        for part in parts:
            _check_version(endpoint, part)
        _check_complete(folder, parts)
        sizes = [(folder / part.name).stat().st_size for part in parts]
        # A verified copy beside the collection, and the upload it is made from.
        _need_space("beside its data", control.free_bytes(), 3 * sum(sizes))
        _need_space(f"in {gettempdir()}", disk_usage(gettempdir()).free, 2 * max(sizes, default=0))
        if not control.is_running() and not endpoint.can(Capability.RESTART):
            what = f"qdrant is down, and the runtime {endpoint.runtime} lacks `{Capability.RESTART}`"
            raise MissingError("capability_missing", what, "start it, or run ragops where it runs")

    def restore(self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part]) -> tuple[str, ...]:
        """Prove every snapshot in a collection beside, then replace the collections one by one (see restore.py)."""
        _check_complete(folder, parts)
        wanted = catalogue.read(folder / catalogue.PART)
        aside = _started(control)
        try:
            with connected(endpoint, _REQUEST_SECONDS) as rest:
                notes = restore.run(rest, folder, wanted)
        except BaseException:
            if aside:
                control.stop()
                control.bring_data_back(aside)
            raise
        kept = f"its old data could not be opened and are kept in {aside}: remove that folder when you do not need them"
        return (*notes, kept) if aside else notes

    def counts(self, endpoint: Endpoint) -> Mapping[str, int]:
        """Collections, aliases and points by collection as they are now."""
        with connected(endpoint, _REQUEST_SECONDS) as rest:
            names = catalogue.names(rest)
            found = {"collections": len(names), "aliases": len(catalogue.aliases(rest))}
            for name in names:
                with _skipped_when_deleted(name, rest):
                    found[_kind(name, 0, 1)] = catalogue.count(rest, name)
            return found


def _versions(rest: Rest, endpoint: Endpoint) -> dict[str, str]:
    """Of the engine: a server's own, or that of the library behind the development engine."""
    root: dict[str, Any] = rest.root()
    return {endpoint.engine: str(root.get("engine") or root["version"])}


def _dump_one(
    rest: Rest, name: str, folder: Path, number: int, versions: Mapping[str, str]
) -> tuple[CollectionRecord, list[Part]]:
    record = catalogue.record(rest, name)
    ids = catalogue.local_shards(rest, name)
    shards: list[Shard] = []
    parts: list[Part] = []
    for shard in ids:
        instant = datetime.now(tz=UTC)
        target = folder / f"{number:04}-{shard}.snapshot"
        _fetch(rest, f"{path_of(name)}/shards/{shard}/snapshots", target)
        points = count_points(target)
        shards.append(Shard(id=shard, file=target.name, points=points))
        parts.append(Part(target.name, instant, {_kind(name, shard, len(ids)): points}, versions))
    return record.model_copy(update={"shards": tuple(shards)}), parts


def _fetch(rest: Rest, snapshots: str, target: Path) -> None:
    """Have a snapshot made, fetch it, and remove it from the server whatever happens."""
    made = rest.send("POST", snapshots, wait="true")
    path = f"{snapshots}/{quote(made['name'], safe='')}"
    try:
        rest.download(path, target, made.get("checksum") or "")
    except BaseException:
        with contextlib.suppress(RagopsError):  # the first failure is the one to tell
            rest.send("DELETE", path, wait="true")
        raise
    rest.send("DELETE", path, wait="true")


def _kind(name: str, shard: int, shards: int) -> str:
    """How the points of a shard are called among the counts; a collection's name cannot contain a slash."""
    return f"{name}.points" if shards == 1 else f"{name}/{shard}.points"


@contextlib.contextmanager
def _skipped_when_deleted(name: str, rest: Rest) -> Iterator[None]:
    """A collection that its owner deletes meanwhile is no failure."""
    try:
        yield
    except RagopsError as error:
        if error.code != "qdrant_not_found" or name in catalogue.names(rest):
            raise


def _compare(part: Part, found: Mapping[str, int]) -> None:
    if dict(part.counts) != dict(found):
        faults = ", ".join(f"{kind}: {found.get(kind, 0)}, not {count}" for kind, count in part.counts.items())
        raise IntegrityError("counts_differ", f"{part.name} holds other counts than stated: {faults}", _OTHER_POINT)


def _check_version(endpoint: Endpoint, part: Part) -> None:
    engine, written = next(iter(part.versions.items()))
    if engine != endpoint.engine:
        what = f"{part.name} was written by {engine} {written}, this is {endpoint.engine}"
        raise MissingError("engine_differs", what, f"restore it into a platform that runs {engine}")
    if written.split(".")[:2] != endpoint.version.split(".")[:2]:
        what = f"{part.name} was written by {engine} {written}, this is {endpoint.version}: restores stay in one minor"
        raise MissingError("version_differs", what, f"run {engine} {written} to restore it, then upgrade")


def _check_complete(folder: Path, parts: Sequence[Part]) -> None:
    """Every shard that the catalogue names is among the parts. Raises IntegrityError."""
    names = {part.name for part in parts}
    if catalogue.PART not in names:
        raise IntegrityError("parts_missing", f"the recovery point has no {catalogue.PART} of qdrant", _OTHER_POINT)
    wanted = {shard.file for record in catalogue.read(folder / catalogue.PART).collections for shard in record.shards}
    if missing := sorted(wanted - names):
        raise IntegrityError("parts_missing", f"the recovery point lacks {', '.join(missing)}", _OTHER_POINT)


def _need_space(where: str, free: int | None, needed: int) -> None:
    if free is not None and free < needed:
        what = f"restoring qdrant needs {needed >> 20} MiB {where}, {free >> 20} MiB are free"
        raise MissingError("disk_full", what, "free some space, then run the command again")


def _started(control: Control) -> str:
    """Start it where it is down; where its data keep it from that, with empty ones. Returns where the old ones are."""
    if control.is_running():
        return ""
    try:
        control.start()
    except RagopsError:
        control.stop()
        aside = control.set_data_aside("before-restore")
        control.start()
        return aside
    return ""
