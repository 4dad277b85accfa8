"""Version 1 of the API: passages, answers, collections. The paths without a version are the same operations."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from pydantic_core import to_json

from ragops.api import catalogue
from ragops.api.answering import EVERYWHERE, Answer
from ragops.api.dependencies import Dependencies, consumer, dependencies
from ragops.api.passages import FoundPassage, Passages
from ragops.api.passages import to_json as passages_to_json
from ragops.api.problem import responses
from ragops.api.schemas import (
    AnswerResponse,
    CollectionsRequest,
    CollectionsResponse,
    Passage,
    SearchRequest,
    SearchResponse,
)
from ragops.api.streaming import STREAMED, Event, EventStream, accepts_events

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from contextlib import AbstractContextManager

    from ragops.api.querylog import Entry
    from ragops.api.search import Found

JSON = "application/json"
router = APIRouter()
Deps = Annotated[Dependencies, Depends(dependencies)]
Consumer = Annotated[str, Depends(consumer)]
ASKING = responses(401, 404, 409, 422, 503, 504)


@router.get("/search", responses=ASKING, response_model=SearchResponse, summary="Find passages", name="search")
async def search_get(asked: Annotated[SearchRequest, Query()], deps: Deps, user: Consumer) -> Response:
    """Find the passages of one collection nearest to a question; POST keeps the question out of access logs."""
    return Response(await search(deps, asked, user), media_type=JSON)


@router.post(
    "/search", responses=ASKING | responses(413), response_model=SearchResponse, summary="Find passages",
    name="search_post",
)  # fmt: skip
async def search_post(asked: Annotated[SearchRequest, Body()], deps: Deps, user: Consumer) -> Response:
    """Find the passages of one collection that are nearest to a question."""
    return Response(await search(deps, asked, user), media_type=JSON)


@router.post(
    "/query", responses=ASKING | responses(413) | STREAMED, response_model=AnswerResponse, summary="Ask a question",
    name="query",
)  # fmt: skip
async def query(asked: Annotated[SearchRequest, Body()], request: Request, deps: Deps, user: Consumer) -> Response:
    """Answer a question by a chat model from the nearest passages.

    If none is configured, or it does not answer, `generated` is false, `note` is the reason and the passages are the
    answer: the operation fails only if there are no passages. With `Accept: text/event-stream` the answer comes as it
    is written: an event `passages`, events `text`, and an event `answer` with all that the JSON document has.
    """
    if accepts_events(request.headers.get("accept", "")):
        events = _events(asked, deps, user)
        first = await anext(events)  # a question that fails is answered by its status, not by an event
        return EventStream(first, events)
    return Response(await answer(deps, asked, user), media_type=JSON)


async def answer(deps: Dependencies, asked: SearchRequest, user: str) -> bytes:
    """Return the answer to a question, an AnswerResponse in JSON. Raises ApiError."""
    with _recording(asked, deps, user) as entry:
        found = await deps.answers.answer(asked.collection, asked.query, asked.limit)
        entry.embedder = found.found.embedder
        entry.found([passage.score for passage in found.found.passages])
    return to_json(_answer(asked, found))


async def _events(asked: SearchRequest, deps: Dependencies, user: str) -> AsyncGenerator[Event]:
    with _recording(asked, deps, user) as entry:
        async with aclosing(deps.answers.stream(asked.collection, asked.query, asked.limit)) as parts:
            async for part in parts:
                if isinstance(part, Answer):
                    yield Event.of("answer", _answer(asked, part).model_dump(mode="json"))
                elif isinstance(part, str):
                    yield Event.of("text", {"text": part})
                else:
                    entry.embedder = part.embedder
                    entry.found([passage.score for passage in part.passages])
                    yield Event.of("passages", _found(asked, part).model_dump(mode="json"))


def _answer(asked: SearchRequest, answer: Answer) -> AnswerResponse:
    return AnswerResponse(
        collection=asked.collection,
        answer=answer.text,
        generated=answer.text is not None,
        model=answer.model,
        note=answer.note,
        embedder=answer.found.embedder,
        mode=answer.found.mode,
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
    return CollectionsResponse(collections=shown, next=following, embedder=deps.search.embedders.default.name)


async def search(deps: Dependencies, asked: SearchRequest, user: str) -> bytes:
    """Return the passages for a question, a SearchResponse in JSON. Raises ApiError.

    Passages out of the cache are JSON already, and stay it.
    """
    with _recording(asked, deps, user) as entry:
        found = await deps.search.passages(asked.collection, asked.query, asked.limit)
        entry.embedder = found.embedder
        if isinstance(found.passages, Passages):
            entry.note(len(found.passages), found.passages.top_score)
        else:
            entry.found([passage.score for passage in found.passages])
    return b'{"collection":%b,"embedder":%b,"mode":%b,"cached":%b,"results":%b}' % (
        to_json(asked.collection),
        to_json(found.embedder),
        to_json(found.mode),
        b"true" if found.cached else b"false",
        passages_to_json(found.passages),
    )


def _recording(asked: SearchRequest, deps: Dependencies, user: str) -> AbstractContextManager[Entry]:
    """Log the question; the embedder is the platform's until the search has found that of the collection."""
    embedder = deps.search.embedders.default.name
    return deps.query_log.recording(asked.collection or EVERYWHERE, asked.query, user, embedder)


def _found(asked: SearchRequest, found: Found) -> SearchResponse:
    return SearchResponse(
        collection=asked.collection,
        embedder=found.embedder,
        mode=found.mode,
        cached=found.cached,
        results=_passages(found.passages),
    )


def _passages(found: Sequence[FoundPassage]) -> list[Passage]:
    return [Passage(**fields(passage)) for passage in found]


def fields(passage: FoundPassage) -> dict[str, Any]:
    """Return the fields of a passage, not copied deeply as `asdict` would."""
    return {name: getattr(passage, name) for name in Passage.model_fields}
