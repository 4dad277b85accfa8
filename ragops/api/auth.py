"""Who may ask: users by JWT, services by X-Service-Token; what is not named as open needs one of them."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import posixpath
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import jwt
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from ragops.api.logs import log
from ragops.api.problem import ApiError
from ragops.api.reloading_file import ReloadingFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

    from ragops.api.clock import Clock
    from ragops.api.metrics import Metrics

_LOG = logging.getLogger(__name__)
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json"})
_SHORTEST_TOKEN = 16
_LEEWAY_SECONDS = 5
_MOST_VERIFIED = 10_000


# --- services --------------------------------------------------------------------------------------------------------


class ServiceToken(BaseModel):
    """A calling service's token; the one before stays good until `previous_until`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: str = Field(min_length=1)
    current: SecretStr = Field(min_length=_SHORTEST_TOKEN)
    previous: SecretStr | None = Field(None, min_length=_SHORTEST_TOKEN)
    previous_until: datetime | None = None


class _TokenFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[ServiceToken, ...]


def read_service_tokens(content: bytes) -> tuple[ServiceToken, ...]:
    """Return the tokens of a file. Raises ValueError if it is not one."""
    return _TokenFile.model_validate_json(content).tokens


class InvalidServiceTokenError(ApiError):
    """Refused; `reason` is for the audit, `service` is set if the token was valid once."""

    def __init__(self, reason: str, service: str = "") -> None:
        text = "Forbidden: Invalid service token"
        super().__init__(403, "invalid_service_token", "Invalid service token", error=text)
        self.reason = reason
        self.service = service


class ServiceTokens:
    """The tokens of all calling services: those of the file, and INTER_SERVICE_SECRET if it is set."""

    def __init__(self, path: Path | None, environment: Mapping[str, str], clock: Clock) -> None:
        self._file = ReloadingFile[tuple[ServiceToken, ...]](path, read_service_tokens, (), clock) if path else None
        self._shared = _shared_token(environment, clock)
        self._clock = clock

    def service(self, token: str) -> str:
        """Return the service whose token it is; raises InvalidServiceTokenError.

        Every token is compared, also after a match: the time reveals nothing.
        """
        if not token:
            raise InvalidServiceTokenError("missing")
        found, expired = "", ""
        given = _digest(token)
        for service, good, secret in self._candidates():
            same = hmac.compare_digest(given, _digest(secret))
            found = service if same and good else found
            expired = service if same and not good else expired
        if found:
            return found
        raise InvalidServiceTokenError("expired" if expired else "forged", expired)

    def count(self) -> int:
        """Return how many services have a token."""
        return len({service for service, _, _ in self._candidates()})

    def _candidates(self) -> Iterator[tuple[str, bool, str]]:
        now = self._clock.now()
        tokens = (*(self._file.value() if self._file else ()), *(self._shared.value() if self._shared else ()))
        for token in tokens:
            yield token.service, True, token.current.get_secret_value()
            if token.previous is not None:
                until = token.previous_until or datetime.min.replace(tzinfo=UTC)
                until = until if until.tzinfo else until.replace(tzinfo=UTC)
                yield token.service, now < until, token.previous.get_secret_value()


class _Fixed:
    """A token that cannot change while the process lives."""

    def __init__(self, secret: str) -> None:
        self._tokens = _one_token(secret)

    def value(self) -> tuple[ServiceToken, ...]:
        return self._tokens


def _shared_token(
    environment: Mapping[str, str], clock: Clock
) -> ReloadingFile[tuple[ServiceToken, ...]] | _Fixed | None:
    from pathlib import Path

    if file := environment.get("INTER_SERVICE_SECRET_FILE"):
        return ReloadingFile(Path(file), lambda content: _one_token(content.decode().strip()), (), clock)
    secret = environment.get("INTER_SERVICE_SECRET", "")
    return _Fixed(secret) if secret else None


