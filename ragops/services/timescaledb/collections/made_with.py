"""How the vectors of collections were made, as the newest job of each has stored it."""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString, NamedTuple

from ragops.adapters.postgres import fetch_value
from ragops.config import collection_names
from ragops.services.timescaledb.roles import session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.services.contract import Endpoint

_SUBJECT = "the collections"
_MADE: LiteralString = f"""
SELECT c.name, coalesce(j.way->>'collection', c.name), c.enabled, j.way->>'embedder',
       (j.way->>'dimensions')::int, j.way->>'passage_prefix'
FROM rag.collections c CROSS JOIN LATERAL (
    SELECT details->'way' AS way FROM rag.ingestion_jobs
    WHERE collection_id = c.id AND details ? 'way' ORDER BY started_at DESC LIMIT 1) j
WHERE {collection_names.USERS_OWN} ORDER BY c.name
"""  # noqa: S608  a constant
_COUNTS: LiteralString = """
SELECT c.name, count(k.id) FROM rag.collections c JOIN rag.documents d ON d.collection_id = c.id
JOIN rag.chunks k ON k.document_id = d.id WHERE c.name = ANY(%s) GROUP BY 1
"""


class MadeWith(NamedTuple):
    """A collection, its collection of points, the name of its embedder, and what that one gave then.

    `dimensions` and `passage_prefix` are None if the job did not store them.
    """

    name: str
    points: str
    enabled: bool
    embedder: str
    dimensions: int | None
    passage_prefix: str | None

    @property
    def alias(self) -> str:
        """The alias that the vector store has for the points of a collection that was built again."""
        return collection_names.alias(self.name)


def made_with(endpoint: Endpoint, timeout: float) -> list[MadeWith]:
    """Return the collections that were ingested, by name; none without a rag schema. Raises RagopsError."""
    with session(endpoint, subject=_SUBJECT, timeout=timeout, limit=timeout) as connection:
        if not fetch_value(connection, "SELECT to_regclass('rag.ingestion_jobs') IS NOT NULL"):
            return []
        return [MadeWith._make(row) for row in connection.execute(_MADE).fetchall()]


def count_chunks(endpoint: Endpoint, names: Sequence[str], timeout: float) -> dict[str, int]:
    """Return the number of chunks of these collections by name. Raises RagopsError."""
    with session(endpoint, subject=_SUBJECT, timeout=timeout, limit=timeout) as connection:
        return dict(connection.execute(_COUNTS, [list(names)]).fetchall())
