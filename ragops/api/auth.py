"""Who may ask: users by JWT, services by X-Service-Token; what is not named as open needs one of them."""

from __future__ import annotations

import logging
import posixpath
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ragops.api.logs import log
from ragops.api.service_tokens import InvalidServiceTokenError, ServiceTokens
from ragops.api.user_tokens import InvalidUserTokenError, UserTokens

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from ragops.api.metrics import Metrics

_LOG = logging.getLogger(__name__)
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json"})


@lru_cache(maxsize=1024)
def is_internal_path(path: str) -> bool:
    """Whether any reading of a path leads below /internal: as it is, decoded again and again, or cleaned up.

    `path` is what the server decoded once. Routing knows the plain spelling only; this is on purpose the wider net.
    """
    seen = path
    for _ in range(10):
        if _leads_inside(seen):
            return True
        decoded = unquote(seen)
        if decoded == seen:
            return False
        seen = decoded
    return True  # encoded ten times over: nothing that anybody means


def _leads_inside(path: str) -> bool:
    plain = path.replace("\\", "/").lower()
    without_parameters = "/".join(part.split(";")[0].strip() for part in plain.split("/"))
    return any(
        text.startswith("/internal") for text in (plain, posixpath.normpath("/" + without_parameters.lstrip("/")))
    )


class AuthMiddleware:
    """ASGI middleware: a service token for /internal, nothing for the open paths, a user's token for all else.

    `scope["state"]` gets `service` or `consumer`. Every refusal is a line in the log and a count.
    """

    def __init__(self, app: ASGIApp, services: ServiceTokens, users: UserTokens, metrics: Metrics) -> None:
        self._app = app
        self._services = services
        self._users = users
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass or answer 401 or 403."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        try:
            self._admit(scope)
        except InvalidServiceTokenError as error:
            self._audit(scope, "service", error.reason, error.service)
            return await error.response()(scope, receive, send)
        except InvalidUserTokenError as error:
            self._audit(scope, "user", error.reason)
            return await error.response()(scope, receive, send)
        return await self._app(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        path, state = scope["path"], scope.setdefault("state", {})
        if is_internal_path(path):
            state["service"] = self._services.service(_header(scope, b"x-service-token"))
        elif path not in OPEN_PATHS:
            state["consumer"] = self._users.consumer(_header(scope, b"authorization"))

    def _audit(self, scope: Scope, kind: str, reason: str, service: str = "") -> None:
        self._metrics.auth_refused.labels(kind, reason).inc()
        client = scope.get("client")
        log(
            _LOG, logging.WARNING, f"{kind}_token_refused",
            reason=reason, service=service or None, method=scope["method"], path=scope["path"][:200],
            client=client[0] if client else None,
        )  # fmt: skip


def _header(scope: Scope, wanted: bytes) -> str:
    """Return the first header of a name, empty if there is none."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), "")
