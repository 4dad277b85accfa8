"""The address of one Qdrant node."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Address:
    """A node's name and its URLs as the caller reaches it; `grpc_url` is empty if it has no gRPC."""

    name: str
    url: str
    grpc_url: str = ""
