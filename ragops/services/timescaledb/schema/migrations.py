"""The `rag` schema on a live server: which edition, what is applied, and applying what is pending."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

import ragops
from ragops.adapters.postgres import fetch_value, translate, translate_errors
from ragops.errors import ExitCode, IntegrityError, LockedError, MissingError, RagopsError
from ragops.services.timescaledb.schema.detection import (
    LOCK_KEY,
    Edition,
    detect,
    foreign_schema,
    refuse_foreign_schema,
)
from ragops.services.timescaledb.schema.migration_files import Migration, Statement, load_migrations, statements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ragops.adapters.postgres import Connection

__all__ = [
    "Edition",
    "Migration",
    "MigrationState",
    "MigrationStatus",
    "apply",
    "detect",
    "grant_application",
    "load_migrations",
    "status",
]


class MigrationState(StrEnum):
    """How a migration stands on a server."""

    APPLIED = "applied"
    PENDING = "pending"
    EDITED = "edited"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class MigrationRow:
    """One migration: `applied_at` is None while it is pending."""

    version: int
    name: str
    applied_at: datetime | None
    state: MigrationState


@dataclass(frozen=True)
class MigrationStatus:
    """The schema of one database; `edition` is that of the schema, or of a new one; `missing` are descriptions."""

    edition: Edition
    server_version: str
    extension_version: str
    migrations: tuple[MigrationRow, ...]
    missing: tuple[str, ...] = ()

    @property
    def pending(self) -> int:
        """How many migrations `apply` would apply."""
        return sum(row.state is MigrationState.PENDING for row in self.migrations)


@dataclass(frozen=True)
class AppliedMigration:
    """A migration that this run applied; `seconds` is its duration."""

    version: int
    name: str
    seconds: float


@dataclass(frozen=True)
class _Recorded:
    name: str
    checksum: str
    edition: Edition
    applied_at: datetime


def status(connection: Connection, migrations: Sequence[Migration] | None = None) -> MigrationStatus:
    """Return how the database stands against `migrations` (default: those of ragops). Changes nothing."""
    known = {migration.version: migration for migration in migrations or load_migrations()}
    with translate_errors():
        recorded = _read_recorded(connection)
        row = connection.execute(
            "SELECT current_setting('server_version'),"
            " coalesce((SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'), '')"
        ).fetchone()
        server_version, extension_version = row or ("", "")
        edition = recorded[min(recorded)].edition if recorded else detect(connection)
    rows = tuple(_row(known.get(version), recorded.get(version), version) for version in sorted({*known, *recorded}))
    return MigrationStatus(edition, server_version, extension_version, rows)


def _row(migration: Migration | None, recorded: _Recorded | None, version: int) -> MigrationRow:
    if recorded is None:
        return MigrationRow(version, migration.name if migration else "", None, MigrationState.PENDING)
    if migration is None:
        state = MigrationState.UNKNOWN
    else:
        state = MigrationState.APPLIED if migration.checksum == recorded.checksum else MigrationState.EDITED
    return MigrationRow(version, recorded.name, recorded.applied_at, state)


def apply(
    connection: Connection,
    *,
    application_role: str,
    migrations: Sequence[Migration] | None = None,
    lock_timeout: float = 30,
) -> tuple[AppliedMigration, ...]:
    """Apply what is pending, each migration in a transaction of its own; returns what this run applied.

    `connection` is an idle autocommit one. `lock_timeout` in seconds bounds every wait for a lock. Raises
    IntegrityError (an applied file was edited, or a newer ragops was here), MissingError (no such role, or the server
    lost its extension), LockedError, RagopsError `migration_failed` with file, line and SQLSTATE; the migration that
    failed is then rolled back whole, those before it stay.
    """
    if not connection.autocommit or connection.info.transaction_status is not TransactionStatus.IDLE:
        raise ValueError("apply needs an idle autocommit connection")
    known = tuple(migrations or load_migrations())
    edition = detect(connection)
    _require_role(connection, application_role)
    applied = (
        _apply_next(connection, known, migration, edition, application_role, lock_timeout) for migration in known
    )
    return tuple(migration for migration in applied if migration)


def _require_role(connection: Connection, role: str) -> None:
    with translate_errors():
        found = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    if found is None:
        hint = "ragops up makes the roles of the platform"
        raise MissingError(
            "application_role_missing", f'cannot migrate the database: the server has no role "{role}"', hint
        )


def _apply_next(
    connection: Connection,
    known: Sequence[Migration],
    migration: Migration,
    edition: Edition,
    application_role: str,
    lock_timeout: float,
) -> AppliedMigration | None:
    with translate_errors(), connection.transaction():
        lock_schema(connection, lock_timeout)
        # Read under the lock: another run may have applied it while this one waited.
        refuse_foreign_schema(connection)
        recorded = _read_recorded(connection)
        _refuse(known, recorded, edition)
        if migration.version in recorded:
            return None
        made_for = recorded[min(recorded)].edition if recorded else edition
        connection.execute("SELECT set_config('ragops.application_role', %s, true)", [application_role])
        return _run(connection, migration, made_for)


def lock_schema(connection: Connection, timeout: float) -> None:
    """Keep all other schema changes out until this transaction ends; waits `timeout` seconds for this and later locks.

    Raises LockedError.
    """
    connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{max(1, round(timeout * 1000))}ms"])
    try:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])
    except psycopg.errors.LockNotAvailable as error:
        raise LockedError(
            "migration_locked",
            f"cannot change the schema: another run has been at it for more than {timeout:g} s",
            "wait until it ended, then run: ragops migrate up",
        ) from error


def _read_recorded(connection: Connection) -> Mapping[int, _Recorded]:
    exists = fetch_value(connection, "SELECT to_regclass('rag.schema_migrations') IS NOT NULL")
    if not exists or foreign_schema(connection)[0]:  # a table of the same name with other columns
        return {}
    rows = connection.execute("SELECT version, name, checksum, edition, applied_at FROM rag.schema_migrations")
    return {version: _Recorded(name, checksum, Edition(edition), at) for version, name, checksum, edition, at in rows}


def _refuse(known: Sequence[Migration], recorded: Mapping[int, _Recorded], edition: Edition) -> None:
    by_version = {migration.version: migration for migration in known}
    for version, row in sorted(recorded.items()):
        migration = by_version.get(version)
        if migration is None:
            raise IntegrityError(
                "migration_unknown",
                f"cannot migrate: {version} ({row.name}) is applied, and ragops {ragops.__version__} does not have it",
                "a newer ragops was here: use that one",
            )
        if migration.checksum != row.checksum:
            raise IntegrityError(
                "migration_edited",
                f"cannot migrate: {migration.file} was changed after it was applied on {row.applied_at:%Y-%m-%d}",
                "put the file back as it was (install ragops again) and make the change in a new migration",
            )
    _refuse_lost_extension(recorded, edition)


def _refuse_lost_extension(recorded: Mapping[int, _Recorded], edition: Edition) -> None:
    able = list(Edition)
    made_for = recorded[min(recorded)].edition if recorded else edition
    if able.index(edition) > able.index(made_for):
        raise MissingError(
            "edition_changed",
            f"cannot migrate: the schema was made for TimescaleDB {made_for}, but the server now is {edition}",
            f"run the database with an image of the {made_for} edition",
        )


def _run(connection: Connection, migration: Migration, edition: Edition) -> AppliedMigration:
    started = time.monotonic()
    rendered = migration.render(edition)
    for statement in statements(rendered):
        try:
            connection.execute(sql.SQL(statement.text))  # our own files, not input
        except psycopg.Error as error:
            raise _explain_failure(migration, rendered, statement, error) from error
    seconds = time.monotonic() - started
    connection.execute(
        "INSERT INTO rag.schema_migrations (version, name, checksum, edition, ragops_version, duration_ms)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [migration.version, migration.name, migration.checksum, edition, ragops.__version__, round(seconds * 1000)],
    )
    return AppliedMigration(migration.version, migration.name, seconds)


def _explain_failure(migration: Migration, rendered: str, statement: Statement, error: psycopg.Error) -> RagopsError:
    offset = statement.offset + int(error.diag.statement_position or 1) - 1
    place = f"{migration.file} line {migration.line_of(rendered, offset)}"
    cause = translate(error, place)
    if cause.exit_code is not ExitCode.FAILED:
        return cause
    hint = "nothing of this file was applied; remove what the message names, then run `ragops migrate up`"
    return RagopsError("migration_failed", cause.message, hint)


def grant_application(connection: Connection, role: str) -> None:
    """Give the application's role its rights on the schema again, as after a restore; idempotent."""
    with translate_errors():
        connection.execute("SELECT rag.grant_application(%s)", [role])
