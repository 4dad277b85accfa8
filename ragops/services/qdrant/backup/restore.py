"""Restore of collections over the REST API, which can neither rename nor exchange them.

First every collection is built as a copy, `<name>__ragops-restore`, and counted on every node: what fails here has
touched nothing. Then each collection is deleted and made again from the same snapshots, and counted too. Its aliases
point to the proven copy until that is done; by its own name it is missing, or incomplete, for as long. If it cannot be
created again, its name becomes an alias of the copy, which then answers for it: neither is ever missing.

One collection that fails keeps none of the others from coming back. A run that was killed leaves its proven copies,
marked with what they were proven against (proven_copies.py): the next one continues with them, health reports them.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ragops.adapters import cancellation
from ragops.adapters.progress import Progress, report
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

_TRIES = 3  # where a node is lost on the way and comes back
_POLL = 1.0
_LOOK_SECONDS = 5.0
_AGAIN = "the same `ragops restore` again continues from what is proven"


@dataclass(frozen=True)
class Restore:
    """One run: makes the server hold `wanted`, from the files in `folder`; shards get `copies` replicas at least."""

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
        """Make the server hold `wanted` and no other collection or alias; returns words for the user.

        Raises RagopsError, with the state of every collection that is not back; those that could be are. Until the
        first one is replaced all are as they were.
        """
        client = self.nodes.first
        _delete_unproven(client)
        for record in self.wanted.collections:
            self._checksums.update(digests(self.folder, record))
        try:
            self._prove_all()
        except BaseException:
            with contextlib.suppress(RagopsError):  # the first failure is the one to tell; the next run clears them
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
        """Make a proven copy of every collection. A fault of the platform ends the run, before anything is touched.

        What is wrong with one collection is kept for the end.
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
        """Return a copy that holds all points: an earlier run's of the very same files, or a new one."""
        builder = Builder(self.nodes, self.folder, self._checksums)
        digest = short(_digest(record, self._checksums))
        there = find(self.nodes.first)
        for old in there.values():
            if (old.base, old.digest) == (record.name, digest) and builder.is_whole(record, old.name):
                return old
        copy = Copy(free_name(record.name, number, there), record.name, digest)
        self._begun.add(copy.name)
        self._patiently(record.name, lambda: _rebuild(self.nodes.first, builder, record, copy.name))
        mark(self.nodes.first, copy)
        return copy

    def _delete_begun(self, client: NodeClient) -> None:
        """Remove the copies of this run that are not proven."""
        for copy in find(client).values():
            if copy.name in self._begun and not copy.digest:
                client.delete_collection(copy.name)

    def _patiently(self, name: str, build: Callable[[], str]) -> str:
        """Build; where a node is lost on the way, wait for it and build again."""
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
        alone = len(self.nodes.clients) == 1
        deadline = time.monotonic() + (ALONE_SECONDS if alone else STUCK_SECONDS)
        while not all(_answers(client) for client in self.nodes.clients):
            if time.monotonic() > deadline:
                raise cause
            cancellation.sleep(_POLL)

    # --- the exchange ------------------------------------------------------------------------------------------------

    def _replace_all(self) -> None:
        """Each on its own, until the platform itself fails or the run is to end."""
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
        """Let the snapshots that were proven in `copy` take the place of the collection."""
        client = self.nodes.first
        aliases = [alias for alias, name in self._aliases_of(client, record.name) if alias != record.name]
        client.change_aliases(dict.fromkeys(aliases, copy.name))
        count = replicas(record, self.copies, len(self.nodes.clients))
        report(Progress("qdrant", f"{record.name}: making it again"))
        try:
            note = self._patiently(
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
        """Those that stand for the collection or for a copy of it, and those that are to."""
        copies = {copy.name for copy in find(client).values() if copy.base == name}
        live, there = client.aliases(), {*client.collection_names()}
        now = {alias: target for alias, target in live.items() if target == name or target in copies}
        wanted = {alias: target for alias, target in self.wanted.aliases.items() if target == name}
        both = {**now, **wanted}
        return [(alias, target) for alias, target in both.items() if alias not in there and not _is_mark(alias)]

    def _set_aliases(self, *, sweep: bool) -> None:
        """Those of the recovery point whose collections are back; `sweep` removes all others. In one request."""
        client = self.nodes.first
        there = {*client.collection_names()}
        wanted = {
            alias: name for alias, name in self.wanted.aliases.items() if name in self._back and alias not in there
        }
        gone = [alias for alias in client.aliases() if sweep and alias not in wanted and not _is_mark(alias)]
        client.change_aliases(wanted, gone)

    def _failure(self) -> RagopsError:
        """One error that says the state of every collection that is not back."""
        missing = [record.name for record in self.wanted.collections if record.name not in self._back]
        words = [
            f"{name}: {self._failed[name].message if name in self._failed else 'not reached, its data are untouched'}"
            for name in missing
        ]
        first = max(self._failed.values(), key=lambda error: isinstance(error, InterruptedRunError))
        what = f"{len(missing)} of {len(self.wanted.collections)} collections are not back: {'; '.join(words)}"
        return type(first)(first.code, what, f"{first.hint}; {_AGAIN}".strip("; "), exit_code=first.exit_code)


def _rebuild(
    client: NodeClient, builder: Builder, record: CollectionRecord, name: str, *, copies: int = 1, proven: str = ""
) -> str:
    """Build the collection in the place of whatever has its name."""
    if name in client.aliases():
        client.change_aliases({}, [name])
    if name in client.collection_names():
        client.delete_collection(name)
    return builder.build(record, name, copies, proven)


def _stand_in(client: NodeClient, name: str, copy: str) -> str:
    """Let the copy answer for a collection that could not be created again; return the resulting state as text."""
    try:
        if name in client.collection_names():
            client.delete_collection(name)
        client.change_aliases({name: copy})
    except RagopsError:
        return f"{name} is not whole; all of it is in the proven copy {copy}"
    return f"the proven copy {copy} answers for it"


def _delete_unproven(client: NodeClient) -> None:
    """Remove the copies of an earlier run that hold nothing for sure, where what they are copies of is there."""
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
    """Of all that a copy is made from."""
    content = record.model_dump_json() + "".join(f"{shard.file} {checksums[shard.file]}\n" for shard in record.shards)
    return hashlib.sha256(content.encode()).hexdigest()
