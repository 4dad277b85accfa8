"""Connections to Redis and Valkey, and what their failures mean, in ragops' own words."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ragops.errors import MissingError, RagopsError, UnhealthyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import SecretStr

_LOOK = "look at `ragops logs redis`"

# How a server refuses a command: the start or part of its message, our kind of error, code and hint.
_REFUSALS: tuple[tuple[str, type[RagopsError], str, str], ...] = (
    (
        "LOADING",
        UnhealthyError,
        "redis_loading",
        "it reads its data after a start: wait, then run `ragops health redis`",
    ),
    (
        "MISCONF",
        UnhealthyError,
        "redis_not_persisting",
        f"it refuses writes because it cannot save to disk: free space, then {_LOOK}",
    ),
    (
        "READONLY",
        UnhealthyError,
        "redis_read_only",
        "it is a replica: point `redis:` at the primary, or send it REPLICAOF NO ONE",
    ),
    ("OOM", UnhealthyError, "redis_out_of_memory", "raise `redis.maxmemory`, then `ragops up`"),
    ("NOREPLICAS", UnhealthyError, "redis_no_replicas", "bring its replicas back, or lower min-replicas-to-write"),
    ("BUSY", UnhealthyError, "redis_busy", "a script keeps it busy: send it SCRIPT KILL"),
    ("max number of clients", UnhealthyError, "redis_too_many_clients", "close clients or raise maxclients"),
    ("NOPERM", RagopsError, "redis_permission_denied", "the ACL does not allow it: run `ragops up`"),
    ("No space left", MissingError, "disk_full", "free some space, then run the command again"),
)


def connect(host: str, port: int, user: str, password: SecretStr, *, timeout: float = 10.0) -> redis.Redis:
    """Return a client with a time-out of `timeout` seconds on every wait. It connects on the first command."""
    return redis.Redis(
        host=host,
        port=port,
        username=user,
        password=password.get_secret_value(),
        **_bounded(timeout),
    )


def connect_socket(path: str, *, timeout: float = 10.0) -> redis.Redis:
    """Return a client on the Unix socket `path` of a server without a login."""
    return redis.Redis(unix_socket_path=path, **_bounded(timeout))


def _bounded(timeout: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "socket_keepalive": True,
        "decode_responses": True,
        "protocol": 2,
        # The client's default retries for seconds, and repeats commands whose answer was lost.
        "retry": Retry(NoBackoff(), 0),
    }


@contextmanager
def translate_errors(subject: str = "redis") -> Iterator[None]:
    """Turn every error of the client inside the block into a RagopsError that names `subject`.

    Raises UnhealthyError (unreachable, loading, not persisting, read-only), RagopsError (redis_login_refused).
    """
    try:
        yield
    except redis.RedisError as error:
        raise translate(error, subject) from error


def translate(error: redis.RedisError, subject: str = "redis") -> RagopsError:
    """Return the RagopsError of `error`."""
    reason = str(error).strip() or type(error).__name__
    if isinstance(error, redis.AuthenticationError) or reason.startswith(("WRONGPASS", "NOAUTH")):
        return RagopsError(
            "redis_login_refused",
            f"{subject} refuses the login",
            "it runs with other passwords than .ragops/secrets/ENV.json has: run `ragops up`",
        )
    for words, kind, code, hint in _REFUSALS:
        # The client cuts the leading word off if it has a class of its own for it.
        if words in reason or words == _leading_word(error):
            return kind(code, f"{subject}: {reason}", hint)
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        hint = "is it running? `ragops status`; start it with `ragops up`"
        return UnhealthyError("redis_unreachable", f"cannot reach {subject}: {reason}", hint)
    return RagopsError("redis_error", f"{subject}: {reason}", _LOOK)


def _leading_word(error: redis.RedisError) -> str:
    kinds: tuple[tuple[type[redis.RedisError], str], ...] = (
        (redis.BusyLoadingError, "LOADING"),
        (redis.ReadOnlyError, "READONLY"),
        (redis.OutOfMemoryError, "OOM"),
        (redis.exceptions.NoPermissionError, "NOPERM"),
    )
    return next((word for kind, word in kinds if isinstance(error, kind)), "")
