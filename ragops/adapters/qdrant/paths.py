"""Paths of Qdrant's REST API."""

from __future__ import annotations

from urllib.parse import quote


def path_of(collection: str) -> str:
    """Return the path of a collection."""
    return f"/collections/{quote(collection, safe='')}"
