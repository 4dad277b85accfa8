"""Preparation of the running server at the end of `up`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.services.timescaledb import IMAGE_ENGINE, extension, roles

if TYPE_CHECKING:
    from ragops.services.contract import Endpoint


def prepare(endpoint: Endpoint) -> None:
    """Create the database, the application role and TimescaleDB's extension if they are missing."""
    roles.prepare(endpoint)
    if endpoint.engine == IMAGE_ENGINE:
        extension.prepare(endpoint, endpoint.options["database"])
