"""What Envoy answers by itself, and what it writes down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.services.gateway.envoy_values import TYPES, add_type, header
from ragops.services.gateway.problems import PROBLEMS

if TYPE_CHECKING:
    from ragops.services.gateway.problems import Problem
    from ragops.services.gateway.rendering import Json

_OWN_WORDS = "%LOCAL_REPLY_BODY%"


def local_replies() -> Json:
    """Return the answers that the gateway gives by itself, as problem details."""
    return {"mappers": [_mapper(problem) for problem in PROBLEMS]}


def _mapper(problem: Problem) -> Json:
    body = {
        "type": problem.type,
        "title": problem.title,
        "status": "%RESPONSE_CODE%",
        "detail": problem.detail or _OWN_WORDS,
        "code": problem.code,
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    key = f"gateway.never_set.{problem.status}"
    comparison = {"op": "EQ", "value": {"default_value": problem.status, "runtime_key": key}}
    mapper: Json = {
        "filter": {"status_code_filter": {"comparison": comparison}},
        "body_format_override": {"json_format": body, "content_type": "application/problem+json"},
    }
    if problem.headers:
        mapper["headers_to_add"] = [header(name, value) for name, value in problem.headers.items()]
    return mapper


def access_log() -> Json:
    """Failures only, and never a query or a header that could hold a secret."""
    line = {
        "time": "%START_TIME%",
        "level": "access",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ)%",
        "status": "%RESPONSE_CODE%",
        "why": "%RESPONSE_CODE_DETAILS%",
        "milliseconds": "%DURATION%",
        "from": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
        "route": "%ROUTE_NAME%",
    }
    failed = {"op": "GE", "value": {"default_value": 400, "runtime_key": "gateway.never_set.log"}}
    return {
        "name": "envoy.access_loggers.stdout",
        "filter": {"status_code_filter": {"comparison": failed}},
        "typed_config": add_type(
            f"{TYPES}envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            log_format={"json_format": line},
        ),
    }
