"""TimescaleDB's extension in a database: made, brought up to the server's version, kept quiet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from ragops.adapters.postgres import translate_errors
from ragops.errors import MissingError, RagopsError
from ragops.services.timescaledb import roles

if TYPE_CHECKING:
    from ragops.adapters.postgres import Connection
    from ragops.services.contract import Endpoint

NAME = "timescaledb"
_NO_SUCH_FILE = "58P01"
_ATTEMPTS = 5


def prepare(endpoint: Endpoint, database: str) -> None:
    """Create the extension in `database` in the version of the server, unless it is there already.

    Raises MissingError (extension_missing: no TimescaleDB in the image; edition_missing: the Apache edition, asked to
    be the Community's).
    """
    with roles.operator(endpoint, roles.MAINTENANCE) as connection, translate_errors(f"database {database}"):
        offered = _default_version(connection)
    if not offered:
        raise MissingError("extension_missing", "the image has no TimescaleDB", "use an image of timescale/timescaledb")
    with roles.operator(endpoint, database) as connection, translate_errors(f"database {database}"):
        row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = %s", [NAME]).fetchone()
    if row is None:
        _run(endpoint, database, sql.SQL("CREATE EXTENSION IF NOT EXISTS timescaledb"))
    elif row[0] != offered:
        # First of its session: one that has loaded the old version cannot (TimescaleDB documentation, "Upgrade").
        _run(endpoint, database, sql.SQL("ALTER EXTENSION timescaledb UPDATE"))
    start_background_jobs(endpoint, database)


def update(endpoint: Endpoint, database: str) -> tuple[str, ...]:
    """Bring a restored database up to the server's version; words on one that stays as it was in its recovery point."""
    with roles.operator(endpoint, database) as connection, translate_errors(f"database {database}"):
        offered = _default_version(connection)
        row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = %s", [NAME]).fetchone()
    if row is None or row[0] == offered:
        return ()
    try:
        _run(endpoint, database, sql.SQL("ALTER EXTENSION timescaledb UPDATE"))
    except RagopsError as error:
        return (f"TimescaleDB stays at {row[0]}, {offered} is here ({error.message}): `ragops up` updates it",)
    return ()


def _default_version(connection: Connection) -> str:
    query = "SELECT default_version FROM pg_available_extensions WHERE name = %s"
    row = connection.execute(query, [NAME]).fetchone()
    return str(row[0]) if row else ""


def _run(endpoint: Endpoint, database: str, statement: sql.SQL) -> None:
    try:
        with roles.operator(endpoint, database, limit=600) as connection, translate_errors(f"database {database}"):
            connection.execute(statement)
    except RagopsError as error:
        if isinstance(error.__cause__, psycopg.Error) and error.__cause__.sqlstate == _NO_SUCH_FILE:
            what = "the image is TimescaleDB's Apache edition, and `timescaledb.license` asks for the Community's"
            hint = "set `timescaledb: {license: apache}`, or `image:` to one of timescale/timescaledb without -oss"
            raise MissingError("edition_missing", what, hint) from error
        raise


def look_through_restoring(connection: Connection) -> None:
    """Let this session see hypertables as such in a database that is being restored; nothing to do for another."""
    connection.execute("SELECT set_config('timescaledb.restoring', 'off', false)")


def start_background_jobs(endpoint: Endpoint, database: str) -> None:
    """Have its jobs run: ending the sessions of a database ends TimescaleDB's scheduler, which does not come back.

    Asked to start one that it takes for running, the launcher finds out that it is not, and says so: then again.
    """
    with roles.operator(endpoint, database) as connection, translate_errors(f"database {database}"):
        for _ in range(_ATTEMPTS):
            row = connection.execute("SELECT _timescaledb_functions.start_background_workers()").fetchone()
            if row and row[0]:
                return


def stop_background_jobs(endpoint: Endpoint, database: str) -> None:
    """Have no job run in a database that is kept aside: retention would still remove its rows.

    `SELECT timescaledb_post_restore()` in it wakes it up.
    """
    with roles.operator(endpoint, database) as connection, translate_errors(f"database {database}"):
        row = connection.execute("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = %s)", [NAME]).fetchone()
        if row and row[0]:
            connection.execute("SELECT timescaledb_pre_restore()")
