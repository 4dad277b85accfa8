"""The nodes of an endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.qdrant.addresses import Address

if TYPE_CHECKING:
    from ragops.services.contract import Endpoint


def addresses(endpoint: Endpoint) -> tuple[Address, ...]:
    """Return every node of the endpoint, in its order; a server without names of nodes is called by its service."""
    found = tuple(Address(node.name, node.url, node.grpc_url) for node in endpoint.nodes)
    return found or (Address(endpoint.service, f"http://{endpoint.host}:{endpoint.port}"),)


def is_cluster(endpoint: Endpoint) -> bool:
    """Return whether the endpoint is a server that ragops runs as a cluster, be it of one node."""
    return bool(endpoint.nodes)


def operator_key(endpoint: Endpoint) -> str:
    """Return the operator's key."""
    return endpoint.logins["operator"].password.get_secret_value()
