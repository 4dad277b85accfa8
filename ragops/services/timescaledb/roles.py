"""The initial state of the server: the database and the application role, and who may connect."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg import sql

from ragops.adapters.postgres import connect, fetch_value, translate_errors
from ragops.errors import RagopsError, UnhealthyError
from ragops.services.monitoring import DATABASE_ROLE, MONITOR

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ragops.adapters.postgres import Connection
    from ragops.services.contract import Endpoint, Login

MAINTENANCE = "postgres"  # the database for statements on databases
# What the role of exporters has: it reads statistics, holds few connections, and no statement of it runs long.
MONITOR_RIGHTS = (
    "ALTER ROLE {} INHERIT CONNECTION LIMIT 5",
    "ALTER ROLE {} SET default_transaction_read_only = on",
    "ALTER ROLE {} SET statement_timeout = '10s'",
    "GRANT pg_monitor TO {}",
)
_RECOVERY_LIMIT = 600.0
_POLL = 0.1


def log_in(
    endpoint: Endpoint,
    database: str = "",
    *,
    role: str = "operator",
    timeout: float = 10.0,
    limit: float = 60.0,
    settings: Mapping[str, str] | None = None,
    application_name: str = "ragops",
) -> Connection:
    """Return a connection of a role in autocommit, to the endpoint's database if none is named.

    A statement may take `limit` seconds, 0 means no limit. Raises RagopsError.
    """
    login = endpoint.logins[role]
    return connect(
        endpoint.host,
        endpoint.port,
        database or endpoint.options["database"],
        login.user,
        login.password,
        timeout=timeout,
        autocommit=True,
        statement_timeout=limit,
        settings=settings,
        application_name=application_name,
    )


@contextmanager
def session(
    endpoint: Endpoint,
    database: str = "",
    *,
    subject: str = "",
    timeout: float = 10.0,
    limit: float = 60.0,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Connection]:
    """Open a connection of the operator as `log_in` does; errors in the block name `subject`, else the database.

    `database` is the endpoint's own if none is named. Raises RagopsError.
    """
    name = database or endpoint.options["database"]
    with (
        log_in(endpoint, name, timeout=timeout, limit=limit, settings=settings) as connection,
        translate_errors(subject or f"database {name}"),
    ):
        yield connection


def prepare(endpoint: Endpoint) -> None:
    """Make what is missing, set the password and rights; a second run changes nothing. Raises RagopsError."""
    database = endpoint.options["database"]
    wait_ready(endpoint)
    prepare_role(endpoint)
    prepare_monitor(endpoint)
    with session(endpoint, MAINTENANCE, subject=f"database {database}") as connection:
        if not exists(connection, database):
            create(connection, database)
        grant_connect(connection, database, endpoint)


def wait_ready(endpoint: Endpoint) -> None:
    """Wait while the server recovers from a crash: its port answers long before it lets anybody in.

    Raises UnhealthyError (database_not_ready) after ten minutes, every other refusal at once.
    """
    deadline = time.monotonic() + _RECOVERY_LIMIT
    while True:
        try:
            return log_in(endpoint, MAINTENANCE).close()
        except UnhealthyError as error:
            if error.code != "database_not_ready" or time.monotonic() > deadline:
                raise
        time.sleep(_POLL)


def prepare_role(endpoint: Endpoint) -> None:
    """Create the application role with today's password, and no more rights than a login."""
    login = endpoint.logins["application"]
    with session(endpoint, MAINTENANCE, subject=f"role {login.user}") as connection:
        _make_login(connection, endpoint, "application")


def prepare_monitor(endpoint: Endpoint) -> None:
    """Create the role that exporters log in as, with the statistics of pg_monitor and no right on any data.

    If the endpoint has no such login (`observability: off`), the role of an earlier one may log in no more.
    """
    with session(endpoint, MAINTENANCE, subject=f"role {DATABASE_ROLE}") as connection:
        name = sql.Identifier(DATABASE_ROLE)
        if MONITOR in endpoint.logins:
            _make_login(connection, endpoint, MONITOR)
            for statement in MONITOR_RIGHTS:
                connection.execute(sql.SQL(statement).format(name))
        elif fetch_value(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", [DATABASE_ROLE]):
            connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(name))


def _make_login(connection: Connection, endpoint: Endpoint, role: str) -> None:
    """Create the role of a login if it is missing, with its password and no more rights than a login."""
    login = endpoint.logins[role]
    if not fetch_value(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", [login.user]):
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(login.user)))
    if not _can_log_in(endpoint, role):
        _set_password(connection, login)
    rights = "ALTER ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
    connection.execute(sql.SQL(rights).format(sql.Identifier(login.user)))


def exists(connection: Connection, database: str) -> bool:
    """Whether there is a database of that name."""
    return bool(fetch_value(connection, "SELECT 1 FROM pg_database WHERE datname = %s", [database]))


def create(connection: Connection, database: str) -> None:
    """Create an empty database; from template0, because somebody may have put things into template1."""
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'")
    connection.execute(statement.format(sql.Identifier(database)))


def grant_connect(connection: Connection, database: str, endpoint: Endpoint) -> None:
    """Let only the roles of the endpoint's logins and the owner connect to the database."""
    name = sql.Identifier(database)
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    grant_logins(connection, database, endpoint)


def grant_logins(connection: Connection, database: str, endpoint: Endpoint) -> None:
    """Let the application and, if there is one, the role of exporters connect to the database."""
    for role, rights in (("application", "CONNECT, TEMPORARY"), (MONITOR, "CONNECT")):
        if role in endpoint.logins:
            names = {"database": sql.Identifier(database), "role": sql.Identifier(endpoint.logins[role].user)}
            connection.execute(sql.SQL(f"GRANT {rights} ON DATABASE {{database}} TO {{role}}").format(**names))


def change_password(endpoint: Endpoint, new: Login) -> None:
    """Give the role of `new` its password, as the operator with the endpoint's. Raises RagopsError."""
    with session(endpoint, MAINTENANCE, subject=f"role {new.user}") as connection:
        _set_password(connection, new)


def _can_log_in(endpoint: Endpoint, role: str) -> bool:
    """Whether the password holds already: setting it again would change the role at every `up`."""
    try:
        log_in(endpoint, MAINTENANCE, role=role).close()
    except RagopsError as error:
        if error.code == "database_login_refused":
            return False
        raise
    return True


def _set_password(connection: Connection, login: Login) -> None:
    """Send the SCRAM verifier: a password in clear would stand in statements, and so in logs and statistics."""
    verifier = connection.pgconn.encrypt_password(
        login.password.get_secret_value().encode(), login.user.encode(), b"scram-sha-256"
    )
    statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
    connection.execute(statement.format(sql.Identifier(login.user), sql.Literal(verifier.decode())))
