"""Takes the parts of a recovery point of the database: its dump, and what a dump of one database lacks."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg import IsolationLevel

from ragops.adapters import subprocess_tool
from ragops.errors import RagopsError, UnhealthyError
from ragops.services.contract import Part
from ragops.services.timescaledb import roles
from ragops.services.timescaledb.backup import counts as inventory
from ragops.services.timescaledb.backup import dump_warnings, pg_dump, server_globals
from ragops.services.timescaledb.backup.evaluated_expressions import find_evaluated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.adapters.postgres import Connection
    from ragops.adapters.streams import ByteReader
    from ragops.services.contract import Endpoint, PartWriter
    from ragops.services.control import Control
    from ragops.services.timescaledb.backup.server_globals import Globals


def dump(endpoint: Endpoint, control: Control, writer: PartWriter) -> None:
    """Store both parts, as of one instant.

    Raises IntegrityError (not_restorable) if a restore would fail or lose something, UnhealthyError
    (database_out_of_locks), RagopsError.
    """
    with roles.session(endpoint, limit=0) as connection:
        dump_warnings.refuse(connection)
        check_locks(connection)
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.execute("SET idle_in_transaction_session_timeout = 0")
        with connection.transaction(), pg_dump.start_check(control) as check:
            row = connection.execute("SELECT pg_export_snapshot(), now()").fetchone()
            snapshot, instant = row or ("", None)
            writer.snapshot_fixed()
            found, notes = _describe(connection, endpoint, writer)
            versions = inventory.versions(connection, endpoint.engine)
            name = f"{endpoint.options['database']}.dump"

            def read_back() -> Part:
                counts = _count(endpoint, snapshot)
                pg_dump.compare_tables(name, counts, check)
                return Part(name, instant, counts, versions, notes)

            with explain_lock_errors(endpoint), _start(endpoint, control, snapshot) as archive:
                writer.store(name, archive, read_back, check.write)
    properties = io.BytesIO(f"{found.model_dump_json(indent=2)}\n".encode())
    writer.store(server_globals.PART, properties, lambda: Part(server_globals.PART, instant, {}, versions))


@contextmanager
def _start(endpoint: Endpoint, control: Control, snapshot: str) -> Iterator[ByteReader]:
    """Start pg_dump; what is yielded is its output."""
    arguments = pg_dump.dump_arguments(control.tool("pg_dump"), endpoint, snapshot)
    with (
        pg_dump.logged_in(endpoint) as environment,
        subprocess_tool.streamed_tool(arguments, environment, pg_dump.LIMIT, name="pg_dump") as archive,
    ):
        yield archive


def _describe(connection: Connection, endpoint: Endpoint, writer: PartWriter) -> tuple[Globals, tuple[str, ...]]:
    found = server_globals.read(connection, endpoint.logins["application"].user, passwords=writer.encrypted)
    looked = find_evaluated(connection)
    notes = dump_warnings.remarks(connection, found, looked, encrypted=writer.encrypted)
    checks = tuple(f"{name} of {owner}" for owner, name in looked.checks)
    more = {"functions": looked.functions, "checks": checks, "staged": looked.needed}
    return found.model_copy(update=more), notes


def _count(endpoint: Endpoint, snapshot: str) -> dict[str, int]:
    """By a connection of its own, whose transactions are short: their locks do not add up to those of the dump."""
    with roles.session(endpoint, limit=0) as connection:
        return inventory.counts(connection, snapshot)


# --- locks -----------------------------------------------------------------------------------------------------------

_ROOM = 1.2  # indexes, sequences and what others hold
# Tables to lock, sessions with a share of the locks (PostgreSQL documentation, "Lock Management"), locks of a share,
# those that the server surely has room for (all backends have their share, workers too), and those that others hold
# of the same room, such as the pause of writes.
_LOCKS = """
    SELECT (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')
            AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')),
        sum(setting::int) FILTER (WHERE name IN ('max_connections', 'max_prepared_transactions')),
        current_setting('max_locks_per_transaction')::int,
        current_setting('max_locks_per_transaction')::int * sum(setting::int),
        (SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND NOT fastpath)
    FROM pg_settings WHERE name IN ('max_connections', 'max_prepared_transactions', 'max_worker_processes',
                                    'max_wal_senders', 'autovacuum_worker_slots')
"""


def check_locks(connection: Connection) -> None:
    """Raise UnhealthyError (database_out_of_locks) if the server cannot hold the locks that a dump needs."""
    tables, sessions, most, room, held = _count_locks(connection)
    if tables + held > room:
        others = f", others hold {held} locks" if held else ""
        raise _out_of_locks(f"a dump locks all {tables} tables at once{others}", tables + held, sessions, most)


@contextmanager
def explain_lock_errors(endpoint: Endpoint) -> Iterator[None]:
    """Name the setting that helps if a dump ran out of locks, and the value that it needs."""
    try:
        yield
    except RagopsError as error:
        if "out of shared memory" not in error.message:
            raise
        with roles.session(endpoint, subject="the database") as connection:
            tables, sessions, most, _room, held = _count_locks(connection)
        why = f"the dump of {tables} tables ran out of locks"
        raise _out_of_locks(why, tables + held, sessions, most) from error


def _count_locks(connection: Connection) -> tuple[int, int, int, int, int]:
    tables, sessions, most, room, held = connection.execute(_LOCKS).fetchone() or (0, 0, 0, 0, 0)
    return tables, sessions, most, room, held


def _out_of_locks(why: str, locks: int, sessions: int, most: int) -> UnhealthyError:
    wanted = max(int(locks * _ROOM / max(sessions, 1)), most) + 1
    number = 1 << (wanted - 1).bit_length()
    what = f"cannot dump the database: {why}, and max_locks_per_transaction is {most}"
    hint = f"set `timescaledb: {{max_locks_per_transaction: {number}}}` in ragops.yaml, then `ragops up`"
    return UnhealthyError("database_out_of_locks", what, hint)
