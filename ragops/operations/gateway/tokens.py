"""Tokens: issue, list and revoke them, and the short-lived one of the operator on this machine."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import jwt
from pydantic import SecretStr

from ragops.adapters.files import SECRET_MODE, write_atomic
from ragops.errors import LockedError, RagopsError
from ragops.operations.gateway.config import applier
from ragops.services.gateway import tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ragops.operations.session import Session


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

    `apply_stack` brings the gateway up to what is in `folder`. Raises UsageError for a bad name, ttl or scope.
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


# --- the operator's own ----------------------------------------------------------------------------------------------

NAME = "ragops-operator"
_TTL = timedelta(hours=1)
_LEAST_LEFT = timedelta(minutes=1)  # of its life, so that it does not end in the middle of an answer


def operator_token(session: Session) -> SecretStr:
    """Return a token that the gateway takes now: the last one, or a new one, which leaves a line in the audit log.

    Raises MissingError (not_provisioned), LockedError if another command changes the platform.
    """
    session.endpoint("gateway")
    folder, file = session.project.paths.gateway, session.project.paths.operator_token
    kept = _read(file)
    if _is_live(folder, kept):
        return SecretStr(kept)
    # The audit log gets what is done, not what is asked.
    session = replace(session, command=f"ragops token issue {NAME}")
    try:
        with session.changing():
            return SecretStr(_renew(session, folder, file))
    except LockedError as error:
        hint = f"wait for it, or ask with a token that you have: RAGOPS_TOKEN or --token-file; {error.hint}"
        raise LockedError(error.code, f"cannot issue the operator's token: {error.message}", hint) from error


def _renew(session: Session, folder: Path, file: Path) -> str:
    now = datetime.now(tz=UTC)
    over = [item for item in tokens.load(folder) if item.name == NAME and item.expired(now)]
    if over:  # nothing asks for them any more, and `token list` would grow by one each hour of work
        kept = tuple(item for item in tokens.load(folder) if item not in over)
        tokens.save(folder, kept)
    issued = issue(folder, session.project.settings.name, NAME, now, applier(session), _TTL)
    write_atomic(file, issued.token.encode(), SECRET_MODE)
    return issued.token


def _read(file: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return file.read_text(encoding="ascii").strip()
    return ""


def _is_live(folder: Path, token: str) -> bool:
    """Return whether the token's credential is there still, neither revoked nor at its end."""
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except jwt.InvalidTokenError:
        return False
    soon = datetime.now(tz=UTC) + _LEAST_LEFT
    return any(item.kid == kid and not item.expired(soon) for item in tokens.load(folder))
