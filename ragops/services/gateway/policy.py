"""The gateway's policy: what is routed, to whom, under which conditions. One value, rendered for each gateway.

Closed by default: what no route names is 404, a token is asked for unless an exact path sets otherwise, and a policy
that would let somebody near an inner path is refused before any gateway sees it.
"""

from __future__ import annotations

import hashlib
import json
from calendar import timegm
from dataclasses import dataclass, field
from datetime import date  # noqa: TC003  pydantic reads annotations at run time
from email.utils import formatdate
from itertools import combinations, product
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = dict[str, Any]


@dataclass(frozen=True)
class TlsPair:
    """A certificate and its key, both PEM."""

    certificate: str
    key: str = field(repr=False)


def digest(value: object) -> str:
    """Return the mark of a configuration: 12 hexadecimal digits of its digest."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


# Paths of routes: plain segments, nothing that could be spelled in two ways.
Path = Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9_~-]([A-Za-z0-9._~-]*[A-Za-z0-9_~-])?)+$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$")]
Origin = Annotated[str, StringConstraints(pattern=r"^(\*|https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?)$")]
Token = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

READY_PATH = "/gateway/ready"
CONFIGURATION_HEADER = "x-gateway-configuration"
WORKER_HEADER = "x-gateway-worker"
UPSTREAM_HEADER = "x-gateway-upstream"
DENIED = ("/internal", "/metrics", "/healthz", "/readyz")

# A request path, with its query, after normalisation. The platform's paths are plain ASCII, so none needs an escape: a
# doubly encoded slash, an overlong UTF-8 dot, `;`, a backslash, a NUL or a segment that ends in a dot is read in one
# way here and in another behind us.
SAFE_PATH = r"(?:/(?:[A-Za-z0-9._~@:+,=-]*[A-Za-z0-9_~@:+,=-])?)+(?:\?.*)?"
SAFE_REQUEST_ID = "[A-Za-z0-9._-]{1,128}"

IPV6_PREFIX = 64  # bits of an address that count as one client
BUCKETS = 10_000  # consumers, and addresses, of which the rate limit keeps count at once

# What clients may not send to the upstream: who they are inside, where they came from.
INTERNAL_HEADERS = (
    "x-service-token", "x-service-name", "x-real-ip", "x-original-url", "x-rewrite-url", "x-http-method-override",
    "x-jwt-payload", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix",
    "x-forwarded-proto", "x-forwarded-user", "x-forwarded-client-cert",
)  # fmt: skip
INTERNAL_HEADER_PREFIX = "x-envoy-"

# To many servers `X_A` and `X-A` are the same header. One that could be taken for a header that matters is refused, any
# other with an underscore is dropped, as nginx does by default.
_ALIASED = (
    *INTERNAL_HEADERS, "x-request-id", "content-length", "content-type", "content-encoding", "transfer-encoding",
)  # fmt: skip


def _aliases(header: str) -> Iterable[str]:
    first, *rest = header.split("-")
    for marks in product("_-", repeat=len(rest)):
        if "_" in marks:
            yield first + "".join(mark + part for mark, part in zip(marks, rest, strict=True))


HEADER_ALIASES = tuple(alias for header in _ALIASED for alias in _aliases(header))


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Upstream(_Frozen):
    """The service behind the gateway; seconds. `health_path` states that it is alive, not that all it needs is.

    Connections are kept for the next request: `idle_timeout` must be shorter than the service's own, else it closes one
    in the moment that a request is sent on it, which is a 502.
    """

    host: Host
    port: Port
    health_path: Path = "/healthz"
    health_every: int = Field(2, ge=1, le=60)
    connect_timeout: int = Field(2, ge=1, le=60)
    answer_timeout: int = Field(120, ge=1, le=3600)  # of silence
    stream_timeout: int = Field(1800, ge=1, le=86400)  # of an answer that is written as it is sent
    idle_timeout: int = Field(60, ge=1, le=3600)  # of a connection between two requests
    connection_requests: int = Field(10_000, ge=1, le=1_000_000)  # after which a new connection is made


class Jwt(_Frozen):
    """Whose tokens are taken: RS256 alone, from the Authorization header alone. `clock_skew` in seconds."""

    issuer: str = Field(min_length=1, max_length=200)
    clock_skew: int = Field(5, ge=0, le=120)


class RateLimit(_Frozen):
    """How many requests the gateway takes from each consumer; `burst` at once, after a pause.

    A consumer is who the `sub` of a checked token names, however many tokens it has. What comes without a token, or to
    a path that asks for none, counts for the address of the client.
    """

    requests: int = Field(100, ge=1, le=1_000_000, description="requests in each second or minute")
    per: Literal["second", "minute"] = Field("second", description="second or minute")
    burst: int = Field(200, ge=1, le=1_000_000, description="most requests at once, as `x-ratelimit-limit` states")

    @property
    def seconds(self) -> int:
        """The length of the window."""
        return 1 if self.per == "second" else 60

    @property
    def retry_after(self) -> int:
        """Seconds after which a refused client may well succeed."""
        return max(1, -(-self.seconds // self.requests))

    @model_validator(mode="after")
    def _burst_holds_a_window(self) -> Self:
        if self.burst < self.requests:
            raise ValueError(f"burst {self.burst} is below {self.requests} requests a {self.per}: it must be as large")
        return self


class Cors(_Frozen):
    """Which web pages may call the API from a browser: none unless named."""

    origins: tuple[Origin, ...] = ()
    methods: tuple[Method, ...] = ("GET", "POST", "DELETE")
    headers: tuple[Token, ...] = ("Authorization", "Content-Type", "X-Request-ID", "traceparent", "tracestate")
    exposed: tuple[Token, ...] = ("X-Request-ID", "X-Trace-ID", "Retry-After", "Deprecation", "Sunset", "Link")
    credentials: bool = False
    max_age: int = Field(600, ge=0, le=86400)

    @model_validator(mode="after")
    def _credentials_only_for_known_origins(self) -> Self:
        if self.credentials and "*" in self.origins:
            raise ValueError("any origin (`*`) with credentials lets every web page act for its visitors")
        return self


class Tls(_Frozen):
    """HTTPS on `port` with the files of certificate and key, which are read again when they are replaced."""

    port: Port
    certificate: str = Field(min_length=1)
    key: str = Field(min_length=1)


class Deprecation(_Frozen):
    """Since when a route is deprecated, until when it works, and the prefix that its paths have from now on."""

    deprecated: date
    sunset: date
    successor: Path

    def headers(self, path: str) -> dict[str, str]:
        """Return what every answer of `path` states: RFC 9745, RFC 8594 and the successor."""
        since, until = (timegm(day.timetuple()) for day in (self.deprecated, self.sunset))
        return {
            "deprecation": f"@{since}",
            "sunset": formatdate(until, usegmt=True),
            "link": f'<{self.successor}{path}>; rel="successor-version"',
        }

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.sunset <= self.deprecated:
            raise ValueError(f"sunset {self.sunset} is not after deprecated {self.deprecated}")
        return self


class Route(_Frozen):
    """Requests that go upstream as they are: below one of `prefixes` (by segment) or exactly one of `paths`."""

    name: Name
    version: Name
    prefixes: tuple[Path, ...] = ()
    paths: tuple[Path, ...] = ()
    methods: tuple[Method, ...] = ("GET", "POST", "DELETE")
    authenticate: bool = True
    deprecation: Deprecation | None = None

    @model_validator(mode="after")
    def _closed_by_default(self) -> Self:
        if not self.prefixes and not self.paths:
            raise ValueError(f"route {self.name} matches nothing: give it prefixes or paths")
        if self.prefixes and not self.authenticate:
            raise ValueError(f"route {self.name} opens a whole prefix without a token: list exact paths instead")
        if not self.methods:
            raise ValueError(f"route {self.name} has no method")
        return self


class GatewayPolicy(_Frozen):
    """The whole policy. `body_limit` in bytes; `denied` are inner paths, answered 404 with everything below them.

    `metrics_port` is where Prometheus reads the gateway's statistics, 0: nowhere.
    """

    listen: Host
    port: Port
    tls: Tls | None
    upstream: Upstream
    jwt: Jwt
    rate_limit: RateLimit
    cors: Cors
    body_limit: int = Field(ge=1024, le=1 << 30)
    denied: tuple[Path, ...] = DENIED
    metrics_port: int = Field(0, ge=0, le=65535)
    routes: tuple[Route, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _nothing_reaches_an_inner_path(self) -> Self:
        missing = sorted(set(DENIED) - set(self.denied))
        if missing:
            raise ValueError(f"inner paths {', '.join(missing)} must stay denied")
        for route in self.routes:
            for path in (*route.prefixes, *route.paths):
                for inner in (*self.denied, self.upstream.health_path, READY_PATH):
                    if _touch(path, inner, wide=path in route.prefixes):
                        raise ValueError(f"route {route.name}: {path} reaches the inner path {inner}")
        return self

    @model_validator(mode="after")
    def _every_path_has_one_route(self) -> Self:
        _refuse_doubles("route name", [route.name for route in self.routes])
        _refuse_doubles("path", [path.lower() for route in self.routes for path in (*route.prefixes, *route.paths)])
        prefixes = [path for route in self.routes for path in route.prefixes]
        exact = [path for route in self.routes for path in route.paths]
        for one, other in [*combinations(prefixes, 2), *((prefix, path) for prefix in prefixes for path in exact)]:
            if _covers(one, other) or (_covers(other, one) and other in prefixes):
                raise ValueError(f"{one} and {other} overlap: which route a request takes would be an accident")
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.tls is not None and self.tls.port == self.port:
            raise ValueError(f"port and tls port are both {self.port}")
        return self


def _covers(prefix: str, path: str) -> bool:
    """Whether `path` is `prefix` or below it, by whole segments and whatever the case: the strictest reading."""
    return f"{path}/".lower().startswith(f"{prefix}/".lower())


def _touch(path: str, inner: str, *, wide: bool) -> bool:
    """Whether a route on `path` could serve `inner` or something below it."""
    return _covers(inner, path) or (wide and _covers(path, inner))


def _refuse_doubles(what: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{what} {value} is there twice")
        seen.add(value)


def platform_routes(deprecated: date, sunset: date) -> tuple[Route, ...]:
    """Return the routes of every platform: both versions of the API, and the deprecated paths one by one."""
    legacy = Deprecation(deprecated=deprecated, sunset=sunset, successor="/api/v1")
    return (
        Route(name="v1", version="v1", prefixes=("/api/v1",)),
        Route(name="v2", version="v2", prefixes=("/api/v2",)),
        Route(name="legacy", version="v1", paths=("/search", "/query", "/collections"), deprecation=legacy),
    )


def issuer(platform: str) -> str:
    """Return the `iss` of every token of a platform."""
    return f"ragops/{platform}"
