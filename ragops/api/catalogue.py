"""The list of collections: from the metadata database, or from the vector store if there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.api.schemas import CollectionInfo
from ragops.api.search import MOST_COLLECTIONS
from ragops.config.collection_names import USERS_OWN, is_build
from ragops.services.qdrant.names import is_internal

if TYPE_CHECKING:
    from ragops.api.dependencies import Dependencies

# Counted for the rows of one page only: there may be 100,000 collections.
_PAGE = f"""
SELECT c.name, c.embedding_model, c.enabled, d.documents, d.indexed_at
FROM (SELECT id, name, embedding_model, enabled FROM rag.collections
      WHERE name > %s AND {USERS_OWN} ORDER BY name LIMIT %s) AS c
CROSS JOIN LATERAL (SELECT count(*) AS documents, max(indexed_at) AS indexed_at FROM rag.documents
                    WHERE collection_id = c.id AND status = 'indexed') AS d
ORDER BY c.name
"""  # noqa: S608  a constant


async def collections(deps: Dependencies, after: str, limit: int) -> list[CollectionInfo]:
    """Return at most `limit` collections after the name `after`; raises ApiError."""
    if deps.database is None:
        return await _in_store(deps, after, limit)
    rows = await deps.database.rows(_PAGE, (after.replace("\x00", ""), limit))
    return [
        CollectionInfo(name=name, embedding_model=model, enabled=enabled, documents=documents, indexed_at=indexed_at)
        for name, model, enabled, documents, indexed_at in rows
    ]


async def _in_store(deps: Dependencies, after: str, limit: int) -> list[CollectionInfo]:
    names = sorted(await deps.search.breaker.call(deps.search.qdrant.collections))
    page = [name for name in names if name > after and not is_build(name) and not is_internal(name)][:limit]
    return [
        CollectionInfo(name=name, embedding_model=None, enabled=None, documents=None, indexed_at=None) for name in page
    ]


async def names(deps: Dependencies) -> list[str]:
    """Return the collections that a question to all of them reaches, one more than the most. Raises ApiError."""
    found = await collections(deps, "", MOST_COLLECTIONS + 1)
    return [one.name for one in found if one.enabled is not False]
