"""For those who keep the service running: is it alive, can it answer, what has it counted."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from ragops.api.dependencies import Dependencies, dependencies
from ragops.api.dependency_errors import SLOW
from ragops.api.embedders import ServedEmbedder
from ragops.api.model_servers import BUSY
from ragops.api.operator_schemas import HealthResponse, ReadyCheck, ReadyResponse
from ragops.api.problem import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Iterator

router = APIRouter()
Deps = Annotated[Dependencies, Depends(dependencies)]


@router.get("/healthz", summary="Alive", name="healthz")
async def healthz() -> HealthResponse:
    """Answer without a check of any dependency, so that none of them causes a restart."""
    return HealthResponse(status="ok")


@router.get(
    "/readyz",
    summary="Able to answer",
    name="readyz",
    responses={503: {"model": ReadyResponse, "description": "Questions cannot be answered at the moment"}},
)
async def readyz(request: Request, response: Response, deps: Deps) -> ReadyResponse:
    """Whether questions can be answered, asked through the breakers: one that is open is not called.

    Without Redis or the database the service is degraded, without Qdrant, its embedder or a key for tokens it is down.
    """
    checks = [_tokens(request), *await asyncio.gather(*_questions(deps))]
    status = max((check.status for check in checks), key=["ok", "degraded", "down"].index)
    response.status_code = 503 if status == "down" else 200
    writer = deps.answers.writer
    model = writer.config.model if writer else None
    return ReadyResponse(status=status, embedder=deps.search.embedders.default.name, chat_model=model, checks=checks)


@router.get(
    "/metrics",
    summary="Metrics",
    name="metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"example": 'ragops_api_breaker_state{dependency="qdrant"} 0.0\n'}}}},
)
async def metrics(deps: Deps) -> Response:
    """All counters in Prometheus' text format."""
    return Response(deps.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _questions(deps: Dependencies) -> Iterator[Coroutine[Any, Any, ReadyCheck]]:
    """One for each dependency, to be asked at the same time."""
    yield _check("qdrant", "down", deps.search.breaker.call(deps.search.qdrant.ready))
    embedders, writer = deps.search.embedders, deps.answers.writer
    for one in embedders.all.values():
        if isinstance(one, ServedEmbedder):
            status = "down" if one is embedders.default else "degraded"
            yield _check(one.breaker.name, status, one.breaker.call(one.ready))
    if writer is not None:
        ready = partial(writer.server.ready, writer.config.model)
        yield _check("chat", "degraded", writer.breaker.call(ready))
    if deps.cache:
        yield _check("redis", "degraded", deps.cache.ready())
    if deps.database:
        yield _check("database", "degraded", deps.database.ready())


async def _check(name: str, otherwise: str, asked: Awaitable[object]) -> ReadyCheck:
    try:
        await asked
    except ApiError as error:
        # A server that is slow or busy is not down: it may be loading a model.
        status = "degraded" if error.code in (SLOW, BUSY) else otherwise
        return ReadyCheck(name=name, status=status, detail=error.detail)
    return ReadyCheck(name=name, status="ok", detail="answers")


def _tokens(request: Request) -> ReadyCheck:
    """Report how many tokens are issued; a platform without one is healthy, though no user has access yet."""
    known = request.app.state.users.count()
    detail = f"{known} issued" if known else "none is issued: no user has access yet"
    return ReadyCheck(name="tokens", status="ok", detail=detail)
