"""The collection in which health checks write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.qdrant.paths import path_of
from ragops.errors import RagopsError
from ragops.services.qdrant.names import HEALTH_COLLECTION

if TYPE_CHECKING:
    from ragops.adapters.qdrant.http import HttpClient

HEALTH_PATH = path_of(HEALTH_COLLECTION)


def ensure_health_collection(client: HttpClient, nodes: int) -> None:
    """Create the collection if it is missing: one shard, with a replica on each of `nodes`."""
    placement = {"shard_number": 1, "replication_factor": nodes, "write_consistency_factor": 1}
    try:
        client.change("PUT", HEALTH_PATH, {"vectors": {"size": 1, "distance": "Dot"}, **placement})
    except RagopsError as error:
        if error.code != "qdrant_exists":
            raise
