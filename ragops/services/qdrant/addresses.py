"""The nodes of an endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.qdrant.addresses import Address

if TYPE_CHECKING:
    from ragops.services.contract import Endpoint


def addresses(endpoint: Endpoint) -> tuple[Address, ...]:
    """Return every node of the endpoint, in its order; a server without names of nodes is called by its service."""
    urls = _listed(endpoint, "urls") or [f"http://{endpoint.host}:{endpoint.port}"]
    names, grpc_urls = _listed(endpoint, "nodes"), _listed(endpoint, "grpc_urls")
    if len(names) != len(urls):
        names = [endpoint.service] if len(urls) == 1 else [f"node {number}" for number in range(1, len(urls) + 1)]
    if len(grpc_urls) != len(urls):
        grpc_urls = [""] * len(urls)
    triples = zip(names, urls, grpc_urls, strict=True)
    return tuple(Address(name, url.rstrip("/"), grpc_url.rstrip("/")) for name, url, grpc_url in triples)


def is_cluster(endpoint: Endpoint) -> bool:
    """Return whether the endpoint is a server that ragops runs as a cluster, be it of one node."""
    return bool(_listed(endpoint, "nodes"))


def operator_key(endpoint: Endpoint) -> str:
    """Return the operator's key."""
    return endpoint.logins["operator"].password.get_secret_value()


def _listed(endpoint: Endpoint, option: str) -> list[str]:
    return [value for value in endpoint.options.get(option, "").split(",") if value]
