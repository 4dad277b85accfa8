"""Lets a restored database take the place of the old one, in one transaction."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from psycopg import sql

from ragops.adapters.postgres import fetch_column, fetch_value, translate_errors
from ragops.errors import UsageError
from ragops.services.kept_data import Kept, since
from ragops.services.timescaledb.roles import MAINTENANCE, log_in, session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.adapters.postgres import Connection
    from ragops.services.contract import Endpoint


FILLED, KEPT = "restore", "before"  # why a database is there: the middle of its name
_LONGEST = 63  # bytes of a name; PostgreSQL cuts longer ones silently
_STAMP = "%Y%m%dt%H%M%S%f"
_POLL = 0.02
_RENAME_LIMIT = 60.0

# By number: the name belongs to the new one as soon as the transaction is through. Of the new one's only those that are
# no client's, since its first clients may be there before this ends.
_END = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datid = %s OR (datid = %s AND backend_type <> 'client backend')
"""


# Relations, functions, large objects and schemas that are no part of the system or of an extension.
_OWN_OBJECTS = """
    WITH member AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e')
    SELECT EXISTS (SELECT FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'p', 'm', 'v', 'S', 'f')
                   AND ('pg_class'::regclass, oid) NOT IN (SELECT * FROM member))
        OR EXISTS (SELECT FROM pg_proc WHERE oid >= 16384 AND ('pg_proc'::regclass, oid) NOT IN (SELECT * FROM member))
        OR EXISTS (SELECT FROM pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_'
                   AND ('pg_namespace'::regclass, oid) NOT IN (SELECT * FROM member))
        OR EXISTS (SELECT FROM pg_largeobject_metadata)
"""


def make_name(database: str, purpose: str) -> str:
    """Return the name of a database that a restore fills (FILLED), or that it keeps of the old one (KEPT)."""
    suffix = f"_{purpose}_{datetime.now(tz=UTC):{_STAMP}}"[:-3]  # milliseconds
    return database[: _LONGEST - len(suffix)] + suffix


def find_named(connection: Connection, database: str, purpose: str) -> list[str]:
    """Return the databases that killed restores have left (FILLED) or earlier ones have kept (KEPT), oldest first."""
    base = make_name(database, purpose).rpartition(f"_{purpose}_")[0]
    pattern = f"^{re.escape(base)}_{purpose}_[0-9]{{8}}t[0-9]{{9}}$"
    return fetch_column(connection, "SELECT datname FROM pg_database WHERE datname ~ %s ORDER BY 1", [pattern])


def drop(connection: Connection, endpoint: Endpoint, database: str) -> None:
    """Drop a scratch database, its sessions included: those of a pg_restore that was orphaned.

    Its subscriptions go first, which keep it from being dropped; the slots of their publishers are left alone.
    """
    row = connection.execute("SELECT oid, datistemplate FROM pg_database WHERE datname = %s", [database]).fetchone()
    if row is None:
        return
    if names := fetch_column(connection, "SELECT subname FROM pg_subscription WHERE subdbid = %s", [row[0]]):
        with log_in(endpoint, database) as inside:
            for name in names:
                for what in ("ALTER SUBSCRIPTION {} DISABLE", "ALTER SUBSCRIPTION {} SET (slot_name = NONE)"):
                    inside.execute(sql.SQL(what).format(sql.Identifier(name)))
                inside.execute(sql.SQL("DROP SUBSCRIPTION {}").format(sql.Identifier(name)))
    if row[1]:
        connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(sql.Identifier(database)))
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))


def drop_if_empty(endpoint: Endpoint, database: str) -> bool:
    """Drop a database that nothing was ever made in, such as the first one of a new platform; return whether it was."""
    with session(endpoint, database) as inside:
        row = inside.execute(_OWN_OBJECTS).fetchone()
    if row is None or row[0]:
        return False
    with session(endpoint, MAINTENANCE, subject=f"database {database}") as connection:
        drop(connection, endpoint, database)
    return True


def swap_databases(endpoint: Endpoint, fresh: str, database: str, kept: str, *, rests: bool = False) -> str:
    """Rename `database` to `kept` and `fresh` to `database` at once; returns `kept`, empty without an old one.

    What is kept `rests` from that moment on: TimescaleDB's jobs, retention among them, do not run in it.
    The first rename takes the lock that new sessions wait for and itself waits for old ones to go, TimescaleDB's own
    included. Those are ended by a second connection, so that clients that come back at once cannot keep it
    from happening. One that waits at that instant gets the error that the database was renamed, and connects to the new
    one at its next attempt.
    """
    with ExitStack() as stack, translate_errors(f"database {database}"):
        renaming = stack.enter_context(log_in(endpoint, MAINTENANCE, limit=_RENAME_LIMIT))
        ending = stack.enter_context(log_in(endpoint, MAINTENANCE))
        rows = ending.execute("SELECT oid, datname FROM pg_database WHERE datname IN (%s, %s)", [database, fresh])
        numbers = {name: number for number, name in rows}
        pool = stack.enter_context(ThreadPoolExecutor(1))
        before = [(database, kept)] if database in numbers else []
        done = pool.submit(_rename, renaming, before, (fresh, database), rests=rests)
        while not done.done():
            ending.execute(_END, [numbers.get(database), numbers[fresh]])
            time.sleep(_POLL)
        done.result()
        return kept if database in numbers else ""


def _rename(
    connection: Connection, before: list[tuple[str, str]], last: tuple[str, str], *, rests: bool = False
) -> None:
    with connection.transaction():
        for old, new in [*before, last]:
            statement = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            connection.execute(statement.format(sql.Identifier(old), sql.Identifier(new)))
        for _, kept in before if rests else ():
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET timescaledb.restoring = 'on'").format(sql.Identifier(kept))
            )


def list_kept(endpoint: Endpoint) -> tuple[Kept, ...]:
    """Return the databases that restores keep, or leave when they are killed."""
    database = endpoint.options["database"]
    with session(endpoint, MAINTENANCE, subject="the database") as connection:
        names = [name for purpose in (KEPT, FILLED) for name in find_named(connection, database, purpose)]
        sizes = {name: fetch_value(connection, "SELECT pg_database_size(%s::name)", [name]) or 0 for name in names}
    return tuple(Kept("database", name, since(name), int(size)) for name, size in sizes.items())


def drop_kept(endpoint: Endpoint, names: Sequence[str]) -> None:
    """Drop some of them, and none that is not one of them. Raises UsageError (not_kept)."""
    known = {item.name for item in list_kept(endpoint)}
    with session(endpoint, MAINTENANCE, limit=0, subject="the database") as connection:
        for name in names:
            if name not in known:
                what = f"cannot drop {name}: it is not a database that a restore keeps"
                raise UsageError("not_kept", what, "see `ragops restore clean`")
            drop(connection, endpoint, name)
