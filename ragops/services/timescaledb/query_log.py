"""What rag.query_logs holds of the past."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.services.timescaledb.roles import session

if TYPE_CHECKING:
    from ragops.services.contract import Endpoint

_AGE = "SELECT extract(epoch FROM now() - min(asked_at)) FROM rag.query_logs"


def oldest_age(endpoint: Endpoint, *, timeout: float = 5.0) -> float | None:
    """Return the age of the oldest question in seconds, None if none was logged. Raises RagopsError."""
    with session(endpoint, timeout=timeout, limit=2 * timeout) as connection:
        row = connection.execute(_AGE).fetchone()
    return float(row[0]) if row and row[0] is not None else None
