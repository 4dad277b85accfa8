"""What Envoy answers by itself, and what it writes down."""

from __future__ import annotations

from ragops.services.gateway.envoy_values import TYPES, Json, header, typed

# Problem details (RFC 9457) as the API words its own: status, title, code, and what is said where Envoy says nothing of
# a malformed request, or of a failed upstream more than is anybody's business outside.
_OWN_WORDS = "%LOCAL_REPLY_BODY%"
_PROBLEMS = (
    (400, "Bad Request", "bad_request", "malformed, or a path or a request id that can be read in two ways"),
    (401, "Unauthorized", "invalid_token", _OWN_WORDS),
    (403, "Forbidden", "forbidden", _OWN_WORDS),
    (404, "Not Found", "no_such_path", _OWN_WORDS),
    (405, "Method Not Allowed", "method_not_allowed", _OWN_WORDS),
    (408, "Request Timeout", "request_timeout", "the request did not arrive in time"),
    (413, "Content Too Large", "request_too_large", "the request is larger than the gateway takes"),
    (426, "Upgrade Required", "upgrade_required", _OWN_WORDS),
    (429, "Too Many Requests", "rate_limited", "the gateway takes no more requests right now"),
    (431, "Request Header Fields Too Large", "headers_too_large", "the request's headers are too large"),
    (500, "Internal Server Error", "gateway_error", "the gateway cannot decide about this request"),
    (502, "Bad Gateway", "upstream_failed", "the service behind the gateway broke off"),
    (503, "Service Unavailable", "upstream_unavailable", "the service behind the gateway does not answer"),
    (504, "Gateway Timeout", "upstream_timeout", "the service behind the gateway took too long"),
)
# Envoy's own realm is the URL as it was asked for, query included.
_HEADERS = {401: ("www-authenticate", 'Bearer realm="ragops"'), 503: ("retry-after", "5")}


def local_replies() -> Json:
    """What the gateway says by itself, as problem details."""
    return {
        "mappers": [_problem(*values) for values in _PROBLEMS],
    }


def _problem(status: int, title: str, code: str, detail: str) -> Json:
    body = {
        "type": f"urn:ragops:problem:{code.replace('_', '-')}",
        "title": title,
        "status": "%RESPONSE_CODE%",
        "detail": detail,
        "code": code,
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    comparison = {"op": "EQ", "value": {"default_value": status, "runtime_key": f"gateway.never_set.{status}"}}
    mapper: Json = {
        "filter": {"status_code_filter": {"comparison": comparison}},
        "body_format_override": {"json_format": body, "content_type": "application/problem+json"},
    }
    if status in _HEADERS:
        mapper["headers_to_add"] = [header(*_HEADERS[status])]
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
        "typed_config": typed(
            f"{TYPES}envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            log_format={"json_format": line},
        ),
    }
