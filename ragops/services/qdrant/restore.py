"""Puts collections back over the REST API, which can neither rename nor exchange them.

First every snapshot goes into a collection beside, `<name>__ragops-restore`, and is counted: what fails here has
touched nothing. Then each collection is deleted and made again from the same file. Between the two it is away, by its
name and its aliases: for that long searches in this one collection answer 404. Should that step fail, the proven copy
is still there under its own name, and the next run starts over from the recovery point.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from typing import TYPE_CHECKING

from ragops.errors import IntegrityError, RagopsError
from ragops.services.qdrant import RESTORE_SUFFIX, catalogue
from ragops.services.qdrant.catalogue import path_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ragops.services.qdrant.catalogue import Catalogue, CollectionRecord
    from ragops.services.qdrant.rest import Rest

_ACTIVE_SECONDS = 600.0
_POLL = 0.1
_LONGEST_NAME = 255


def run(rest: Rest, folder: Path, wanted: Catalogue) -> tuple[str, ...]:
    """Make the server hold `wanted` and no other collection or alias; returns words for the user.

    Raises IntegrityError (counts_differ), RagopsError; before the first collection was replaced, all are as they were.
    """
    clear(rest)
    try:
        for number, record in enumerate(wanted.collections):
            _build(rest, folder, record, _beside(record.name, number))
    except BaseException:
        with contextlib.suppress(RagopsError):  # the first failure is the one to tell; the next run clears them
            clear(rest)
        raise
    for number, record in enumerate(wanted.collections):
        _replace(rest, folder, wanted, record, _beside(record.name, number))
    extra = sorted(set(catalogue.names(rest)) - {record.name for record in wanted.collections})
    for name in extra:
        rest.send("DELETE", path_of(name))
    _set_aliases(rest, wanted.aliases)
    clear(rest)
    gone = f"collections removed because the recovery point does not have them: {', '.join(extra)}"
    return (gone,) if extra else ()


def clear(rest: Rest) -> None:
    """Remove the copies of an earlier run."""
    for item in rest.get("/collections")["collections"]:
        if item["name"].endswith(RESTORE_SUFFIX):
            rest.send("DELETE", path_of(item["name"]))


def _beside(name: str, number: int) -> str:
    """The name of the copy; a number where the name leaves no room for the suffix."""
    beside = f"{name}{RESTORE_SUFFIX}"
    return beside if len(beside.encode()) <= _LONGEST_NAME else f"{number}{RESTORE_SUFFIX}"


def _build(rest: Rest, folder: Path, record: CollectionRecord, name: str) -> None:
    """Make the collection `name` from the snapshots of `record`; it holds every point when this returns."""
    rest.send("PUT", path_of(name), record.create)
    for shard in record.shards:
        source = folder / shard.file
        with source.open("rb") as stream:
            checksum = hashlib.file_digest(stream, "sha256").hexdigest()
        rest.upload(f"{path_of(name)}/shards/{shard.id}/snapshots/upload", source, checksum)
    known = rest.get(path_of(name))["payload_schema"]
    for index in record.indexes:
        if index.field_name not in known:
            rest.send("PUT", f"{path_of(name)}/index", index.model_dump(), wait="true")
    _wait_active(rest, name)
    if (found := catalogue.count(rest, name)) != record.points:
        what = f"{record.name}: {found} points came back, not {record.points}"
        raise IntegrityError("counts_differ", what, "use another recovery point: `ragops backup list`")


def _wait_active(rest: Rest, name: str) -> None:
    """Only then is a restore done: replicas have been left half-way by servers (field notes)."""
    deadline = time.monotonic() + _ACTIVE_SECONDS
    while True:
        cluster = rest.get(f"{path_of(name)}/cluster")
        waiting = [
            shard["shard_id"]
            for shard in (*cluster["local_shards"], *cluster["remote_shards"])
            if shard["state"] != "Active"
        ]
        if not waiting:
            return
        if time.monotonic() > deadline:
            what = f"{name}: shards {waiting} are not active after {_ACTIVE_SECONDS:.0f} s"
            raise RagopsError("qdrant_shards_inactive", what, "see `ragops logs qdrant`, then restore again")
        time.sleep(_POLL)


def _replace(rest: Rest, folder: Path, wanted: Catalogue, record: CollectionRecord, copy: str) -> None:
    """Let the snapshots that were proven in `copy` take the place of the collection."""
    try:
        if record.name in catalogue.aliases(rest):
            _change(rest, [_deletion(record.name)])
        rest.send("DELETE", path_of(record.name))
        _build(rest, folder, record, record.name)
        live = set(catalogue.names(rest))
        own = {alias: name for alias, name in wanted.aliases.items() if name == record.name and alias not in live}
        _change(rest, [_creation(alias, name) for alias, name in own.items()])
    except RagopsError as error:
        hint = f"restore again; what it is to hold is in the collection {copy} meanwhile. {error.hint}".strip()
        what = f"{record.name} is not back: {error.message}"
        raise RagopsError(error.code, what, hint, exit_code=error.exit_code) from error
    rest.send("DELETE", path_of(copy))


def _set_aliases(rest: Rest, wanted: Mapping[str, str]) -> None:
    """In one request, which is carried out as a whole."""
    gone = [alias for alias in catalogue.aliases(rest) if alias not in wanted]
    _change(rest, [*map(_deletion, gone), *(_creation(alias, name) for alias, name in wanted.items())])


def _change(rest: Rest, actions: list[dict[str, object]]) -> None:
    if actions:
        rest.send("POST", "/collections/aliases", {"actions": actions})


def _creation(alias: str, collection: str) -> dict[str, object]:
    return {"create_alias": {"alias_name": alias, "collection_name": collection}}


def _deletion(alias: str) -> dict[str, object]:
    return {"delete_alias": {"alias_name": alias}}
