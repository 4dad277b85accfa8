"""One snapshot of a shard on its way from a server to this machine; the server keeps no copy of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ragops.services.qdrant.backup.snapshot_journal import names_of
from ragops.services.qdrant.cluster.polling import while_answering

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.services.qdrant.backup.snapshot_journal import ServerCopies


def fetch(client: HttpClient, snapshots: str, target: Path, copies: ServerCopies) -> str:
    """Have a snapshot made below the path `snapshots`, and download it to `target`, a file for the engine to read.

    Return its SHA-256 as the server states it. It is removed from the server whatever happens.
    """
    before = names_of(client, snapshots)
    with copies.keep_note(client, snapshots, before):
        made: dict[str, Any] = while_answering(client, lambda: client.send("POST", snapshots, wait="true"))
        path = f"{snapshots}/{quote(made['name'], safe='')}"
        while_answering(client, lambda: client.download(path, target))
        client.send("DELETE", path, wait="true")
    return str(made.get("checksum") or "")
