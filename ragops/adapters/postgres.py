"""Connections to PostgreSQL and what its failures mean, in ragops' own words.

Source of the codes: PostgreSQL's appendix "Error Codes". A refused connection has no SQLSTATE at the client (libpq does
not pass it on), so those are distinguished by their text.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from ragops.errors import LockedError, MissingError, RagopsError, UnhealthyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from psycopg.sql import SQL, Composed
    from pydantic import SecretStr

    Connection = psycopg.Connection[tuple[Any, ...]]

_LOST = ("08", "57P01", "57P02", "57P03", "57P05")

# What the client reports when a connection that stood is gone.
_BROKEN = ("the connection is closed", "the connection is lost", "consuming input failed", "sending query failed")

_LOGIN = "database_login_refused"
_OLD_VALUE = "put the old password back into .ragops/secrets/ENV.json, where ENV is the environment"
_NO_MEMORY = "53200"
_MORE_LOCKS = (
    "double it: `SHOW max_locks_per_transaction`, set twice as many as `timescaledb: {max_locks_per_transaction: N}` in"
    " ragops.yaml, then `ragops up`"
)
_FULL = "database_too_many_connections"
_CLOSE_SOME = "close clients or raise timescaledb.max_connections"


class PasswordRefusedError(RagopsError):
    """The server has another password for the role; it does not refuse the login for any other reason."""


# How a server refuses a connection: part of its message, the error, its code and hint.
_REFUSALS: tuple[tuple[str, type[RagopsError], str, str], ...] = (
    ("password authentication failed", PasswordRefusedError, _LOGIN, _OLD_VALUE),
    ("no pg_hba.conf entry", RagopsError, _LOGIN, "allow this host and user in pg_hba.conf"),
    ("is not permitted to log in", RagopsError, _LOGIN, "give the role LOGIN, or run: ragops up"),
    ("permission denied for database", RagopsError, _LOGIN, "grant the role CONNECT on the database"),
    ("remaining connection slots", UnhealthyError, _FULL, _CLOSE_SOME),
    ("too many", UnhealthyError, _FULL, _CLOSE_SOME),
    ("the database system is", UnhealthyError, "database_not_ready", "wait, then look: ragops health timescaledb"),
    ("role ", RagopsError, _LOGIN, "make the role: ragops up"),
    ("database ", MissingError, "database_missing", "make the database: ragops up"),
)


def connect(
    host: str,
    port: int,
    database: str,
    user: str,
    password: SecretStr,
    *,
    timeout: float = 10,
    application_name: str = "ragops",
    autocommit: bool = False,
    statement_timeout: float = 60,
    lock_timeout: float = 10,
    settings: Mapping[str, str] | None = None,
) -> Connection:
    """Log in; all times in seconds, 0 means no limit for the last two. `settings` win over those of the database.

    Raises RagopsError as `translate_errors`; a dead peer is noticed within about 30 seconds.
    """
    options = f"-c statement_timeout={_milliseconds(statement_timeout)} -c lock_timeout={_milliseconds(lock_timeout)}"
    options += "".join(f" -c {name}={value}" for name, value in (settings or {}).items())
    with translate_errors(f"database {database} at {host}:{port}"):
        return psycopg.connect(
            host=host,
            port=port,
            dbname=database,
            user=user,
            password=password.get_secret_value(),
            connect_timeout=max(2, math.ceil(timeout)),  # libpq takes whole seconds and rounds 1 up to 2
            application_name=application_name,
            autocommit=autocommit,
            client_encoding="UTF8",
            options=options,
            keepalives=1,
            keepalives_idle=15,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=30_000,
        )


def fetch_value(connection: Connection, query: str | SQL | Composed, parameters: Sequence[Any] | None = None) -> Any:
    """Return the first column of the first row, None without a row."""
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None


def fetch_column(
    connection: Connection, query: str | SQL | Composed, parameters: Sequence[Any] | None = None
) -> list[Any]:
    """Return the first column of all rows."""
    return [row[0] for row in connection.execute(query, parameters).fetchall()]


@contextmanager
def translate_errors(subject: str = "the database") -> Iterator[None]:
    """Turn every psycopg error inside the block into a RagopsError that names `subject`.

    Raises UnhealthyError (unreachable, lost, not ready), MissingError (no database, disk full), LockedError (a lock was
    not had in time), RagopsError (login refused, timed out, anything else with its SQLSTATE).
    """
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, subject) from error


def translate(error: psycopg.Error, subject: str = "the database") -> RagopsError:
    """Return the RagopsError of `error`; never holds data of a row, since servers quote passwords in details."""
    reason_text = " ".join((error.diag.message_primary or str(error)).split())  # libpq writes lines and tabs
    state = error.sqlstate or ""
    if state.startswith(_LOST) or _is_broken(error):
        return UnhealthyError(
            "database_connection_lost",
            f"{subject}: the connection was lost: {reason_text}",
            "check the server with `ragops health timescaledb`, then run the command again; it resumes",
        )
    if state == _NO_MEMORY and "max_locks_per_transaction" in (error.diag.message_hint or ""):
        return UnhealthyError("database_out_of_locks", f"{subject}: {reason_text}: too many locks at once", _MORE_LOCKS)
    if state:
        return _by_state(state, reason_text, subject)
    if isinstance(error, psycopg.OperationalError):
        return _refused(reason_text, subject)
    return RagopsError("database_error", f"{subject}: {reason_text}")


def is_password_refused(error: RagopsError) -> bool:
    """Return whether the server has another password for the role; false if it refuses for any other reason."""
    return isinstance(error, PasswordRefusedError)


def _is_broken(error: psycopg.Error) -> bool:
    return isinstance(error, psycopg.OperationalError) and any(words in str(error) for words in _BROKEN)


def _refused(reason_text: str, subject: str) -> RagopsError:
    if "FATAL:" in reason_text:
        reason = reason_text.rsplit("FATAL:", 1)[1].strip()
        for words, kind, code, hint in _REFUSALS:
            if words in reason:
                return kind(code, f"{subject}: login refused: {reason}", hint)
        return UnhealthyError("database_refused", f"{subject}: {reason}", "see its log: ragops logs timescaledb")
    if "no password supplied" in reason_text:
        return RagopsError(_LOGIN, f"{subject}: it wants a password and there is none", _OLD_VALUE)
    hint = "is it running? `ragops status`; start it: `ragops up`"
    return UnhealthyError("database_unreachable", f"cannot reach {subject}: {reason_text}", hint)


def _by_state(state: str, reason_text: str, subject: str) -> RagopsError:
    message = f"{subject}: {reason_text} (SQLSTATE {state})"
    match state:
        case "53100":
            return MissingError("disk_full", message, "free or add disk space for the database, then run it again")
        case "55P03":
            return LockedError("database_locked", message, "somebody else works on it: wait and run it again")
        case "57014":
            return RagopsError("database_timeout", message, "the server took too long: see ragops health timescaledb")
        case "42501":
            return RagopsError(
                "database_permission_denied", message, "use the operator's login: ragops up sets its rights"
            )
        case "42P01" | "42703" | "3F000":  # table, column, schema: lost, or never made
            return RagopsError("database_object_missing", message, "see what is gone: `ragops health timescaledb`")
        case "53200" | "53300":
            return UnhealthyError("database_overloaded", message, "give the server more memory or connections")
    return RagopsError("database_error", message)


def _milliseconds(seconds: float) -> int:
    return math.ceil(seconds * 1000)
