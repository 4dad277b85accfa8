"""One snapshot of a shard on its way from a server to this machine; the server keeps no copy of it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from ragops.adapters import cancellation
from ragops.adapters.background import BackgroundTask
from ragops.adapters.files import create_private, explain_os_error
from ragops.services.qdrant.backup.snapshot_journal import names_of
from ragops.services.qdrant.cluster.polling import while_answering

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.services.qdrant.backup.snapshot_journal import ServerCopies

_POLL = 0.02
_GRACE = 10.0


@dataclass(frozen=True)
class Download:
    """A snapshot that is read while it is written to `path`; `checksum` is its SHA-256 as the server states it."""

    path: Path
    checksum: str
    _stream: BinaryIO
    _task: BackgroundTask[None]

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end of the download. Raises what that raises, InterruptedRunError."""
        while True:
            whole = self._task.is_done  # looked at before the file, which may grow in between
            if block := self._stream.read(size):
                return block
            if whole:
                self.wait()
                return b""
            cancellation.check()
            self._task.wait(_POLL)

    def wait(self) -> Path:
        """Return the path once all of it is there. Raises what the download raises, InterruptedRunError."""
        self._task.result()
        return self.path


@contextmanager
def start_download(client: HttpClient, snapshots: str, target: Path, copies: ServerCopies) -> Iterator[Download]:
    """Have a snapshot made below the path `snapshots`, and download it to the new file `target` during the block.

    The file is removed at the end of the block, the snapshot from the server as soon as it is here or anything fails.
    """
    before = names_of(client, snapshots)
    with copies.keep_note(client, snapshots, before):
        made: dict[str, Any] = while_answering(client, lambda: client.send("POST", snapshots, wait="true"))
        path = f"{snapshots}/{quote(made['name'], safe='')}"
        written = _create(target)
        try:
            with written, target.open("rb", buffering=0) as read, cancellation.new_run() as run:
                task = BackgroundTask(lambda: _download(client, path, written), "ragops-download")
                try:
                    yield Download(target, str(made.get("checksum") or ""), read, task)
                    task.result()
                except BaseException:
                    run.cancel()
                    task.wait(_GRACE)
                    raise
        finally:
            target.unlink(missing_ok=True)


def _create(target: Path) -> BinaryIO:
    try:
        return create_private(target)
    except OSError as error:
        raise explain_os_error(error, f"write {target}") from error


def _download(client: HttpClient, path: str, target: BinaryIO) -> None:
    while_answering(client, lambda: client.download(path, target))
    client.send("DELETE", path, wait="true")
