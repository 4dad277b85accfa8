"""A token for the operator on this machine: short-lived, issued as any other, kept in the run folder (0600)."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import jwt
from pydantic import SecretStr

from ragops.adapters.files import SECRET_MODE, write_atomic
from ragops.errors import LockedError
from ragops.operations.gateway import tokens as operation
from ragops.operations.gateway.config import applier
from ragops.services.gateway import tokens

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.operations.session import Session

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
            return SecretStr(_issue(session, folder, file))
    except LockedError as error:
        hint = f"wait for it, or ask with a token that you have: RAGOPS_TOKEN or --token-file; {error.hint}"
        raise LockedError(error.code, f"cannot issue the operator's token: {error.message}", hint) from error


def _issue(session: Session, folder: Path, file: Path) -> str:
    now = datetime.now(tz=UTC)
    over = [item for item in tokens.load(folder) if item.name == NAME and item.expired(now)]
    if over:  # nothing asks for them any more, and `token list` would grow by one each hour of work
        kept = tuple(item for item in tokens.load(folder) if item not in over)
        tokens.save(folder, kept)
    issued = operation.issue(folder, session.project.settings.name, NAME, now, applier(session), _TTL)
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
