"""token issue, list and revoke: change the list of credentials, then update the gateway."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ragops.errors import RagopsError
from ragops.services.gateway import tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path


@dataclass(frozen=True)
class IssuedToken:
    """A new token: `token` is shown this once and kept nowhere. `same_name` counts the live ones of that name."""

    kid: str
    name: str
    created: datetime
    expires: datetime
    scopes: tuple[str, ...]
    same_name: int
    token: str = field(repr=False)


@dataclass(frozen=True)
class TokenInfo:
    """One credential in a list. `same_name` counts the live tokens of that name, this one included if it is."""

    kid: str
    name: str
    created: datetime
    expires: datetime
    expired: bool
    scopes: tuple[str, ...]
    same_name: int


@dataclass(frozen=True)
class RevokedTokens:
    """The tokens that no longer open anything."""

    tokens: tuple[TokenInfo, ...]


def issue(
    folder: Path,
    platform: str,
    name: str,
    now: datetime,
    apply_stack: Callable[[], None],
    ttl: timedelta = tokens.DEFAULT_TTL,
    scopes: Sequence[str] = (),
) -> IssuedToken:
    """Return a new token for `name`, accepted by the time this returns; if the gateway refuses it, none is left.

    `apply_stack` brings the gateway up to what `folder` says. Raises UsageError for a bad name, ttl or scope.
    """
    before = tokens.load(folder)
    token, credential = tokens.issue(name, platform, now, ttl, scopes)
    tokens.save(folder, (*tokens.prune(before, now), credential))
    try:
        apply_stack()
    except BaseException:
        tokens.save(folder, before)
        raise
    return IssuedToken(
        kid=credential.kid,
        name=name,
        created=credential.created,
        expires=credential.expires,
        scopes=credential.scopes,
        same_name=1 + sum(item.name == name and not item.expired(now) for item in before),
        token=token,
    )


def list_tokens(folder: Path, now: datetime) -> tuple[TokenInfo, ...]:
    """Every credential, oldest first."""
    return _lines(tokens.load(folder), now)


def revoke(folder: Path, wanted: str, now: datetime, apply_stack: Callable[[], None]) -> RevokedTokens:
    """Revoke the token with the id `wanted`, or all of the name `wanted`.

    It stays revoked here if gateway and API cannot be updated, and the error names that.
    Raises RagopsError (no_such_token, revoked_not_applied).
    """
    every = tokens.load(folder)
    kept, gone = tokens.revoke(every, wanted)
    tokens.save(folder, kept)
    try:
        apply_stack()
    except RagopsError as error:
        raise RagopsError(
            "revoked_not_applied",
            f"{wanted} is revoked here, but cannot update the gateway: {error.message}",
            "repair that, then run `ragops gateway apply`",
            exit_code=error.exit_code,
        ) from error
    return RevokedTokens(tuple(line for line in _lines(every, now) if line.kid in {item.kid for item in gone}))


def _lines(credentials: Sequence[tokens.Credential], now: datetime) -> tuple[TokenInfo, ...]:
    live = Counter(item.name for item in credentials if not item.expired(now))
    return tuple(
        TokenInfo(
            kid=item.kid,
            name=item.name,
            created=item.created,
            expires=item.expires,
            expired=item.expired(now),
            scopes=item.scopes,
            same_name=live[item.name],
        )
        for item in credentials
    )
