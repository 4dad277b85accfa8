"""One snapshot of a shard on its way from a server to us, which leaves none of its own behind."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ragops.adapters import cancellation
from ragops.adapters.background import BackgroundTask
from ragops.adapters.files import link
from ragops.adapters.qdrant.paths import path_of
from ragops.devserver.qdrant import places
from ragops.services.qdrant.backup.snapshot_journal import names_of
from ragops.services.qdrant.cluster.polling import while_answering

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.services.contract import PartWriter
    from ragops.services.qdrant.backup.snapshot_journal import ServerCopies

_LOOK_SECONDS = 0.02
_GRACE_SECONDS = 8.0  # less than tasks get to clear up


class _OtherSnapshotError(Exception):
    """What was taken for our snapshot is another one."""


@dataclass(frozen=True)
class Source:
    """A shard; `storage` is the folder of its server, if that is the development engine on this machine's disk."""

    collection: str
    shard: int
    storage: Path | None

    @property
    def snapshots(self) -> str:
        """The path of its snapshots."""
        return f"{path_of(self.collection)}/shards/{self.shard}/snapshots"


def fetch(client: HttpClient, source: Source, target: Path, copies: ServerCopies, writer: PartWriter) -> str:
    """Have a snapshot made in `target`, and removed from the server whatever happens; returns its SHA-256 as stated.

    From the server, or by a second name for the very file that it writes, which is stored while it grows.
    """
    before = names_of(client, source.snapshots)
    with copies.keep_note(client, source.snapshots, before):
        if source.storage is None:
            made, here = _make(client, source), False
        else:
            made, here = _shared(client, source, source.storage, target, writer)
        path = f"{source.snapshots}/{quote(made['name'], safe='')}"
        if not here:
            with writer.stream(target.name):
                while_answering(client, lambda: client.download(path, target))
        client.send("DELETE", path, wait="true")
    return str(made.get("checksum") or "")


def _make(client: HttpClient, source: Source) -> dict[str, Any]:
    made: dict[str, Any] = while_answering(client, lambda: client.send("POST", source.snapshots, wait="true"))
    return made


def _shared(
    client: HttpClient, source: Source, storage: Path, target: Path, writer: PartWriter
) -> tuple[dict[str, Any], bool]:
    """Take a new snapshot; return it, and whether `target` is a name of its file."""
    others = _drafts(storage, source.collection)
    making = BackgroundTask(lambda: _make(client, source), "ragops-snapshot")
    try:
        while not making.wait(_LOOK_SECONDS):
            new = _drafts(storage, source.collection) - others
            if len(new) == 1 and link(new.pop(), target):
                with writer.stream(target.name):
                    _check_it(target, storage, making.result()["name"])
                return making.result(), True
            cancellation.check()
        return making.result(), False
    except _OtherSnapshotError:
        target.unlink()
        return making.result(), False
    except BaseException:
        making.wait(_GRACE_SECONDS)  # what it makes is to be removed
        raise


def _check_it(target: Path, storage: Path, name: str) -> None:
    """Raise _OtherSnapshotError if it is not that snapshot, but another client's of the same second."""
    with contextlib.suppress(OSError):
        whole = places.snapshot(storage, name)
        if whole is not None and target.samefile(whole):
            return
    raise _OtherSnapshotError


def _drafts(storage: Path, collection: str) -> set[Path]:
    with contextlib.suppress(OSError):
        return places.drafts(storage, collection)
    return set()
