"""A pause of writes in the metadata database: writers wait, reads continue.

One transaction holds a SHARE lock on every table, which conflicts with what writes take and with nothing that readers
or pg_dump take. LOCK TABLE takes partitions and chunks with their parents: to PostgreSQL both are inheritance children.
It ends with the connection, so with ragops at the latest.

A session that waits for a lock makes others wait behind it, so each try is short. It is also shorter than the time
after which the server checks for deadlocks: what we hold and still wait for can close a circle with a transaction that
writes to several tables, and it must never be that transaction which is ended for it.
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from ragops.errors import LockedError, RagopsError, UnhealthyError
from ragops.services.timescaledb import roles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.adapters.postgres import Connection
    from ragops.services.contract import Endpoint

PATIENCE = 30.0
IDLE_SECONDS = 60.0
_BEATS = 4  # signs of life within that time
_LONGEST_TRY = 2.0
_PAUSE = (0.2, 1.0)  # between two tries: writers continue
_SHOWN = 3
_STATEMENT_LIMIT = "60s"
# The server notices soon when our machine is gone.
_SESSION = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
_BUSY = (
    psycopg.errors.QueryCanceled,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.UndefinedTable,  # dropped between our look and our lock
    psycopg.errors.InvalidSchemaName,
)
# New tables, materialized views and large objects are written through these; only a superuser may lock them.
_CATALOGS = ("pg_class", "pg_largeobject", "pg_largeobject_metadata")
# Of TimescaleDB's own only what holds users' rows, aggregated or compressed; the others are its bookkeeping.
_TABLES = r"""
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
    AND (n.nspname <> 'information_schema' AND n.nspname !~ '^(pg_|_timescaledb_)'
         OR n.nspname = '_timescaledb_internal' AND c.relname ~ '^_(materialized|compressed)_hypertable_')
    ORDER BY 1, 2
"""
# Only the first word of a statement: the others may be data.
_BLOCKERS = r"""
    SELECT DISTINCT l.pid, a.usename, a.application_name, upper(substring(a.query FROM '^\s*([[:alpha:]]+)')),
           extract(epoch FROM clock_timestamp() - a.xact_start)::float AS seconds
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.mode IN ('RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                   'AccessExclusiveLock')
    AND (n.nspname !~ '^(pg_|information_schema)' OR c.relname = ANY(%s))
    ORDER BY seconds DESC NULLS FIRST
"""


@contextmanager
def pause_writes(endpoint: Endpoint, patience: float = PATIENCE, idle: float = IDLE_SECONDS) -> Iterator[None]:
    """Let every write wait; tries for at most `patience` seconds.

    The server ends it if this process is silent for `idle` seconds: a ragops that hangs blocks no writer.
    Raises LockedError (quiesce_blocked) that names the sessions in its way; at the end UnhealthyError (quiesce_lost) if
    the lock was lost during the block; else as `translate_errors`.
    """
    database = endpoint.options["database"]
    with roles.session(endpoint) as connection:
        connection.execute(_SESSION)
        limit = f"{int(idle * 1000)}ms"
        connection.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, false)", [limit])
        connection.autocommit = False
        _lock(connection, database, patience)
        try:
            with _heard(connection, idle / _BEATS):
                yield
        except BaseException:
            with suppress(psycopg.Error):
                connection.rollback()
            raise
        _unlock(connection, database)


@contextmanager
def _heard(connection: Connection, seconds: float) -> Iterator[None]:
    """Send the server a sign of life every `seconds`; a failure shows at the end, in `_unlock`."""
    over = threading.Event()

    def beat() -> None:
        with suppress(psycopg.Error):
            while not over.wait(seconds):
                connection.execute("SELECT 1")

    thread = threading.Thread(target=beat, name="database-lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _lock(connection: Connection, database: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            return _try(connection)
        except _BUSY as error:
            connection.rollback()
            if time.monotonic() > deadline:
                raise _explain_block(connection, database, patience) from error
        time.sleep(random.uniform(*_PAUSE))  # noqa: S311  not a secret


def _try(connection: Connection) -> None:
    """Lock everything within the time of one try; the catalogs first, so that the list of tables stays true."""
    superuser, deadlock_ms = _one(
        connection,
        "SELECT rolsuper, s.setting::int FROM pg_roles, pg_settings s "
        "WHERE rolname = current_user AND s.name = 'deadlock_timeout'",
    )
    end = time.monotonic() + min(_LONGEST_TRY, 0.8 * deadlock_ms / 1000)
    if superuser:
        # The check is also what makes an autovacuum in our way give up; and the one that checks first is ended.
        connection.execute("SET LOCAL deadlock_timeout = '100ms'")
        _share(connection, [("pg_catalog", name) for name in _CATALOGS], end)
    _share(connection, connection.execute(_TABLES).fetchall(), end)
    connection.execute("SELECT set_config('statement_timeout', %s, true)", [_STATEMENT_LIMIT])


def _share(connection: Connection, tables: list[tuple[Any, ...]], end: float) -> None:
    if not tables:
        return
    left = max(1, int((end - time.monotonic()) * 1000))
    connection.execute("SELECT set_config('statement_timeout', %s, true)", [str(left)])
    names = sql.SQL(", ").join(sql.Identifier(schema, name) for schema, name in tables)
    connection.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(names))


def _unlock(connection: Connection, database: str) -> None:
    """Raise unless the transaction still answers, and so has held its locks all the time."""
    try:
        connection.execute("SELECT 1")
        connection.rollback()
    except psycopg.Error as error:
        what = f"cannot keep database {database} read-only: the connection was lost"
        raise UnhealthyError("quiesce_lost", what, "run the command again; see `ragops health timescaledb`") from error


def _explain_block(connection: Connection, database: str, patience: float) -> RagopsError:
    """Return the error that names the sessions in its way."""
    rows = connection.execute(_BLOCKERS, [list(_CATALOGS)]).fetchall()
    connection.rollback()
    who = "; ".join(_words(*row) for row in rows[:_SHOWN]) or "writers follow one another without a gap"
    what = f"cannot make database {database} read-only within {patience:g} s: {who}"
    ends = " ".join(f"SELECT pg_terminate_backend({row[0]});" for row in rows[:_SHOWN] if row[0])
    hint = "wait until it has ended, or end it" + (f": {ends}" if ends else ", see pg_prepared_xacts and pg_locks")
    return LockedError("quiesce_blocked", what, f"{hint} Or take the recovery point without --quiesce.")


def _words(pid: int | None, user: str | None, application: str | None, kind: str | None, seconds: float | None) -> str:
    if pid is None:
        return "a prepared transaction"
    who = " ".join(word for word in (user, f"({application})" if application else "") if word) or "the server itself"
    return f"pid {pid} of {who}, last statement {kind or 'unknown'}, has been in a transaction for {seconds or 0:.0f} s"


def _one(connection: Connection, query: Any) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    return row or (False, 1000)
