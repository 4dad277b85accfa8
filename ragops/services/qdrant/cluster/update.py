"""Hooks of Qdrant around an update of the platform: refusals before it, and lost nodes and mixed versions during it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.errors import RagopsError
from ragops.services.qdrant.cluster.cluster import node_versions
from ragops.services.qdrant.cluster.membership import RAFT_STATE, remove_lost_peers
from ragops.services.qdrant.settings import refuse_fewer
from ragops.services.qdrant.versions import asks_nodes

if TYPE_CHECKING:
    from ragops.services.contract import Endpoint
    from ragops.services.contract.service import DataFileReader
    from ragops.services.qdrant.settings import QdrantSettings


def check(endpoint: Endpoint, settings: QdrantSettings) -> None:
    """Raise UsageError (nodes_removed) if the update would remove nodes."""
    refuse_fewer(len(endpoint.nodes), settings)


def rejoin_lost_nodes(endpoint: Endpoint, data_file: DataFileReader) -> tuple[str, ...]:
    """Let nodes that lost their data join the cluster again, which would refuse them under their old names."""
    return remove_lost_peers(endpoint, lambda node: data_file(node, RAFT_STATE)) if len(endpoint.nodes) > 1 else ()


def mixed_nodes(endpoint: Endpoint, wanted: str) -> frozenset[str] | None:
    """Return the nodes that send one another the key already, if others do not yet and the version `wanted` does.

    None if all nodes that answer are alike in this, or stay as they are: they may ask for the key then.
    """
    if not asks_nodes(wanted):
        return None
    try:
        versions = node_versions(endpoint)
    except RagopsError:
        return None
    able = frozenset(node for node, version in versions.items() if asks_nodes(version))
    return able if len(able) < len(versions) else None
