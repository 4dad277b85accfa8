"""Every error of the service as RFC 9457 problem details (application/problem+json)."""

from __future__ import annotations

import http
import logging
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from ragops.api.logs import request_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI, Request

MEDIA_TYPE = "application/problem+json"
_LOG = logging.getLogger(__name__)


class FieldProblem(BaseModel):
    """One fault of a request: a JSON pointer into it and what is wrong there."""

    pointer: str = Field(examples=["/body/query"])
    detail: str = Field(examples=["String should have at least 1 character"])


class Problem(BaseModel):
    """What went wrong: `code` is a stable word for programs, `detail` is for people."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:ragops:problem:circuit-open"])
    title: str = Field(examples=["Service Unavailable"])
    status: int = Field(examples=[503])
    detail: str = Field(examples=["qdrant failed 5 times in a row and is left alone; try again in 27 s"])
    code: str = Field(examples=["circuit_open"])
    request_id: str = Field(examples=["5f0c7a3e9b1d4c62a8e7f90b1c2d3e4f"])
    errors: list[FieldProblem] | None = Field(None, description="every fault of an invalid request")


class ApiError(Exception):
    """An error for the client: `code` is stable, `detail` holds no secret; `members` extend the problem."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: object
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def response(self) -> JSONResponse:
        """Return the problem as an answer."""
        body = {
            "type": f"urn:ragops:problem:{self.code.replace('_', '-')}",
            "title": http.HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id.get(),
            **self.members,
        }
        return JSONResponse(body, self.status, self.headers, MEDIA_TYPE)


_CODES = {404: "no_such_path", 405: "method_not_allowed"}


async def _http(request: Request, error: HTTPException) -> JSONResponse:
    if error.status_code == http.HTTPStatus.BAD_REQUEST:  # a body that its parser gave up on
        fault = {"pointer": "/body", "detail": str(error.detail)}
        return ApiError(422, "invalid_request", str(error.detail), errors=[fault]).response()
    headers = dict(error.headers or {})
    if error.status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed(request) or headers.get("Allow", "")
    code = _CODES.get(error.status_code, "http_error")
    return ApiError(error.status_code, code, str(error.detail), headers=headers).response()


def _allowed(request: Request) -> str:
    """Methods of every operation of the path: the router itself names those of the first only."""
    operations = request.app.openapi()["paths"].get(request.url.path, {})
    return ", ".join(sorted(method.upper() for method in operations))


async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
    """Where and what, without the value: it may be a secret, and need not be representable."""
    faults = [{"pointer": _pointer(fault["loc"]), "detail": str(fault["msg"])} for fault in error.errors()]
    detail = "; ".join(f"{fault['pointer']}: {fault['detail']}" for fault in faults[:3])
    return ApiError(422, "invalid_request", detail, errors=faults).response()


def _pointer(location: tuple[Any, ...]) -> str:
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    text = "".join(f"/{part}" for part in parts)
    return text.encode("utf-8", "replace").decode()


async def _known(_request: Request, error: ApiError) -> JSONResponse:
    return error.response()


def install(app: FastAPI) -> None:
    """Answer every error of `app` with a problem."""
    app.add_exception_handler(ApiError, _known)  # type: ignore[arg-type]  # handlers are typed for Exception itself
    app.add_exception_handler(HTTPException, _http)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the errors of an operation for OpenAPI."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": _DESCRIPTIONS[status],
            "content": {MEDIA_TYPE: {"schema": schema, "example": _example(status)}},
        }
        for status in statuses
    }


_DESCRIPTIONS = {
    401: "No token, or one that is not valid",
    403: "No service token, or one that is not valid",
    404: "There is no such collection",
    409: "The collection holds vectors of another embedder, or the cursor belongs to another question",
    410: "The path is past its sunset date",
    413: "The request is larger than 64 KiB",
    422: "The request is not valid; every fault is listed",
    503: "A dependency does not answer, or is left alone until it is worth a try again (Retry-After)",
    504: "The request took longer than it may",
}
_EXAMPLES = {
    401: ("invalid_token", "the token has expired"),
    403: ("invalid_service_token", "Invalid service token"),
    404: ("collection_not_found", "there is no collection manuals"),
    409: ("embedder_mismatch", "the vectors of manuals are not those of hashing-384-v1: ingest it again"),
    410: ("gone", "use /api/v1/search"),
    413: ("request_too_large", "Content Too Large"),
    422: ("invalid_request", "/body/query: Field required"),
    503: ("circuit_open", "qdrant failed 5 times in a row and is left alone; try again in 27 s"),
    504: ("deadline_exceeded", "the request took longer than 30 s"),
}


def _example(status: int) -> dict[str, Any]:
    code, detail = _EXAMPLES[status]
    return {
        "type": f"urn:ragops:problem:{code.replace('_', '-')}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": "5f0c7a3e9b1d4c62a8e7f90b1c2d3e4f",
    }
