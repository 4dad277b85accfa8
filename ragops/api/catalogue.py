"""The list of collections: from the metadata database, or from the vector store if there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.api.schemas import CollectionInfo
from ragops.api.search import MOST_COLLECTIONS
from ragops.config.collection_names import USERS_OWN, is_build
from ragops.services.qdrant.names import is_internal

if TYPE_CHECKING:
    from ragops.api.dependencies import Dependencies

# Looked up for the rows of one page only: there may be 100,000 collections.
_PAGE = f"""
SELECT c.name, c.embedding_model, c.enabled, coalesce(d.documents, 0), (
    SELECT max(indexed_at) FROM rag.documents WHERE collection_id = c.id AND status = 'indexed')
FROM (SELECT id, name, embedding_model, enabled FROM rag.collections
      WHERE name > %s AND {USERS_OWN} ORDER BY name LIMIT %s) AS c
LEFT JOIN rag.document_counts AS d ON d.collection_id = c.id AND d.status = 'indexed'
ORDER BY c.name
"""  # noqa: S608  a constant
_NAMES = f"SELECT name FROM rag.collections WHERE enabled AND {USERS_OWN} ORDER BY name LIMIT %s"  # noqa: S608


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
    if deps.database is None:
        return [one.name for one in await _in_store(deps, "", MOST_COLLECTIONS + 1)]
    return [name for (name,) in await deps.database.rows(_NAMES, (MOST_COLLECTIONS + 1,))]
