"""The probe of the metadata database: logins, a durable write, schema, connections, transactions, replication, disk."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters.postgres import fetch_value, translate_errors
from ragops.errors import RagopsError
from ragops.services.contract import Check, ProbeResult, Status
from ragops.services.contract.probe import SCHEMA_MISSING, check_disk
from ragops.services.timescaledb.backup import counts, dump_warnings
from ragops.services.timescaledb.roles import log_in, session
from ragops.units import first_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ragops.adapters.postgres import Connection
    from ragops.services.contract import Endpoint

_FULL = 0.9  # share of the connections from which on they are reported
_IDLE_SECONDS = 900
_OLD_AGE = 500_000_000  # transactions; autovacuum works on it from 200 million, the server stops before 2,100 million


def probe(endpoint: Endpoint, timeout: float) -> ProbeResult:
    """Look at the live server for about `timeout` seconds at most; never raises."""
    started = time.monotonic()
    checks: list[Check] = []
    version = ""
    try:
        with log_in(endpoint, timeout=timeout, limit=timeout) as connection:
            milliseconds = (time.monotonic() - started) * 1000
            checks.append(Check("reachable", Status.OK, f"the operator is logged in after {milliseconds:.0f} ms"))
            with _deadline(connection, timeout):
                version = _version(connection, endpoint)
                checks += [_try(name, look, connection) for name, look in _LOOKS.items()]
        checks.append(_application(endpoint, timeout))
        if endpoint.files_here:
            checks += _disk(endpoint, timeout)
    except RagopsError as error:
        checks.append(Check("answer" if checks else "reachable", Status.DOWN, error.message, error.hint))
    except Exception as error:
        hint = "see `ragops logs timescaledb`"
        checks.append(Check("answer", Status.DOWN, f"unexpected: {type(error).__name__}: {error}", hint))
    return ProbeResult("timescaledb", tuple(checks), time.monotonic() - started, version)


def _version(connection: Connection, endpoint: Endpoint) -> str:
    """In the terms of the endpoint's: PostgreSQL's, or that of TimescaleDB in it, such as 2.19.3-pg17."""
    server = counts.server_version(connection)
    if endpoint.engine == counts.SERVER:
        return server
    extension = fetch_value(connection, "SELECT extversion FROM pg_extension WHERE extname = %s", [endpoint.engine])
    return f"{extension or 'none'}-pg{server.partition('.')[0]}"


@contextmanager
def _deadline(connection: Connection, seconds: float) -> Iterator[None]:
    """Cut the connection after `seconds`: a server that hangs does not keep its own time-outs."""

    def cut() -> None:
        with socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _try(name: str, look: Callable[[Connection], Check], connection: Connection) -> Check:
    """Run one check; what the server refuses is its finding, and the next check runs."""
    try:
        with translate_errors("database"):
            return look(connection)
    except RagopsError as error:
        if connection.closed:
            raise
        return Check(name, Status.DOWN, error.message, error.hint)


def _write(connection: Connection) -> Check:
    """Check a record in the write-ahead log that has no meaning, committed and so forced to disk.

    No table, not even a temporary one: its catalogue entries would be left to vacuum at every probe.
    """
    position = fetch_value(connection, "SELECT pg_logical_emit_message(true, 'ragops', 'probe')::text")
    if not fetch_value(connection, "SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn", [position]):
        return Check("write", Status.DEGRADED, "a commit was not forced to disk", "set synchronous_commit = on")
    if fetch_value(connection, "SHOW transaction_read_only") == "on":
        return Check("write", Status.DOWN, "transactions are read-only", "set default_transaction_read_only = off")
    return Check("write", Status.OK, "a commit reached the disk")


_SHOWN = 5
RESTORE = "run `ragops restore latest`"


def _schema(connection: Connection) -> Check:
    from ragops.services.timescaledb.schema.detection import foreign_schema
    from ragops.services.timescaledb.schema.migrations import MigrationState, status
    from ragops.services.timescaledb.schema.objects import find_missing

    found = status(connection)
    versions = [row.version for row in found.migrations if row.state is not MigrationState.PENDING]
    applied = len(versions)
    edited = [row.name for row in found.migrations if row.state is MigrationState.EDITED]
    if not applied:
        whose, hint = foreign_schema(connection)
        if whose:
            return Check("schema", Status.DOWN, whose, hint)
        what, hint = "there is no rag schema yet", "run `ragops migrate up`"
        return Check("schema", Status.DEGRADED, what, hint, SCHEMA_MISSING)
    if edited:
        return Check(
            "schema", Status.DEGRADED, f"applied and then edited: {', '.join(edited)}", "run `ragops migrate status`"
        )
    lost = find_missing(connection, found.edition, versions)
    if lost.needed:
        return Check("schema", Status.DOWN, f"gone although it was migrated: {first_of(lost.needed, _SHOWN)}", RESTORE)
    if found.pending:
        return Check("schema", Status.DEGRADED, f"{found.pending} migrations are pending", "run `ragops migrate up`")
    if lost.slow:
        return Check(
            "schema", Status.DEGRADED, f"gone although it was migrated: {first_of(lost.slow, _SHOWN)}", RESTORE
        )
    return Check("schema", Status.OK, f"{applied} migrations applied ({found.edition})")


def _connections(connection: Connection) -> Check:
    used = int(fetch_value(connection, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"))
    most = int(fetch_value(connection, "SHOW max_connections"))
    if used > _FULL * most:
        hint = "close clients, or raise `timescaledb.max_connections`, then `ragops up`"
        return Check("connections", Status.DEGRADED, f"{used} of {most} in use", hint)
    return Check("connections", Status.OK, f"{used} of {most} in use")


def _transactions(connection: Connection) -> Check:
    """Check for transactions left open: they keep vacuum from its work on every table."""
    query = (
        "SELECT coalesce(string_agg(pid::text, ', '), '') FROM pg_stat_activity"
        " WHERE state LIKE 'idle in transaction%%' AND now() - state_change > make_interval(secs => %s)"
    )
    if pids := fetch_value(connection, query, [_IDLE_SECONDS]):
        hint = f"end them: SELECT pg_terminate_backend({pids.split(',')[0]});"
        what = f"open and idle for over {_IDLE_SECONDS // 60} minutes: pid {pids}"
        return Check("transactions", Status.DEGRADED, what, hint)
    return Check("transactions", Status.OK, "none is left open")


def _wraparound(connection: Connection) -> Check:
    age = int(fetch_value(connection, "SELECT max(age(datfrozenxid)) FROM pg_database"))
    if age > _OLD_AGE:
        hint = "autovacuum does not keep up: end old transactions and replication slots, then run VACUUM FREEZE"
        return Check("wraparound", Status.DEGRADED, f"the oldest transaction is {age:,} back", hint)
    return Check("wraparound", Status.OK, f"the oldest transaction is {age:,} back")


def _replication(connection: Connection) -> Check:
    if fetch_value(connection, "SELECT pg_is_in_recovery()"):
        return Check(
            "replication", Status.DEGRADED, "it is a standby, it takes no writes", "point ragops at the primary"
        )
    lost = fetch_value(connection, "SELECT count(*) FROM pg_replication_slots WHERE NOT active")
    if lost:
        hint = "they keep the write-ahead log from being removed: drop those that are not needed"
        return Check("replication", Status.DEGRADED, f"{lost} replication slots without a reader", hint)
    standbys = fetch_value(connection, "SELECT count(*) FROM pg_stat_replication")
    return Check("replication", Status.OK, f"primary with {standbys} standbys")


def _indexes(connection: Connection) -> Check:
    """Check for indexes of a failed CREATE INDEX CONCURRENTLY: they cost writes, guard nothing, and are in no dump."""
    if invalid := counts.invalid_indexes(connection):
        hint = f"make it again, `REINDEX INDEX CONCURRENTLY {invalid[0]}`, or drop it: no recovery point contains it"
        return Check("indexes", Status.DEGRADED, f"not valid: {', '.join(invalid)}", hint)
    return Check("indexes", Status.OK, "all are valid")


def _restorable(connection: Connection) -> Check:
    if warning := dump_warnings.version_warning(connection):
        return Check("restorable", Status.DEGRADED, warning, dump_warnings.UPGRADE)
    return Check("restorable", Status.OK, "nothing is known that a dump would lose")


_LOOKS: dict[str, Callable[[Connection], Check]] = {
    "write": _write,
    "schema": _schema,
    "connections": _connections,
    "transactions": _transactions,
    "wraparound": _wraparound,
    "replication": _replication,
    "indexes": _indexes,
    "restorable": _restorable,
}


def _application(endpoint: Endpoint, timeout: float) -> Check:
    """Whether the RAG services can log in."""
    try:
        log_in(endpoint, role="application", timeout=timeout).close()
    except RagopsError as error:
        return Check("application login", Status.DOWN, error.message, "run `ragops up`")
    return Check("application login", Status.OK, f"{endpoint.logins['application'].user} can log in")


def _disk(endpoint: Endpoint, timeout: float) -> Iterator[Check]:
    with session(endpoint, subject="the database", timeout=timeout, limit=timeout) as connection:
        folder = Path(fetch_value(connection, "SHOW data_directory"))
    yield from check_disk(folder)
