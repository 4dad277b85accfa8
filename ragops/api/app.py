"""Puts the service together: routers, what surrounds them, and the OpenAPI document."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Security
from fastapi.openapi.utils import get_openapi
from fastapi.security import APIKeyHeader, HTTPBearer

import ragops
from ragops.api import health_routes, internal, operator_schemas, problem, reference, v1, v2
from ragops.api import schemas as user_schemas
from ragops.api.auth import AuthMiddleware
from ragops.api.dependencies import build
from ragops.api.direct import Direct, Operation
from ragops.api.load_shedding import LoadShedding
from ragops.api.middleware import BodyLimit, Deadline, Legacy, RequestLogging
from ragops.api.schemas import DocumentSearchRequest, SearchRequest
from ragops.api.service_tokens import ServiceTokens
from ragops.api.user_tokens import UserTokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi.routing import APIRoute

    from ragops.api.config import ApiConfig
    from ragops.api.dependencies import Dependencies

MAX_BODY = 64 * 1024
_DOCUMENT: dict[str, Any] = {}
_DESCRIPTION = (
    "Searches collections of documents and answers questions from them. Every error is a problem document (RFC 9457). "
    "While a dependency is down its circuit breaker refuses at once with 503 and `Retry-After`; all else continues."
)
# Declared for the document; AuthMiddleware checks both before a route is chosen.
_USER = Security(HTTPBearer(auto_error=False, scheme_name="UserToken", bearerFormat="JWT"))
_SERVICE = Security(APIKeyHeader(name="X-Service-Token", auto_error=False, scheme_name="ServiceToken"))


def create_app(config: ApiConfig, deps: Dependencies | None = None) -> FastAPI:
    """Return the service; `deps` are its dependencies, built from `config` if not given. Raises UsageError."""
    deps = deps or build(config)
    app = FastAPI(
        title="ragops RAG API",
        version=ragops.__version__,
        description=_DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,  # they would load scripts from elsewhere: reference.py needs none
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    app.state.dependencies = deps
    app.state.users = UserTokens(config.path(config.jwks_file), config.issuer, deps.clock)
    _routes(app)
    problem.install(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    _surround(app, config, deps)
    return app


def _routes(app: FastAPI) -> None:
    app.include_router(reference.router, tags=["reference"])
    app.include_router(v1.router, prefix="/api/v1", tags=["v1"], dependencies=[_USER])
    app.include_router(v2.router, prefix="/api/v2", tags=["v2"], dependencies=[_USER])
    # The paths without a version: version 1, deprecated; their headers and their end are set by `middleware.Legacy`.
    app.include_router(
        v1.router, tags=["legacy"], dependencies=[_USER], deprecated=True, responses=problem.responses(410)
    )
    app.include_router(internal.router, prefix="/internal", tags=["internal"], dependencies=[_SERVICE])
    app.include_router(health_routes.router, tags=["operations"])


def _surround(app: FastAPI, config: ApiConfig, deps: Dependencies) -> None:
    """From the inside out."""
    tokens_file = config.path(config.service_tokens_file) if config.service_tokens_file else None
    services = ServiceTokens(tokens_file, os.environ, deps.clock)
    app.add_middleware(Direct, deps=deps, operations=_direct_operations())
    app.add_middleware(BodyLimit, most=MAX_BODY)
    app.add_middleware(Deadline, seconds=config.request_seconds)
    app.add_middleware(AuthMiddleware, services=services, users=app.state.users, metrics=deps.metrics)
    app.add_middleware(Legacy, config=config.legacy, clock=deps.clock, metrics=deps.metrics)
    app.add_middleware(LoadShedding, overload=deps.overload)
    paths = frozenset(app.openapi()["paths"])
    app.add_middleware(RequestLogging, clock=deps.clock, metrics=deps.metrics, paths=paths)
    if deps.tracing:
        from ragops.api.tracing import Traced

        app.add_middleware(Traced, tracing=deps.tracing, paths=paths)


def _direct_operations() -> dict[str, Operation]:
    first = {"/search": Operation(SearchRequest, v1.search), "/query": Operation(SearchRequest, v1.answer)}
    return {
        **first,
        **{f"/api/v1{path}": operation for path, operation in first.items()},
        "/api/v2/search": Operation(DocumentSearchRequest, v2.search),
    }


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    deps: Dependencies = app.state.dependencies
    await deps.open()
    try:
        yield
    finally:
        await deps.close()


def _operation_id(route: APIRoute) -> str:
    return f"{route.tags[0]}_{route.name}"


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Return the document, which is the same for every app of a process: no configuration changes a route."""
    if not _DOCUMENT:
        _DOCUMENT.update(_make_document(app))
    return _DOCUMENT


def _make_document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schema = problem.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = document["components"]["schemas"]
    schemas.update(schema.pop("$defs", {}))
    schemas["Problem"] = schema
    _restore_examples(schemas)
    return document


def _restore_examples(schemas: dict[str, Any]) -> None:
    """FastAPI leaves null values out of the document, those of examples too, which then lack required fields."""
    for name, model in (vars(user_schemas) | vars(operator_schemas)).items():
        extra = getattr(model, "model_config", {}).get("json_schema_extra", {})
        if name in schemas and "examples" in extra:
            schemas[name]["examples"] = extra["examples"]
