"""Where the files of snapshots lie in the storage folder, for the server and for who shares its disk."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

COLLECTIONS = "collections"
SNAPSHOTS = "snapshots"
SUFFIX = ".snapshot"
_MOST_BYTES = 180  # of a collection's name, which may be as long as a file's


def snapshot_name(collection: str, when: datetime) -> str:
    """Return a name as Qdrant gives it; the time distinguishes those of one collection."""
    return f"{_short(collection)}-shard-0-{when:%Y-%m-%d-%H-%M-%S-%f}{SUFFIX}"


def draft_of(snapshot: Path) -> Path:
    """Return the name of a snapshot that is not complete."""
    return snapshot.with_name(f".{snapshot.name}")


def drafts(storage: Path, collection: str) -> set[Path]:
    """Snapshots of the collection that are being written. Raises OSError."""
    form = re.compile(rf"\.{re.escape(_short(collection))}-shard-0-[-\d]+{re.escape(SUFFIX)}")
    found = storage.glob(f"{COLLECTIONS}/*/{SNAPSHOTS}/.*{SUFFIX}")
    return {path for path in found if form.fullmatch(path.name)}


def snapshot(storage: Path, name: str) -> Path | None:
    """Return the complete snapshot of that name, None if there is none. Raises OSError."""
    return next((path for path in storage.glob(f"{COLLECTIONS}/*/{SNAPSHOTS}/*") if path.name == name), None)


def _short(collection: str) -> str:
    return collection.encode()[:_MOST_BYTES].decode(errors="ignore")
