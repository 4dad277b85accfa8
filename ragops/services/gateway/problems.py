"""What the gateway answers by itself, whichever program it is: problem details (RFC 9457) as the API words its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Problem:
    """One of the gateway's own answers; `detail` is empty if the gateway's program reports best what is wrong."""

    status: int
    title: str
    code: str
    detail: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """The problem's type."""
        return f"urn:ragops:problem:{self.code.replace('_', '-')}"


CHALLENGE = 'Bearer realm="ragops"'

# No detail is given of a malformed request, and of a failed upstream no more than is anybody's business outside.
PROBLEMS = (
    Problem(400, "Bad Request", "bad_request", "malformed, or a path or a request id that can be read in two ways"),
    Problem(401, "Unauthorized", "invalid_token", headers={"www-authenticate": CHALLENGE}),
    Problem(403, "Forbidden", "forbidden"),
    Problem(404, "Not Found", "no_such_path"),
    Problem(405, "Method Not Allowed", "method_not_allowed"),
    Problem(408, "Request Timeout", "request_timeout", "the request did not arrive in time"),
    Problem(413, "Content Too Large", "request_too_large", "the request is larger than the gateway takes"),
    Problem(426, "Upgrade Required", "upgrade_required"),
    Problem(429, "Too Many Requests", "rate_limited", "the gateway takes no more requests right now"),
    Problem(431, "Request Header Fields Too Large", "headers_too_large", "the request's headers are too large"),
    Problem(500, "Internal Server Error", "gateway_error", "the gateway cannot decide about this request"),
    Problem(502, "Bad Gateway", "upstream_failed", "the service behind the gateway broke off"),
    Problem(
        503, "Service Unavailable", "upstream_unavailable", "the service behind the gateway does not answer",
        {"retry-after": "5"},
    ),
    Problem(504, "Gateway Timeout", "upstream_timeout", "the service behind the gateway took too long"),
)  # fmt: skip
