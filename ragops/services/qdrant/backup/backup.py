"""Dump, verify and restore of Qdrant: a snapshot of every shard, and `collections.json` with what snapshots lack."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from shutil import disk_usage
from tempfile import gettempdir
from typing import TYPE_CHECKING

from ragops.errors import IntegrityError, MissingError, RagopsError
from ragops.hints import OTHER_POINT
from ragops.services.backup_checks import check_engine, compare_counts, need_space, prove_by_loading
from ragops.services.contract import Capability, Part
from ragops.services.kept_data import Kept
from ragops.services.qdrant.backup import manifest, restore, snapshot_reader
from ragops.services.qdrant.backup.collection_builder import replicas
from ragops.services.qdrant.backup.manifest import Catalogue
from ragops.services.qdrant.backup.proven_copies import find, user_aliases, user_collections
from ragops.services.qdrant.backup.snapshot_journal import ServerCopies
from ragops.services.qdrant.backup.snapshots import Dump, ignore_deletion, kind
from ragops.services.qdrant.cluster.nodes import connect, is_cluster
from ragops.services.qdrant.names import ENGINE
from ragops.services.qdrant.shard_layout import LayoutRules
from ragops.services.rollback import rollback
from ragops.services.versions import Version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.services.contract import Endpoint, PartWriter, Proof
    from ragops.services.control import Control
    from ragops.services.rollback import Rollback

# Snapshots are made and put in place while the request waits, however long it takes.
_REQUEST_SECONDS = 3600.0
_KEPT_SECONDS = 60.0


class QdrantBackup:
    """By shard snapshots.

    Counts are `collections` and `aliases`, and `<collection>.points` of every snapshot (`<collection>/<shard>.points`
    where a collection has several shards), read from the file by the engine.
    """

    def dump(self, endpoint: Endpoint, control: Control, writer: PartWriter) -> None:
        """Snapshot every shard, fetch it, read it back. Raises IntegrityError, MissingError, UnhealthyError."""
        storage = control.local_data if endpoint.engine == ENGINE else None
        with connect(endpoint, _REQUEST_SECONDS) as nodes:
            copies = ServerCopies(writer.journal)
            copies.clear(nodes)
            versions, instant = _versions(nodes.first, endpoint), datetime.now(tz=UTC)
            dump = Dump(nodes, writer, versions, copies, storage)
            aliases, takings = user_aliases(nodes.first), []
            for number, name in enumerate(user_collections(nodes.first), 1):
                with ignore_deletion(name, nodes.first):
                    takings.append(dump.collection(name, number))
            writer.snapshot_fixed()  # only ingest changes them from here on, which the caller may stop
            writer.run_all([task for taking in takings for task in taking.tasks])
        records = tuple(taking.record() for taking in takings if not taking.gone)
        kept = {record.name for record in records}
        whole = Catalogue(collections=records, aliases={alias: name for alias, name in aliases.items() if name in kept})
        content = io.BytesIO(f"{whole.model_dump_json(indent=2)}\n".encode())
        writer.store(manifest.PART, content, lambda: Part(manifest.PART, instant, whole.counts(), versions))

    def verify(self, folder: Path, part: Part, control: Control) -> None:
        """Read the part, a snapshot with the engine where that can, and compare its counts."""
        del control
        if part.name == manifest.PART:
            compare_counts(part.name, part.counts, manifest.read(folder / part.name).counts())
        elif part.counts:
            (counted,) = part.counts
            compare_counts(part.name, part.counts, {counted: snapshot_reader.count_points(folder / part.name)})
        else:
            snapshot_reader.check_archive(folder / part.name)

    def prove(
        self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part], budget: float = 0.0
    ) -> Proof:
        """Have the engine load the files, as far as the budget goes. Raises as `verify` does."""
        del endpoint
        return prove_by_loading(
            self.verify,
            folder,
            parts,
            control,
            budget,
            loads=lambda part: part.name == manifest.PART or bool(part.counts),
        )

    def preflight(self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part]) -> None:
        """Refuse another engine or minor version, missing parts, too little space, a server that cannot be started."""
        for part in parts:
            _check_version(endpoint, part)
        _check_complete(folder, parts)
        sizes = [(folder / part.name).stat().st_size for part in parts]
        # A proven copy next to the collection, the upload that is its source, and every replica.
        records = manifest.read(folder / manifest.PART).collections
        least, most = _copies(endpoint), max(len(endpoint.nodes), 1)
        copies = max((replicas(record, least, most) for record in records), default=least)
        need_space("restore qdrant", "next to its data", control.free_bytes(), (2 + copies) * sum(sizes))
        need_space("restore qdrant", f"in {gettempdir()}", disk_usage(gettempdir()).free, 2 * max(sizes, default=0))
        if not control.is_running() and not endpoint.can(Capability.RESTART):
            what = f"cannot start qdrant, which is down: the runtime {endpoint.runtime} lacks `{Capability.RESTART}`"
            raise MissingError("capability_missing", what, "start it, or run ragops where it runs")

    def restore(self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part]) -> tuple[str, ...]:
        """Prove every snapshot in a copy, then replace the collections one by one (see restore.py)."""
        _check_complete(folder, parts)
        wanted = manifest.read(folder / manifest.PART)
        with rollback() as undo:
            aside = _start(endpoint, control, undo)
            with connect(endpoint, _REQUEST_SECONDS) as nodes:
                nodes.require_all("a restore")
                notes = restore.Restore(nodes, folder, wanted, _copies(endpoint)).run()
        kept = f"its old data could not be opened and are kept in {aside}: remove that folder when you do not need them"
        return (*notes, kept) if aside else notes

    def kept(self, endpoint: Endpoint) -> tuple[Kept, ...]:
        """Return the copies of restores; if the collection of one is gone, the copy is all that is left of it."""
        with connect(endpoint, _KEPT_SECONDS) as nodes:
            live = nodes.first.collection_names()
            found = find(nodes.first, live).values()
        return tuple(Kept("collection", copy.name, None, needed=copy.describe_need(live)) for copy in found)

    def drop_kept(self, endpoint: Endpoint, names: Sequence[str]) -> None:
        """Delete those of the copies whose collection is there."""
        safe = [item.name for item in self.kept(endpoint) if not item.needed]
        with connect(endpoint, _KEPT_SECONDS) as nodes:
            for name in names:
                if name in safe:
                    nodes.first.delete_collection(name)

    def counts(self, endpoint: Endpoint) -> Mapping[str, int]:
        """Return the present collections, aliases and points by collection."""
        with connect(endpoint, _REQUEST_SECONDS) as nodes:
            client = nodes.first
            names = user_collections(client)
            found = {"collections": len(names), "aliases": len(user_aliases(client))}
            for name in names:
                with ignore_deletion(name, client):
                    found[kind(name, 0, 1)] = client.count(name)
            return found


def _copies(endpoint: Endpoint) -> int:
    """Return how many replicas of a shard a collection is to have at least."""
    rules = LayoutRules.of(endpoint)
    return rules.least_copies if rules else 1


def _versions(client: HttpClient, endpoint: Endpoint) -> dict[str, str]:
    """Return the version of the engine: the server's, or that of the library in the development engine."""
    root = client.root()
    return {endpoint.engine: str(root.get("engine") or root["version"])}


