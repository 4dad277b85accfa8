"""Tokens of the gateway's clients: issued, revoked, listed. Each has a key pair of its own, and is revoked alone.

The private key signs once and is forgotten. What stays is the public key under the token's id, which gateway and API
need to check it; so no file of ragops can be used to make a token.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from ragops.adapters.files import PUBLIC_MODE, SECRET_MODE, explain_os_error, write_atomic
from ragops.errors import RagopsError, UsageError
from ragops.services.gateway.policy import issuer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

ALGORITHM = "RS256"
DEFAULT_TTL = timedelta(days=90)
CREDENTIALS = "credentials.json"
JWKS = "jwks.json"

_SHORTEST, _LONGEST = timedelta(minutes=1), timedelta(days=366)
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_SCOPE = re.compile(r"[a-z][a-z0-9:._-]{0,62}")
_KID = re.compile(r"tok_[0-9a-f]{12}")
_KEY_BITS = 2048
_KEPT_AFTER_EXPIRY = timedelta(days=30)
_FORMAT = "credentials/1"  # another format would have another key, and is then not misread


@dataclass(frozen=True)
class Credential:
    """What is kept of a token: its id, whom it was issued to, how long it holds, and the public key that checks it."""

    kid: str
    name: str
    created: datetime
    expires: datetime
    scopes: tuple[str, ...]
    key: Mapping[str, str]

    def expired(self, now: datetime) -> bool:
        """Whether its token has run out at `now`."""
        return self.expires <= now


def issue(
    name: str,
    platform: str,
    now: datetime,
    ttl: timedelta = DEFAULT_TTL,
    scopes: Sequence[str] = (),
) -> tuple[str, Credential]:
    """Return a signed token for `name` and the credential that is kept of it. The token is nowhere else.

    Raises UsageError (bad_token_name, bad_token_ttl, bad_token_scope).
    """
    _refuse_bad(name, ttl, scopes)
    created = now.astimezone(UTC).replace(microsecond=0)
    expires = created + ttl
    kid = f"tok_{secrets.token_hex(6)}"
    claims: dict[str, Any] = {
        "iss": issuer(platform), "sub": name, "iat": created, "nbf": created, "exp": expires, "jti": kid,
    }  # fmt: skip
    if scopes:
        claims["scope"] = " ".join(scopes)
    private = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    token = jwt.encode(claims, private, algorithm=ALGORITHM, headers={"kid": kid})
    return token, Credential(kid, name, created, expires, tuple(scopes), _public(private, kid))


def _refuse_bad(name: str, ttl: timedelta, scopes: Sequence[str]) -> None:
    if not _NAME.fullmatch(name):
        hint = "use up to 63 of a-z, 0-9, `.`, `_` and `-`, a letter or digit at both ends"
        raise UsageError("bad_token_name", f"cannot issue a token named {name!r}: invalid name", hint)
    if not _SHORTEST <= ttl <= _LONGEST:
        raise UsageError(
            "bad_token_ttl",
            "cannot issue a token: a lifetime is 1 minute to 366 days",
            "issue a new one when it runs out",
        )
    if bad := [scope for scope in scopes if not _SCOPE.fullmatch(scope)]:
        raise UsageError(
            "bad_token_scope",
            f"cannot issue a token: {bad[0]!r} is not a scope",
            "use a letter, then a-z, 0-9, `:`, `.`, `_`, `-`",
        )


def _public(private: rsa.RSAPrivateKey, kid: str) -> dict[str, str]:
    values = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return {"kty": "RSA", "use": "sig", "alg": ALGORITHM, "kid": kid, "n": values["n"], "e": values["e"]}


def revoke(credentials: Iterable[Credential], wanted: str) -> tuple[tuple[Credential, ...], tuple[Credential, ...]]:
    """Return the tokens that stay and those that are revoked: the one with the id `wanted`, or all of that name.

    Raises RagopsError (no_such_token).
    """
    every = tuple(credentials)
    gone = tuple(item for item in every if wanted in (item.kid, item.name))
    if not gone:
        raise RagopsError(
            "no_such_token", f"cannot revoke {wanted!r}: there is no such token", "`ragops token list` shows them"
        )
    return tuple(item for item in every if item not in gone), gone


def prune(credentials: Iterable[Credential], now: datetime) -> tuple[Credential, ...]:
    """Without those that ran out a month ago: a list that only grows is not read."""
    return tuple(item for item in credentials if not item.expired(now - _KEPT_AFTER_EXPIRY))


def jwks(credentials: Iterable[Credential]) -> dict[str, Any]:
    """Return the JWK Set (RFC 7517) that checks exactly these tokens, in a fixed order.

    Expired ones included: their tokens hold their end themselves, and a set that changes with the clock would be drift.
    """
    return {"keys": [dict(item.key) for item in sorted(credentials, key=lambda item: item.kid)]}


# --- files -------------------------------------------------------------------------------------------------------


def load(folder: Path) -> tuple[Credential, ...]:
    """Return the credentials of an environment, oldest first; none if the file is not there yet.

    Raises RagopsError (credentials_unreadable): guessing would let revoked tokens in again or lock all others out.
    """
    path = folder / CREDENTIALS
    try:
        values = json.loads(path.read_text())
        found = tuple(_from_json(item) for item in values[_FORMAT])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RagopsError(
            "credentials_unreadable",
            f"cannot read {path}: {type(error).__name__}",
            "restore it from your copy; without one remove it, which revokes every token",
        ) from error
    return found


def save(folder: Path, credentials: Sequence[Credential]) -> None:
    """Write the credentials, and next to them the JWK Set that the API reads.

    The list is the truth and comes first: what is interrupted in between, `ensure` completes.
    """
    ordered = sorted(credentials, key=lambda item: (item.created, item.kid))
    values = {_FORMAT: [_to_json(item) for item in ordered]}
    write_atomic(folder / CREDENTIALS, json.dumps(values, indent=2) + "\n", SECRET_MODE)
    write_atomic(folder / JWKS, json.dumps(jwks(ordered), indent=2) + "\n", PUBLIC_MODE)


def ensure(folder: Path) -> tuple[Credential, ...]:
    """Return the credentials, after both files were made or brought into step; for `up`."""
    credentials = load(folder)
    try:
        in_step = json.loads((folder / JWKS).read_text()) == jwks(credentials)
    except (FileNotFoundError, ValueError):
        in_step = False
    except OSError as error:
        raise explain_os_error(error, f"read {folder / JWKS}") from error
    if not in_step:
        save(folder, credentials)
    return credentials


def _to_json(item: Credential) -> dict[str, Any]:
    return {**vars(item), "created": item.created.isoformat(), "expires": item.expires.isoformat()}


def _from_json(values: Mapping[str, Any]) -> Credential:
    kid, key = values["kid"], values["key"]
    whole = {"kty": "RSA", "use": "sig", "alg": ALGORITHM, "kid": kid}
    if not _KID.fullmatch(kid) or {**key, **whole} != key or set(key) != {*whole, "n", "e"}:
        raise ValueError(f"{kid!r} has no public key of its own")
    created, expires = (datetime.fromisoformat(values[name]) for name in ("created", "expires"))
    return Credential(kid, values["name"], created, expires, tuple(values["scopes"]), key)
