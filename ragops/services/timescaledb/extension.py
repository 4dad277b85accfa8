"""TimescaleDB's extension in a database: created by `up`, updated, its background jobs stopped and started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from ragops.adapters.postgres import fetch_value
from ragops.errors import MissingError, RagopsError
from ragops.services.timescaledb import IMAGE_ENGINE, roles

if TYPE_CHECKING:
    from ragops.adapters.postgres import Connection
    from ragops.services.contract import Endpoint

NAME = "timescaledb"
_NO_SUCH_FILE = "58P01"
_ATTEMPTS = 5
_OFFERED = "SELECT default_version FROM pg_available_extensions WHERE name = %s"
_INSTALLED = "SELECT extversion FROM pg_extension WHERE extname = %s"


def prepare(endpoint: Endpoint) -> None:
    """Create the database, the application role and TimescaleDB's extension if they are missing, at the end of `up`."""
    roles.prepare(endpoint)
    if endpoint.engine == IMAGE_ENGINE:
        install(endpoint, endpoint.options["database"])


def install(endpoint: Endpoint, database: str) -> None:
    """Create the extension in `database` in the version of the server, unless it is there already.

    Raises MissingError (extension_missing: no TimescaleDB in the image; edition_missing: the Apache edition, asked to
    be the Community's).
    """
    with roles.session(endpoint, roles.MAINTENANCE, subject=f"database {database}") as connection:
        offered = fetch_value(connection, _OFFERED, [NAME])
    if not offered:
        raise MissingError(
            "extension_missing",
            "cannot create the extension timescaledb: the image does not have it",
            "use an image of timescale/timescaledb",
        )
    with roles.session(endpoint, database) as connection:
        installed = fetch_value(connection, _INSTALLED, [NAME])
    if installed is None:
        _run(endpoint, database, sql.SQL("CREATE EXTENSION IF NOT EXISTS timescaledb"))
    elif installed != offered:
        # First of its session: one that has loaded the old version cannot (TimescaleDB documentation, "Upgrade").
        _run(endpoint, database, sql.SQL("ALTER EXTENSION timescaledb UPDATE"))
    start_background_jobs(endpoint, database)


def update(endpoint: Endpoint, database: str) -> tuple[str, ...]:
    """Update the extension of a restored database to the server's version; returns a note if it keeps its own."""
    with roles.session(endpoint, database) as connection:
        offered = fetch_value(connection, _OFFERED, [NAME]) or ""
        installed = fetch_value(connection, _INSTALLED, [NAME])
    if installed in (None, offered):
        return ()
    try:
        _run(endpoint, database, sql.SQL("ALTER EXTENSION timescaledb UPDATE"))
    except RagopsError as error:
        return (f"TimescaleDB stays at {installed}, {offered} is here ({error.message}): `ragops up` updates it",)
    return ()


def _run(endpoint: Endpoint, database: str, statement: sql.SQL) -> None:
    try:
        with roles.session(endpoint, database, limit=600) as connection:
            connection.execute(statement)
    except RagopsError as error:
        if isinstance(error.__cause__, psycopg.Error) and error.__cause__.sqlstate == _NO_SUCH_FILE:
            what = "cannot run TimescaleDB's Community edition (`timescaledb.license`): the image is the Apache edition"
            hint = "set `timescaledb: {license: apache}`, or `image:` to one of timescale/timescaledb without -oss"
            raise MissingError("edition_missing", what, hint) from error
        raise


def look_through_restoring(connection: Connection) -> None:
    """Let this session see hypertables as such in a database that is being restored; nothing to do for another."""
    connection.execute("SELECT set_config('timescaledb.restoring', 'off', false)")


def start_background_jobs(endpoint: Endpoint, database: str) -> None:
    """Start its jobs: the end of all sessions of a database ends TimescaleDB's scheduler, which does not come back.

    The first attempts return false while the launcher still takes the scheduler for running.
    """
    with roles.session(endpoint, database) as connection:
        for _ in range(_ATTEMPTS):
            if fetch_value(connection, "SELECT _timescaledb_functions.start_background_workers()"):
                return


def stop_background_jobs(endpoint: Endpoint, database: str) -> None:
    """Stop the jobs of a database that is kept: retention would still remove its rows.

    `SELECT timescaledb_post_restore()` in it starts them again.
    """
    with roles.session(endpoint, database) as connection:
        if fetch_value(connection, _INSTALLED, [NAME]):
            connection.execute("SELECT timescaledb_pre_restore()")
