"""Shard snapshots of a collection: files next to its shard, each complete or absent. Every call blocks."""

from __future__ import annotations

import hmac
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.adapters.files import SECRET_MODE, sync_dir, write_atomic
from ragops.devserver.qdrant import archive
from ragops.devserver.qdrant.collection import SHARD, check_space
from ragops.devserver.qdrant.errors import ApiError, bad_input, no_space, not_found, translate
from ragops.devserver.qdrant.places import SUFFIX

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.devserver.qdrant.collection import Collection
    from ragops.devserver.qdrant.values import Json

_CHECKSUM = ".checksum"
_NAME = re.compile(rf"[a-z0-9-]+{re.escape(SUFFIX)}")
_MOST_BYTES = 180  # of a collection's name, which may be as long as a file's


def create(collection: Collection, name: str = "") -> Json:
    """Write a snapshot of the closed shard; it serves again when this returns or raises.

    `name` is ragops' own: Qdrant names snapshots itself. With it their file can be found while it is written.
    """
    if name and (not _NAME.fullmatch(name) or (collection.snapshots / name).exists()):
        raise bad_input(f"{name!r} is not a name for a new snapshot")
    collection.shard()
    check_space(collection.folder)
    final = collection.snapshots / (name or snapshot_name(collection.name, datetime.now(tz=UTC)))
    draft = final.with_name(f".{final.name}")
    try:
        collection.close()
        checksum = archive.write(collection.folder / SHARD, draft)
        write_atomic(final.with_suffix(_CHECKSUM), json.dumps({"sha256": checksum}) + "\n", SECRET_MODE)
        draft.rename(final)
        sync_dir(collection.snapshots)
    finally:
        draft.unlink(missing_ok=True)
        collection.open()
    return describe(final)


def snapshot_name(collection: str, when: datetime) -> str:
    """Return a name as Qdrant gives it; the time distinguishes those of one collection."""
    short = collection.encode()[:_MOST_BYTES].decode(errors="ignore")
    return f"{short}-shard-0-{when:%Y-%m-%d-%H-%M-%S-%f}{SUFFIX}"


def describe(path: Path) -> Json:
    """Return a snapshot as Qdrant shows it: time without a zone (UTC), size in bytes, SHA-256."""
    state = path.stat()
    checksum = json.loads(path.with_suffix(_CHECKSUM).read_text(encoding="utf-8"))["sha256"]
    created = datetime.fromtimestamp(state.st_mtime, tz=UTC).replace(tzinfo=None, microsecond=0)
    return {"name": path.name, "creation_time": created.isoformat(), "size": state.st_size, "checksum": checksum}


def listed(collection: Collection) -> list[Json]:
    """All snapshots, oldest first."""
    collection.shard()
    return [describe(path) for path in sorted(collection.snapshots.glob(f"[!.]*{SUFFIX}"))]


def find(collection: Collection, name: str) -> Path:
    """Return the file of a snapshot. Raises ApiError (404)."""
    path = collection.snapshots / name
    known = "/" not in name and not name.startswith(".") and name.endswith(SUFFIX)
    if not known or not path.is_file():
        raise not_found(f"Snapshot {name} not found")
    return path


def delete(collection: Collection, name: str) -> bool:
    """Remove a snapshot. Raises ApiError (404)."""
    path = find(collection, name)
    path.unlink()
    path.with_suffix(_CHECKSUM).unlink(missing_ok=True)
    return True


def accept(collection: Collection, upload: Path, checksum: str | None, free: int) -> int:
    """Check an uploaded snapshot and unpack it next to the shard; return its points. Raises ApiError."""
    collection.refuse_if_gone()
    if checksum is not None:
        found = archive.sha256(upload)
        if not hmac.compare_digest(found, checksum.lower()):
            raise ApiError(400, f"Checksum mismatch: expected {found}, actual {checksum}")
    archive.check(upload)
    if free < upload.stat().st_size:
        raise no_space()
    try:
        return collection.unpack(upload)
    except Exception as error:  # Edge raises nothing narrower
        translated = translate(error)
        if translated.status == no_space().status:
            raise translated from error
        raise bad_input(f"the snapshot cannot be loaded into `{collection.name}`: {error}") from error
