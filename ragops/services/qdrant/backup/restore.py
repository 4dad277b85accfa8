"""Restore of collections over Qdrant's API, which can neither rename nor exchange them.

First every collection is built as a copy, `<name>__ragops-restore`, and counted on every node: a failure here has
changed nothing. Then each collection is deleted, built again from the same snapshots, and counted too. Until then its
aliases point to the proven copy, and its own name is missing or incomplete. If it cannot be built again its name
becomes an alias of the copy, which stands in for it, so that its data are always there.

If one collection fails the others are restored. A run that was killed leaves its proven copies, marked with the digest
of their files (proven_copies.py): the next run continues with them, and health reports them.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress, report
from ragops.adapters.wait import wait_until
from ragops.errors import InterruptedRunError, MissingError, RagopsError, UnhealthyError
from ragops.services.qdrant.backup.collection_builder import Builder, digests, replicas
from ragops.services.qdrant.backup.proven_copies import Copy, find, free_name, mark, short, user_collections
from ragops.services.qdrant.cluster.polling import ALONE_SECONDS, STUCK_SECONDS
from ragops.services.qdrant.names import PROVEN_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.adapters.qdrant.node_client import NodeClient
    from ragops.services.qdrant.backup.manifest import Catalogue, CollectionRecord
    from ragops.services.qdrant.cluster.nodes import Nodes

_TRIES = 3  # to build a collection while a node is lost and comes back
_POLL = 1.0
_LOOK_SECONDS = 5.0
_AGAIN = "the same `ragops restore` again continues from what is proven"


@dataclass(frozen=True)
class Restore:
    """One run that restores `wanted` from the files in `folder`; shards get at least `copies` replicas."""

    nodes: Nodes
    folder: Path
    wanted: Catalogue
    copies: int = 1
    _checksums: dict[str, str] = field(default_factory=dict)
    _begun: set[str] = field(default_factory=set)
    _proven: dict[str, Copy] = field(default_factory=dict)
    _failed: dict[str, RagopsError] = field(default_factory=dict)
    _back: set[str] = field(default_factory=set)
    _notes: list[str] = field(default_factory=list)

    def run(self) -> tuple[str, ...]:
        """Restore `wanted`, and remove every other collection and alias; returns notes for the user.

        Raises RagopsError with the state of every collection that could not be restored. Nothing is changed until the
        first collection is replaced.
        """
        client = self.nodes.first
        _delete_unproven(client)
        for record in self.wanted.collections:
            self._checksums.update(digests(self.folder, record))
        try:
            self._prove_all()
        except BaseException:
            with contextlib.suppress(RagopsError):  # the first failure counts; the next run deletes them
                self._delete_begun(client)
            raise
        self._replace_all()
        extra = sorted({*client.collection_names()} & {*user_collections(client)} - self._back)
        if self._failed:
            self._delete_begun(client)
            self._set_aliases(sweep=False)
            raise self._failure()
        for name in extra:
            client.delete_collection(name)
        self._set_aliases(sweep=True)
        for copy in find(client):
            client.delete_collection(copy)
        gone = f"collections removed because the recovery point does not have them: {', '.join(extra)}"
        return (*self._notes, gone) if extra else tuple(self._notes)

    # --- the proof ---------------------------------------------------------------------------------------------------

    def _prove_all(self) -> None:
        """Build a proven copy of every collection.

        A fault of the platform ends the run, before anything is changed; one of a single collection is raised last.
        """
        for number, record in enumerate(self.wanted.collections, 1):
            place = f"{number} of {len(self.wanted.collections)}"
            report(Progress("qdrant", f"{record.name}: proving it, {place}"))
            try:
                self._proven[record.name] = self._prove(record, number)
            except (UnhealthyError, MissingError, InterruptedRunError):
                raise
            except RagopsError as error:
                if len(self.wanted.collections) == 1:
                    raise
                self._failed[record.name] = error

    def _prove(self, record: CollectionRecord, number: int) -> Copy:
        """Return a copy that holds all points: one of an earlier run from the same files, or a new one."""
        builder = Builder(self.nodes, self.folder, self._checksums)
        digest = short(_digest(record, self._checksums))
        there = find(self.nodes.first)
        for old in there.values():
            if (old.base, old.digest) == (record.name, digest) and builder.is_whole(record, old.name):
                return old
        copy = Copy(free_name(record.name, number, there), record.name, digest)
        self._begun.add(copy.name)
        self._build_patiently(record.name, lambda: _rebuild(self.nodes.first, builder, record, copy.name))
        mark(self.nodes.first, copy)
        return copy

    def _delete_begun(self, client: NodeClient) -> None:
        """Delete the copies of this run that are not proven."""
        for copy in find(client).values():
            if copy.name in self._begun and not copy.digest:
                client.delete_collection(copy.name)

    def _build_patiently(self, name: str, build: Callable[[], str]) -> str:
        """Build; if a node is lost during that, wait for it and build again."""
        for attempt in range(1, _TRIES + 1):
            try:
                return build()
            except UnhealthyError as error:
                if attempt == _TRIES:
                    raise
                report(Progress("qdrant", f"{name}: {error.message}; waiting until every node answers"))
                self._wait_for_nodes(error)
        raise AssertionError("unreachable")

    def _wait_for_nodes(self, cause: UnhealthyError) -> None:
        timeout = ALONE_SECONDS if len(self.nodes.clients) == 1 else STUCK_SECONDS
        if not wait_until(lambda: all(_answers(client) for client in self.nodes.clients), timeout, _POLL):
            raise cause

    # --- the exchange ------------------------------------------------------------------------------------------------

    def _replace_all(self) -> None:
        """Replace the collections one by one, until the platform fails or the run is interrupted."""
        builder = Builder(self.nodes, self.folder, self._checksums)
        for record in self.wanted.collections:
            if record.name not in self._proven:
                continue
            try:
                self._replace(record, self._proven[record.name], builder)
                self._back.add(record.name)
            except RagopsError as error:
                self._failed[record.name] = error
                if isinstance(error, UnhealthyError | MissingError | InterruptedRunError):
                    return

    def _replace(self, record: CollectionRecord, copy: Copy, builder: Builder) -> None:
        """Replace the collection by the snapshots that were proven in `copy`."""
        client = self.nodes.first
        aliases = [alias for alias, name in self._aliases_of(client, record.name) if alias != record.name]
        client.change_aliases(dict.fromkeys(aliases, copy.name))
        count = replicas(record, self.copies, len(self.nodes.clients))
        report(Progress("qdrant", f"{record.name}: building it again"))
        try:
            note = self._build_patiently(
                record.name, lambda: _rebuild(client, builder, record, record.name, copies=count, proven=copy.name)
            )
        except BaseException as error:
            state = _stand_in(client, record.name, copy.name)
            if isinstance(error, RagopsError):
                error.message = f"{error.message} ({state})"
            raise
        client.change_aliases(dict.fromkeys(aliases, record.name))
        for old in find(client).values():
            if old.base == record.name:
                client.delete_collection(old.name)
        self._notes.extend([note] if note else [])
        report(Progress("qdrant", f"{record.name}: back"))

    def _aliases_of(self, client: NodeClient, name: str) -> list[tuple[str, str]]:
        """Return the aliases of the collection or of a copy of it, present ones and those of the recovery point."""
        copies = {copy.name for copy in find(client).values() if copy.base == name}
        live, there = client.aliases(), {*client.collection_names()}
        now = {alias: target for alias, target in live.items() if target == name or target in copies}
        wanted = {alias: target for alias, target in self.wanted.aliases.items() if target == name}
        both = {**now, **wanted}
        return [(alias, target) for alias, target in both.items() if alias not in there and not _is_mark(alias)]

    def _set_aliases(self, *, sweep: bool) -> None:
        """Set the aliases of the recovery point whose collections are restored; `sweep` removes all others."""
        client = self.nodes.first
        there = {*client.collection_names()}
        wanted = {
            alias: name for alias, name in self.wanted.aliases.items() if name in self._back and alias not in there
        }
        gone = [alias for alias in client.aliases() if sweep and alias not in wanted and not _is_mark(alias)]
        client.change_aliases(wanted, gone)

    def _failure(self) -> RagopsError:
        """Return one error with the state of every collection that is not restored."""
        missing = [record.name for record in self.wanted.collections if record.name not in self._back]
        states = [
            f"{name}: {self._failed[name].message if name in self._failed else 'not reached, its data are untouched'}"
            for name in missing
        ]
        first = max(self._failed.values(), key=lambda error: isinstance(error, InterruptedRunError))
        what = f"{len(missing)} of {len(self.wanted.collections)} collections are not back: {'; '.join(states)}"
        return type(first)(first.code, what, f"{first.hint}; {_AGAIN}".strip("; "), exit_code=first.exit_code)


def _rebuild(
    client: NodeClient, builder: Builder, record: CollectionRecord, name: str, *, copies: int = 1, proven: str = ""
) -> str:
    """Build the collection, and delete first what has its name."""
    if name in client.aliases():
        client.change_aliases({}, [name])
    if name in client.collection_names():
        client.delete_collection(name)
    return builder.build(record, name, copies, proven)


def _stand_in(client: NodeClient, name: str, copy: str) -> str:
    """Let the copy stand in for a collection that could not be built again; return the resulting state as text."""
    try:
        if name in client.collection_names():
            client.delete_collection(name)
        client.change_aliases({name: copy})
    except RagopsError:
        return f"{name} is not whole; all of it is in the proven copy {copy}"
    return f"the proven copy {copy} answers for it"


def _delete_unproven(client: NodeClient) -> None:
    """Delete the unproven copies of an earlier run whose collections are there."""
    live = client.collection_names()
    for copy in find(client).values():
        if not copy.digest and copy.base in live:
            client.delete_collection(copy.name)


def _answers(client: HttpClient) -> bool:
    try:
        return client.within(_LOOK_SECONDS).status("/healthz") == 200
    except RagopsError:
        return False


def _is_mark(alias: str) -> bool:
    return alias.startswith(PROVEN_PREFIX)


def _digest(record: CollectionRecord, checksums: dict[str, str]) -> str:
    """Return the digest of all that a copy is built from."""
    content = record.model_dump_json() + "".join(f"{shard.file} {checksums[shard.file]}\n" for shard in record.shards)
    return hashlib.sha256(content.encode()).hexdigest()
