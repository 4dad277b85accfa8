"""One snapshot of a shard on its way from a server to us, which leaves none of its own behind."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ragops.adapters import cancellation
from ragops.adapters.files import create_private, explain_os_error
from ragops.services.qdrant.backup.snapshot_journal import names_of
from ragops.services.qdrant.cluster.polling import while_answering

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.adapters.streams import ByteReader
    from ragops.services.qdrant.backup.snapshot_journal import ServerCopies

_POLL = 0.02


@contextlib.contextmanager
def open_snapshot(client: HttpClient, snapshots: str, copies: ServerCopies) -> Iterator[tuple[ByteReader, str]]:
    """Have a snapshot made below the path `snapshots`; yields it and its SHA-256 as the server states it.

    It is removed from the server whatever happens.
    """
    before = names_of(client, snapshots)
    with copies.keep_note(client, snapshots, before):
        made: dict[str, Any] = while_answering(client, lambda: client.send("POST", snapshots, wait="true"))
        path = f"{snapshots}/{quote(made['name'], safe='')}"
        with client.open_download(path) as body:
            yield body, str(made.get("checksum") or "")
        client.send("DELETE", path, wait="true")


class LocalCopy:
    """A copy of what is stored, for an engine that reads files only; written in blocks, the last one empty."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._whole = threading.Event()
        with self._translate_errors():
            self._file = create_private(path)

    def write(self, block: bytes) -> None:
        """Append a block. Raises MissingError (disk_full)."""
        with self._translate_errors():
            if block:
                self._file.write(block)
            else:
                self._file.close()
                self._whole.set()

    def wait_whole(self) -> Path:
        """Return its path as soon as it has its last block."""
        while not self._whole.wait(_POLL):
            cancellation.check()
        return self._path

    def remove(self) -> None:
        """Remove it."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise explain_os_error(error, f"write {self._path}") from error


@contextlib.contextmanager
def open_copy(path: Path) -> Iterator[LocalCopy]:
    """Begin a copy at the new file `path`, which is removed when the block ends."""
    copy = LocalCopy(path)
    try:
        yield copy
    finally:
        copy.remove()