def _check_version(endpoint: Endpoint, part: Part) -> None:
    check_engine(endpoint, part)
    engine, text = endpoint.engine, part.versions[endpoint.engine]
    written, running = Version.of(text), Version.of(endpoint.version)
    if written.line != running.line or written > running:
        rule = "a restore stays in one minor version, and goes to no older patch"
        what = f"cannot restore {part.name}: it was written by {engine} {text}, this is {endpoint.version}: {rule}"
        raise MissingError("version_differs", what, f"run {engine} {text} to restore it, then upgrade")


def _check_complete(folder: Path, parts: Sequence[Part]) -> None:
    """Raise IntegrityError (parts_missing) if a shard of the catalogue is not among the parts."""
    names = {part.name for part in parts}
    if manifest.PART not in names:
        raise IntegrityError(
            "parts_missing", f"cannot restore qdrant: the recovery point has no {manifest.PART}", OTHER_POINT
        )
    wanted = {shard.file for record in manifest.read(folder / manifest.PART).collections for shard in record.shards}
    if missing := sorted(wanted - names):
        raise IntegrityError(
            "parts_missing", f"cannot restore qdrant: the recovery point lacks {', '.join(missing)}", OTHER_POINT
        )


def _start(endpoint: Endpoint, control: Control, undo: Rollback) -> str:
    """Start Qdrant if it is down, on empty data if its own prevent that; return the place of the old data.

    A node of a cluster keeps its data: without its identity it cannot use what the other nodes hold of it.
    """
    if control.is_running():
        return ""
    try:
        control.start()
    except RagopsError:
        control.stop()
        if is_cluster(endpoint):
            raise
        aside = control.move_data_aside("before-restore")
        undo.add(f"put the old data back from {aside}", lambda: control.rollback_data(aside))
        undo.add("stop qdrant", control.stop)
        control.start()
        return aside
    return ""
