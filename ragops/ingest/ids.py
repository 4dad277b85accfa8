"""The identity of a chunk: the same words at the same place of the same file are the same point, for ever."""

from __future__ import annotations

from uuid import UUID, uuid5

# Changing it would make strangers of all points that were ever stored.
_NAMESPACE = UUID("6f1d7c52-3b0e-5c7a-9d5e-0a4c8b1f2e93")


def chunk_id(collection: str, path: str, position: int, content_hash: str) -> UUID:
    """Return the id that joins a row of rag.chunks and a point; NUL divides the parts because no path can hold it."""
    return uuid5(_NAMESPACE, f"{collection}\0{path}\0{position}\0{content_hash}")
