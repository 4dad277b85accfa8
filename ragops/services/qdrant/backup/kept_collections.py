"""Copies of collections that a restore leaves if it fails or is killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.services.kept_data import Kept
from ragops.services.qdrant.backup import proven_copies
from ragops.services.qdrant.cluster.nodes import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.services.contract import Endpoint

_REQUEST_SECONDS = 60.0


def kept(endpoint: Endpoint) -> tuple[Kept, ...]:
    """Return the copies on the servers; if the collection of one is gone, the copy is all that is left of it."""
    with connect(endpoint, _REQUEST_SECONDS) as nodes:
        live = nodes.first.collection_names()
        found = proven_copies.find(nodes.first, live).values()
    return tuple(Kept("collection", copy.name, None, needed=_describe_need(copy, live)) for copy in found)


def drop(endpoint: Endpoint, names: Sequence[str]) -> None:
    """Delete those of the copies whose collection is there."""
    safe = [item.name for item in kept(endpoint) if not item.needed]
    with connect(endpoint, _REQUEST_SECONDS) as nodes:
        for name in names:
            if name in safe:
                nodes.first.delete_collection(name)


def _describe_need(copy: proven_copies.Copy, live: Sequence[str]) -> str:
    if copy.stands_in:
        return f"it answers for {copy.base}"
    return "" if copy.base in live else f"{copy.base or 'its collection'} is away"
