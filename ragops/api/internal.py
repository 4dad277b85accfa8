"""What other services of the platform ask, with their service token; never routed by the gateway."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Body, Depends

from ragops.api.dependencies import Dependencies, dependencies
from ragops.api.operator_schemas import BreakerInfo, BreakersResponse, RefreshResponse
from ragops.api.problem import responses
from ragops.api.schemas import RefreshRequest  # noqa: TC001  FastAPI reads the annotation

router = APIRouter()
Deps = Annotated[Dependencies, Depends(dependencies)]


@router.get("/breakers", responses=responses(403), summary="Circuit breakers", name="breakers")
async def breakers(deps: Deps) -> BreakersResponse:
    """How the breakers of the worker that answers stand: each worker has its own."""
    return BreakersResponse(
        worker=os.getpid(),
        workers=deps.config.workers,
        breakers=[BreakerInfo(**asdict(breaker.state())) for breaker in deps.breakers.values()],
        qdrant_nodes_left_out=deps.search.qdrant.ejected(),
    )


@router.post("/collections/refresh", responses=responses(403, 413, 422), summary="Collections changed", name="refresh")
async def refresh(asked: Annotated[RefreshRequest, Body()], deps: Deps) -> RefreshResponse:
    """Forget the cached answers of the named collections, of all if none is named; called after an ingest or restore.

    If the cache cannot be reached, or a backup holds it read-only, its answers end by themselves after some seconds.
    """
    deps.search.forget()
    if deps.cache is None or await deps.cache.forget(asked.collections):
        return RefreshResponse(forgotten=True, note=None)
    seconds = deps.config.cache.seconds
    return RefreshResponse(forgotten=False, note=f"the cache cannot be changed now; its answers end within {seconds} s")