def _one_token(secret: str) -> tuple[ServiceToken, ...]:
    return (ServiceToken(service="inter-service", current=SecretStr(secret)),)


def _digest(token: str) -> bytes:
    """Equal lengths for the comparison, whatever was sent."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


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


# --- users -----------------------------------------------------------------------------------------------------------


class InvalidUserTokenError(ApiError):
    """No token, or one that is not good; `reason` is for the audit: one of `metrics.REFUSALS`."""

    def __init__(self, reason: str, detail: str) -> None:
        is_missing = reason == "missing"
        challenge = 'Bearer realm="ragops"' + ("" if is_missing else ', error="invalid_token"')
        code = "missing_token" if is_missing else "invalid_token"
        super().__init__(401, code, detail, headers={"WWW-Authenticate": challenge})
        self.reason = reason


Keys = dict[str, jwt.PyJWK]


def read_jwks(content: bytes) -> Keys:
    """Public RSA keys by `kid`; ValueError where the file is not a JWKS. Keys of other kinds are not taken."""
    values = json.loads(content)
    try:
        listed = [key for key in values["keys"] if key.get("kty") == "RSA" and key.get("kid")]
        return {str(key["kid"]): jwt.PyJWK(key, algorithm="RS256") for key in listed}
    except (KeyError, TypeError, AttributeError, jwt.PyJWTError) as error:
        raise ValueError("not a JWKS") from error


class _Verified(NamedTuple):
    """The name that a token proves, and between which times, in seconds since 1970."""

    consumer: str
    valid_from: int
    expires: int


class UserTokens:
    """Verifies users' tokens with public keys only; a key that leaves the file takes its token with it."""

    def __init__(self, path: Path, issuer: str, clock: Clock) -> None:
        self._keys = ReloadingFile[Keys](path, read_jwks, {}, clock)
        self._issuer = issuer
        self._verified: dict[str, _Verified] = {}  # by `Authorization`, oldest first
        self._verified_with: Keys = {}

    def count(self) -> int:
        """Return how many keys there are."""
        return len(self._keys.value())

    def consumer(self, authorization: str) -> str:
        """Return the name that an `Authorization` header proves; raises InvalidUserTokenError.

        A header that was verified is not verified again while the keys are those of then and its time is not over.
        """
        keys = self._keys.value()
        if keys is not self._verified_with:  # the file has changed: a key may have left it
            self._verified.clear()
            self._verified_with = keys
        known = self._verified.get(authorization)
        if known is not None and known.valid_from - _LEEWAY_SECONDS <= time.time() < known.expires + _LEEWAY_SECONDS:
            return known.consumer
        found = self._check(authorization, keys)
        while len(self._verified) >= _MOST_VERIFIED:
            del self._verified[next(iter(self._verified))]
        self._verified[authorization] = found
        return found.consumer

    def _check(self, authorization: str, keys: Keys) -> _Verified:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise InvalidUserTokenError("missing", "a bearer token is needed")
        try:
            return self._verify(token.strip(), keys)
        except jwt.ExpiredSignatureError:
            raise InvalidUserTokenError("expired", "the token has expired") from None
        except jwt.ImmatureSignatureError:
            raise InvalidUserTokenError("expired", "the token is not valid yet") from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise InvalidUserTokenError("forged", "the token is not valid") from None

    def _verify(self, token: str, keys: Keys) -> _Verified:
        key = keys.get(str(jwt.get_unverified_header(token).get("kid", "")))
        if key is None:
            raise jwt.InvalidKeyError
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            issuer=self._issuer,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["exp", "nbf", "iat", "iss", "sub", "jti"]},
        )
        if claims["jti"] != key.key_id:
            raise jwt.InvalidTokenError
        return _Verified(str(claims["sub"]), max(int(claims["nbf"]), int(claims["iat"])), int(claims["exp"]))


# --- the middleware --------------------------------------------------------------------------------------------------


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
