"""Version 1 of the API: passages, answers, collections. The paths without a version are the same operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body, Depends, Query

from ragops.api import catalogue
from ragops.api.dependencies import Dependencies, consumer, dependencies
from ragops.api.problem import responses
from ragops.api.schemas import (
    AnswerResponse,
    CollectionsRequest,
    CollectionsResponse,
    Passage,
    SearchRequest,
    SearchResponse,
)

if TYPE_CHECKING:
    from ragops.api.search import FoundPassage

router = APIRouter()
Deps = Annotated[Dependencies, Depends(dependencies)]
Consumer = Annotated[str, Depends(consumer)]
ASKING = responses(401, 404, 409, 422, 503, 504)


@router.get("/search", responses=ASKING, summary="Find passages", name="search")
async def search_get(asked: Annotated[SearchRequest, Query()], deps: Deps, user: Consumer) -> SearchResponse:
    """Find the passages of one collection nearest to a question; POST keeps the question out of access logs."""
    return await _search(asked, deps, user)


@router.post("/search", responses=ASKING | responses(413), summary="Find passages", name="search_post")
async def search_post(asked: Annotated[SearchRequest, Body()], deps: Deps, user: Consumer) -> SearchResponse:
    """Find the passages of one collection that are nearest to a question."""
    return await _search(asked, deps, user)


@router.post("/query", responses=ASKING | responses(413), summary="Ask a question", name="query")
async def query(asked: Annotated[SearchRequest, Body()], deps: Deps, user: Consumer) -> AnswerResponse:
    """Answer a question by a chat model from the nearest passages.

    If none is configured, or it does not answer, `generated` is false, `note` is the reason and the passages are the
    answer: the operation fails only if there are no passages.
    """
    embedder = deps.search.embedder.name
    with deps.query_log.recording(asked.collection, asked.query, user, embedder) as entry:
        answer = await deps.answers.answer(asked.collection, asked.query, asked.limit)
        entry.found([passage.score for passage in answer.found.passages])
    return AnswerResponse(
        collection=asked.collection,
        answer=answer.text,
        generated=answer.text is not None,
        model=answer.model,
        note=answer.note,
        embedder=embedder,
        cached=answer.cached,
        passages=_passages(answer.found.passages),
    )


@router.get("/collections", responses=responses(401, 422, 503, 504), summary="List collections", name="collections")
async def collections(
    asked: Annotated[CollectionsRequest, Query()], deps: Deps, _user: Consumer
) -> CollectionsResponse:
    """List the collections by name; this does not need the vector store if the metadata database is configured."""
    found = await catalogue.collections(deps, asked.after, asked.limit + 1)
    shown = found[: asked.limit]
    following = shown[-1].name if len(found) > asked.limit else None
    return CollectionsResponse(collections=shown, next=following, embedder=deps.search.embedder.name)


async def _search(asked: SearchRequest, deps: Dependencies, user: str) -> SearchResponse:
    embedder = deps.search.embedder.name
    with deps.query_log.recording(asked.collection, asked.query, user, embedder) as entry:
        found = await deps.search.passages(asked.collection, asked.query, asked.limit)
        entry.found([passage.score for passage in found.passages])
    return SearchResponse(
        collection=asked.collection, embedder=embedder, cached=found.cached, results=_passages(found.passages)
    )


def _passages(found: tuple[FoundPassage, ...]) -> list[Passage]:
    return [Passage(**fields(passage)) for passage in found]


def fields(passage: FoundPassage) -> dict[str, Any]:
    """Return the fields of a passage, not copied deeply as `asdict` would."""
    return {name: getattr(passage, name) for name in Passage.model_fields}
