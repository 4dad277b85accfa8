"""Responses for operators, with examples: a source of the OpenAPI document."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  pydantic reads the annotation

from pydantic import BaseModel, Field

from ragops.api.schemas import with_example


class BreakerInfo(BaseModel):
    """A circuit breaker of the worker that answers."""

    dependency: str
    state: str = Field(description="closed, open or half-open")
    failures: int = Field(description="failures in a row")
    opens_after: int
    retry_after: float = Field(description="seconds until one call may try again; 0: it may now")
    changed_at: datetime | None
    refused: int = Field(description="calls refused since the start")
    last_error: str


class BreakersResponse(BaseModel):
    """All breakers of one worker: each has its own."""

    model_config = with_example(
        worker=4711,
        workers=1,
        breakers=[
            {
                "dependency": "qdrant",
                "state": "open",
                "failures": 5,
                "opens_after": 5,
                "retry_after": 21.4,
                "changed_at": "2026-11-23T10:15:00Z",
                "refused": 112,
                "last_error": "qdrant: cannot be reached",
            }
        ],
        qdrant_nodes_left_out=[],
    )

    worker: int = Field(description="process id")
    workers: int
    breakers: list[BreakerInfo]
    qdrant_nodes_left_out: list[str]


class RefreshResponse(BaseModel):
    """What was forgotten."""

    model_config = with_example(forgotten=True, note=None)

    forgotten: bool
    note: str | None


class HealthResponse(BaseModel):
    """The process answers; nothing else is looked at."""

    model_config = with_example(status="ok")

    status: str


class ReadyCheck(BaseModel):
    """One thing that was looked at."""

    name: str
    status: str = Field(description="ok, degraded or down")
    detail: str


class ReadyResponse(BaseModel):
    """Whether questions can be answered; degraded: they can, with something missing."""

    model_config = with_example(
        status="degraded",
        embedder="hashing-384-v1",
        chat_model=None,
        checks=[
            {"name": "qdrant", "status": "ok", "detail": "answers"},
            {"name": "redis", "status": "degraded", "detail": "redis: ConnectionError"},
        ],
    )

    status: str
    embedder: str
    chat_model: str | None
    checks: list[ReadyCheck]
