"""Remembers which snapshots servers make for us, so that those of a run that was killed are removed by the next."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ragops.adapters.files import SECRET_MODE, write_atomic
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.services.qdrant.nodes import Nodes


@dataclass
class ServerCopies:
    """Notes in the file `journal`: node, path of its snapshots, and those that were there before ours."""

    journal: Path
    _notes: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def noted(self, node: str, snapshots: str, before: set[str]) -> Iterator[None]:
        """Keep a note while the block lasts; one that is killed leaves it."""
        with self._lock:
            self._notes[node, snapshots] = sorted(before)
            self._write()
        try:
            yield
        finally:
            with self._lock:
                del self._notes[node, snapshots]
                with contextlib.suppress(RagopsError):  # a note too many costs a look
                    self._write()

    def clear(self, nodes: Nodes) -> None:
        """Remove what a killed run left on those nodes that answer; the others are asked next time."""
        from ragops.services.qdrant.snapshots import remove_others

        clients = {client.name: client for client in nodes.clients}
        for node, snapshots, before in self._read():
            if node not in clients:
                self._notes[node, snapshots] = before
                continue
            with contextlib.suppress(RagopsError):  # the collection may be gone, and its snapshots with it
                remove_others(clients[node], snapshots, set(before))
        self._write()

    def _read(self) -> list[tuple[str, str, list[str]]]:
        try:
            values: Any = json.loads(self.journal.read_text())
            return [(item["node"], item["snapshots"], item["before"]) for item in values]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def _write(self) -> None:
        values = [{"node": node, "snapshots": path, "before": names} for (node, path), names in self._notes.items()]
        if values or self.journal.exists():
            write_atomic(self.journal, json.dumps(values), SECRET_MODE)
