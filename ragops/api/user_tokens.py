"""Tokens of users: JWTs, verified with public keys that may change at any time."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import jwt

from ragops.api.problem import ApiError
from ragops.api.reloading_file import ReloadingFile

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.api.clock import Clock

_LEEWAY_SECONDS = 5
_MOST_VERIFIED = 10_000


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
