"""The metadata database's schema and its collections: what `ragops migrate` does. Locks and audit are the caller's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ragops.adapters.postgres import translate_errors
from ragops.errors import UnhealthyError
from ragops.operations.backup.point_condition import schema_lost
from ragops.services.timescaledb.collections.file_columns import BUILT_IN
from ragops.services.timescaledb.collections.json_export import export_json as export_collections
from ragops.services.timescaledb.collections.json_file import parse_collections
from ragops.services.timescaledb.collections.json_import import import_collections
from ragops.services.timescaledb.roles import log_in
from ragops.services.timescaledb.schema import maintenance
from ragops.services.timescaledb.schema import migrations as schema
from ragops.services.timescaledb.schema.objects import find_missing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ragops.adapters.postgres import Connection
    from ragops.operations.data.models import Models
    from ragops.services.contract import Endpoint
    from ragops.services.timescaledb.collections.json_import import ImportReport
    from ragops.services.timescaledb.schema.maintenance import MaintenanceReport
    from ragops.services.timescaledb.schema.migrations import AppliedMigration, MigrationStatus

    Held = Mapping[str, Mapping[str, int]]

# Seconds for one statement: an index on ten million rows takes minutes, an answer about the schema does not.
_CHANGE_TIMEOUT = 3600
_READ_TIMEOUT = 60
_NO_POINT = "no recovery point is known here: `ragops backup list`; else make them again as the migration files do"


@dataclass(frozen=True)
class UpReport:
    """What this run applied, and how the database stands now."""

    applied: tuple[AppliedMigration, ...]
    status: MigrationStatus


def up(
    endpoint: Endpoint,
    *,
    lock_timeout: float = 30,
    held: Held | None = None,
    restore_command: str = "",
    fresh: bool = False,
) -> UpReport:
    """Apply pending migrations; `lock_timeout` in seconds. Raises what `schema.apply` raises.

    Raises UnhealthyError before anything is applied: schema_damaged if objects of applied migrations are missing,
    schema_gone if all of it is, though the platform had one (`held`), unless `fresh`. `restore_command` is the
    command that brings the newest good recovery point back.
    """
    with log_in(endpoint, limit=_CHANGE_TIMEOUT) as connection:
        before = _status(connection)
        require_whole(before, restore_command)
        if not fresh:
            _refuse_gone(before, held or {}, restore_command)
        role = endpoint.logins["application"].user
        applied = schema.apply(connection, application_role=role, lock_timeout=lock_timeout)
        return UpReport(applied, _status(connection))


def status(endpoint: Endpoint) -> MigrationStatus:
    """How the database stands, with what is missing of it. Raises RagopsError if it cannot be asked."""
    with log_in(endpoint, limit=_READ_TIMEOUT) as connection:
        return _status(connection)


def require_whole(found: MigrationStatus, restore_command: str) -> None:
    """Raise UnhealthyError (schema_damaged) if objects that migrations have made are missing."""
    if found.missing:
        rows = "".join(f"\n  {name}" for name in found.missing)
        what = f"{len(found.missing)} objects of applied migrations are missing, which no migration makes again:{rows}"
        hint = f"bring the newest good recovery point back: {restore_command}" if restore_command else _NO_POINT
        raise UnhealthyError("schema_damaged", what, hint)


def _refuse_gone(found: MigrationStatus, held: Held, restore_command: str) -> None:
    applied = sum(row.applied_at is not None for row in found.migrations)
    if schema_lost(held, applied):
        what = "cannot make the rag schema: this database had one with its data, and it is gone"
        fresh = "to begin with an empty one: `ragops migrate up --fresh`"
        hint = f"bring the newest good recovery point back: {restore_command}; {fresh}" if restore_command else fresh
        raise UnhealthyError("schema_gone", what, hint)


def _status(connection: Connection) -> MigrationStatus:
    found = schema.status(connection)
    # Of a file that was edited since, it is unknown what it made; `apply` refuses it.
    versions = [row.version for row in found.migrations if row.state is schema.MigrationState.APPLIED]
    if any(row.state is schema.MigrationState.EDITED for row in found.migrations):
        return found
    with translate_errors():
        return replace(found, missing=find_missing(connection, found.edition, versions).every)


def import_json(
    endpoint: Endpoint, file: Path, *, dry_run: bool, actor: str, models: Models | None = None
) -> ImportReport:
    """Import collections-config.json; the file is checked whole before the database is spoken to.

    `models` are those that collections may name, the default for those for which the file names none; without them
    any name is taken. Raises what `parse_collections` and `import_collections` raise.
    """
    with (
        parse_collections(file, _built_in(models), models.find_fault if models else lambda _name: "") as document,
        log_in(endpoint, limit=_CHANGE_TIMEOUT) as connection,
    ):
        return import_collections(connection, document, actor=actor, dry_run=dry_run)


def export_json(endpoint: Endpoint, models: Models | None = None) -> str:
    """Return the collections as a document that imports to the same rows."""
    with log_in(endpoint, limit=_READ_TIMEOUT) as connection:
        return export_collections(connection, _built_in(models))


def maintain(endpoint: Endpoint) -> MaintenanceReport:
    """Partitions ahead, fresh figures, and query logs beyond 90 days dropped. Raises what `maintenance` raises."""
    with log_in(endpoint, limit=_CHANGE_TIMEOUT) as connection:
        return maintenance.maintain(connection)


def _built_in(models: Models | None) -> Mapping[str, Any]:
    return {**BUILT_IN, "embeddingModel": models.default} if models else BUILT_IN
