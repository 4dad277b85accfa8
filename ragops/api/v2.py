"""Version 2: the same search, answered by documents and page by page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query
from pydantic_core import to_json

from ragops.api.dependencies import Dependencies, consumer, dependencies
from ragops.api.problem import responses
from ragops.api.schemas import DocumentPassage, DocumentResult, DocumentSearchRequest, DocumentSearchResponse
from ragops.api.search import DEPTH, FoundDocument, by_document, page

router = APIRouter()
Deps = Annotated[Dependencies, Depends(dependencies)]
Consumer = Annotated[str, Depends(consumer)]
_ASKING = responses(401, 404, 409, 422, 503, 504)
_DIFFERENCE = (
    f"What differs from v1: passages are grouped by document, a document's score is that of its best passage, and "
    f"`next_cursor` asks for the next page. The best {DEPTH} passages are ranked; pages end after them."
)


@router.get("/search", responses=_ASKING, summary="Find documents", name="search", description=_DIFFERENCE)
async def search_get(
    asked: Annotated[DocumentSearchRequest, Query()], deps: Deps, user: Consumer
) -> DocumentSearchResponse:
    """Documents for a question."""
    return await _search(asked, deps, user)


@router.post(
    "/search", responses=_ASKING | responses(413), summary="Find documents", name="search_post", description=_DIFFERENCE
)
async def search_post(
    asked: Annotated[DocumentSearchRequest, Body()], deps: Deps, user: Consumer
) -> DocumentSearchResponse:
    """Documents for a question that no log of URLs should hold."""
    return await _search(asked, deps, user)


async def search(deps: Dependencies, asked: DocumentSearchRequest, user: str) -> bytes:
    """Return the documents for a question, a DocumentSearchResponse in JSON. Raises ApiError."""
    return to_json(await _search(asked, deps, user))


async def _search(asked: DocumentSearchRequest, deps: Dependencies, user: str) -> DocumentSearchResponse:
    embedder = deps.search.embedders.default.name
    with deps.query_log.recording(asked.collection, asked.query, user, embedder) as entry:
        found = await deps.search.passages(asked.collection, asked.query, DEPTH)
        entry.embedder = found.embedder
        question = (asked.collection, asked.query, found.embedder)
        shown, following = page(by_document(found.passages, asked.passages), asked.limit, asked.cursor, question)
        entry.found([document.score for document in shown])
    return DocumentSearchResponse(
        collection=asked.collection,
        embedder=found.embedder,
        mode=found.mode,
        cached=found.cached,
        documents=[_document(document) for document in shown],
        next_cursor=following,
    )


def _document(found: FoundDocument) -> DocumentResult:
    passages = [
        DocumentPassage(id=passage.id, position=passage.position, score=passage.score, text=passage.text)
        for passage in found.passages
    ]
    return DocumentResult(document_id=found.document_id, path=found.path, score=found.score, passages=passages)
