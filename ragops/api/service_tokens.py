"""Tokens by which other services are known: those of a file, which may change at any time, and a shared one."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from ragops.api.problem import ApiError
from ragops.api.reloading_file import ReloadingFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ragops.api.clock import Clock

_SHORTEST_TOKEN = 16


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
    if file := environment.get("INTER_SERVICE_SECRET_FILE"):
        return ReloadingFile(Path(file), lambda content: _one_token(content.decode().strip()), (), clock)
    secret = environment.get("INTER_SERVICE_SECRET", "")
    return _Fixed(secret) if secret else None


def _one_token(secret: str) -> tuple[ServiceToken, ...]:
    return (ServiceToken(service="inter-service", current=SecretStr(secret)),)


def _digest(token: str) -> bytes:
    """Equal lengths for the comparison, whatever was sent."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
