"""One snapshot of a shard, read while it comes from its server; the server keeps no copy of it."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple
from urllib.parse import quote
from uuid import uuid4

from ragops.adapters import cancellation
from ragops.adapters.background import BackgroundTask
from ragops.adapters.files import create_private, explain_os_error
from ragops.devserver.qdrant.places import SUFFIX, draft_pattern, snapshot_pattern
from ragops.errors import RagopsError
from ragops.services.qdrant.backup.snapshot_journal import names_of
from ragops.services.qdrant.cluster.polling import while_answering

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.services.qdrant.backup.snapshot_journal import ServerCopies

_POLL = 0.02
_GRACE = 10.0


class Snapshot(NamedTuple):
    """A whole snapshot; `checksum` is its SHA-256 as the server states it."""

    path: Path
    checksum: str


@dataclass(frozen=True)
class Download:
    """A snapshot that is read while its file is written."""

    _stream: BinaryIO
    _task: BackgroundTask[Snapshot]

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end of the snapshot. Raises as `wait`."""
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
        """Return the path once all of it is there. Raises what the task raises, InterruptedRunError."""
        return self._task.result().path

    def checksum(self) -> str:
        """Return its SHA-256 as the server states it. Waits and raises as `wait`."""
        return self._task.result().checksum


@contextmanager
def start_download(client: HttpClient, snapshots: str, target: Path, copies: ServerCopies) -> Iterator[Download]:
    """Have a snapshot made below the path `snapshots`, and download it to the new file `target` during the block.

    The file is removed at the end of the block, the snapshot from the server as soon as it is here or anything fails.
    """
    with copies.keep_note(client, snapshots, names_of(client, snapshots)):
        made: dict[str, Any] = while_answering(client, lambda: client.send("POST", snapshots, wait="true"))
        path = f"{snapshots}/{quote(made['name'], safe='')}"
        written = _create(target)

        def download() -> Snapshot:
            while_answering(client, lambda: client.download(path, written))
            client.send("DELETE", path, wait="true")
            return Snapshot(target, str(made.get("checksum") or ""))

        try:
            with written, target.open("rb", buffering=0) as read, _run(download) as task:
                yield Download(read, task)
        finally:
            target.unlink(missing_ok=True)


@contextmanager
def follow_snapshot(client: HttpClient, snapshots: str, storage: Path, copies: ServerCopies) -> Iterator[Download]:
    """Have the development server make a snapshot in its folder `storage`, and read the file while it is written.

    The snapshot is removed from the server at the end of the block.
    """
    name = f"{uuid4()}{SUFFIX}"

    def make() -> Snapshot:
        made: dict[str, Any] = while_answering(client, lambda: client.send("POST", snapshots, wait="true", name=name))
        # A server that was started by an earlier release chooses the name itself.
        return Snapshot(_find(storage, made["name"]), str(made["checksum"]))

    with copies.keep_note(client, snapshots, names_of(client, snapshots)):
        with _run(make) as task, _open_draft(storage, name, task) as read:
            yield Download(read, task)
        client.send("DELETE", f"{snapshots}/{quote(task.result().path.name, safe='')}", wait="true")


@contextmanager
def _run(work: Callable[[], Snapshot]) -> Iterator[BackgroundTask[Snapshot]]:
    """Run `work` during the block, to its end if the block does not fail. Raises what it raises."""
    with cancellation.new_run() as run:
        task = BackgroundTask(work, "ragops-snapshot")
        try:
            yield task
            task.result()
        except BaseException:
            run.cancel()
            task.wait(_GRACE)
            raise


def _open_draft(storage: Path, name: str, task: BackgroundTask[Snapshot]) -> BinaryIO:
    """Open the file of a snapshot, whole or not, once there is one. Raises as `Download.wait`."""
    while not task.is_done:
        for draft in storage.glob(draft_pattern(name)):
            with suppress(FileNotFoundError):  # it is whole now, and has its name
                return draft.open("rb", buffering=0)
        cancellation.check()
        task.wait(_POLL)
    return task.result().path.open("rb", buffering=0)


def _find(storage: Path, name: str) -> Path:
    for path in storage.glob(snapshot_pattern(name)):
        return path
    hint = "look into the log of the service: `ragops logs qdrant`"
    raise RagopsError("qdrant_error", f"cannot read the snapshot {name}: it is not in {storage}", hint)


def _create(target: Path) -> BinaryIO:
    try:
        return create_private(target)
    except OSError as error:
        raise explain_os_error(error, f"write {target}") from error
