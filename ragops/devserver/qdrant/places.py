"""Where snapshots are in the storage folder, for the server and for programs that read them there."""

from __future__ import annotations

import glob

COLLECTIONS, SNAPSHOTS, SUFFIX = "collections", "snapshots", ".snapshot"


def snapshot_pattern(name: str) -> str:
    """Return the pattern of a snapshot's path in the storage folder."""
    return f"{COLLECTIONS}/*/{SNAPSHOTS}/{glob.escape(name)}"


def draft_pattern(name: str) -> str:
    """Return the pattern of a snapshot's path while it is written."""
    return snapshot_pattern(f".{name}")
