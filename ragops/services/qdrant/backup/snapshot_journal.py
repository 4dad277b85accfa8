"""A journal of the snapshots that servers make for a dump, so that the next dump removes those of a killed one."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from ragops.adapters.state_file import StateFile
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.services.qdrant.cluster.nodes import Nodes


@dataclass(frozen=True)
class _Note:
    node: str
    snapshots: str
    before: list[str]


@dataclass
class ServerCopies:
    """Notes in the file `journal`: node, path of its snapshots, and the snapshots that were there before."""

    journal: Path
    _notes: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def keep_note(self, client: HttpClient, snapshots: str, before: set[str]) -> Iterator[None]:
        """Keep a note until the block ends; a killed run leaves it.

        If the block fails, the snapshots that were not there `before` are removed: a request that timed out may have
        left one whose name was never received. If that fails too, the note stays for the next run.
        """
        with self._lock:
            self._notes[client.name, snapshots] = sorted(before)
            self._write()
        try:
            yield
        except BaseException:
            with contextlib.suppress(RagopsError):  # the first failure counts
                remove_others(client, snapshots, before)
                self._forget(client, snapshots)
            raise
        self._forget(client, snapshots)

    def _forget(self, client: HttpClient, snapshots: str) -> None:
        with self._lock:
            del self._notes[client.name, snapshots]
            with contextlib.suppress(RagopsError):  # a note too many costs one request
                self._write()

    def clear(self, nodes: Nodes) -> None:
        """Remove the snapshots of a killed run from the nodes that answer; the notes of the others stay."""
        clients = {client.name: client for client in nodes.clients}
        for note in self._file.read() or ():
            node, snapshots, before = note.node, note.snapshots, note.before
            try:
                if node in clients:
                    remove_others(clients[node], snapshots, set(before))
                else:
                    self._notes[node, snapshots] = before
            except RagopsError as error:
                if error.code != "qdrant_not_found":  # else the collection is gone, and its snapshots with it
                    self._notes[node, snapshots] = before
        self._write()

    def _write(self) -> None:
        notes = [_Note(node, path, names) for (node, path), names in self._notes.items()]
        if notes or self.journal.exists():
            self._file.write(notes)

    @property
    def _file(self) -> StateFile[list[_Note]]:
        return StateFile(self.journal, list[_Note])


def names_of(client: HttpClient, snapshots: str) -> set[str]:
    """Return the names of the snapshots that the server has there."""
    return {item["name"] for item in client.get(snapshots)}


def remove_others(client: HttpClient, snapshots: str, before: set[str]) -> None:
    """Remove the snapshots that were not there `before`."""
    for name in names_of(client, snapshots) - before:
        client.send("DELETE", f"{snapshots}/{quote(name, safe='')}", wait="true")
