"""Locks of a dump: pg_dump holds one on every table until it ends, and the room for them is limited."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ragops.adapters.postgres import fetch_value
from ragops.errors import RagopsError, UnhealthyError
from ragops.services.timescaledb import roles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.adapters.postgres import Connection
    from ragops.services.contract import Endpoint

_TABLES = """
    SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""
# PostgreSQL documentation, "Lock Management": max_locks_per_transaction for each of these.
_SESSIONS = """
    SELECT sum(setting::int) FROM pg_settings
    WHERE name IN ('max_connections', 'max_prepared_transactions')
"""
_ROOM = 1.2  # indexes, sequences and what others hold


def check_locks(connection: Connection) -> None:
    """Raise UnhealthyError (database_out_of_locks) if the server cannot hold the locks that a dump needs."""
    tables, sessions, most = _numbers(connection)
    if tables > _capacity(connection, most):
        raise _explain_refusal(f"a dump locks all {tables} tables at once", tables, sessions, most)


@contextmanager
def explain_errors(endpoint: Endpoint) -> Iterator[None]:
    """Say of a dump that ran out of locks which setting helps, and what it has to be."""
    try:
        yield
    except RagopsError as error:
        if "out of shared memory" not in error.message:
            raise
        with roles.session(endpoint, subject="the database") as connection:
            tables, sessions, most = _numbers(connection)
        raise _explain_refusal(f"the dump of {tables} tables ran out of locks", tables, sessions, most) from error


def _numbers(connection: Connection) -> tuple[int, int, int]:
    """Return the numbers of tables and of sessions with a share of the locks, and max_locks_per_transaction."""
    tables, sessions = fetch_value(connection, _TABLES), fetch_value(connection, _SESSIONS)
    return tables, int(sessions), int(fetch_value(connection, "SHOW max_locks_per_transaction"))


def _capacity(connection: Connection, most: int) -> int:
    """Locks that the table surely has room for: all backends have their share, workers too."""
    row = connection.execute(
        "SELECT sum(setting::int) FROM pg_settings WHERE name IN ('max_connections', 'max_prepared_transactions',"
        " 'max_worker_processes', 'max_wal_senders', 'autovacuum_worker_slots')"
    ).fetchone()
    return most * int(row[0] if row else 0)


def _explain_refusal(what: str, tables: int, sessions: int, most: int) -> UnhealthyError:
    wanted = max(int(tables * _ROOM / max(sessions, 1)), most) + 1
    number = 1 << (wanted - 1).bit_length()
    message = f"{what}, and max_locks_per_transaction is {most}"
    hint = f"set `timescaledb: {{max_locks_per_transaction: {number}}}` in ragops.yaml, then `ragops up`"
    return UnhealthyError("database_out_of_locks", message, hint)
