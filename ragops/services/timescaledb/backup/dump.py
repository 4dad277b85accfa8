"""Takes the parts of a recovery point of the database: its dump, and what a dump of one database lacks."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg import IsolationLevel

from ragops.adapters import subprocess_tool
from ragops.services.contract import Part
from ragops.services.timescaledb import roles
from ragops.services.timescaledb.backup import counts as inventory
from ragops.services.timescaledb.backup import dump_locks, dump_warnings, pg_dump, server_globals
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
        dump_locks.check_locks(connection)
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

            with dump_locks.explain_errors(endpoint), _start(endpoint, control, snapshot) as archive:
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
