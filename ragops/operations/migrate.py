"""The metadata database's schema and its collections: what `ragops migrate` does. Locks and audit are the caller's."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragops.adapters.postgres import connect
from ragops.services.timescaledb import maintenance, schema
from ragops.services.timescaledb.json_collections import BUILT_IN, parsed
from ragops.services.timescaledb.json_export import export_json as export_collections
from ragops.services.timescaledb.json_import import import_collections

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ragops.adapters.postgres import Connection
    from ragops.services.contract import Endpoint
    from ragops.services.timescaledb.json_import import ImportReport
    from ragops.services.timescaledb.maintenance import MaintenanceReport
    from ragops.services.timescaledb.schema import AppliedMigration, MigrationStatus

# Seconds for one statement: an index on ten million rows takes minutes, an answer about the schema does not.
_CHANGE_TIMEOUT = 3600
_READ_TIMEOUT = 60


@dataclass(frozen=True)
class UpReport:
    """What this run applied, and how the database stands now."""

    applied: tuple[AppliedMigration, ...]
    status: MigrationStatus


def up(endpoint: Endpoint, *, lock_timeout: float = 30) -> UpReport:
    """Apply pending migrations; `lock_timeout` in seconds. Raises what `schema.apply` raises."""
    with _connected(endpoint, _CHANGE_TIMEOUT) as connection:
        role = endpoint.logins["application"].user
        applied = schema.apply(connection, application_role=role, lock_timeout=lock_timeout)
        return UpReport(applied, schema.status(connection))


def status(endpoint: Endpoint) -> MigrationStatus:
    """How the database stands. Raises RagopsError where it cannot be asked."""
    with _connected(endpoint, _READ_TIMEOUT) as connection:
        return schema.status(connection)


def import_json(
    endpoint: Endpoint, file: Path, *, dry_run: bool, actor: str, embedding_model: str = ""
) -> ImportReport:
    """Import collections-config.json; the file is checked whole before the database is spoken to.

    `embedding_model` is that of collections for which the file names none.
    Raises what `parsed` and `import_collections` raise.
    """
    with parsed(file, _built_in(embedding_model)) as document, _connected(endpoint, _CHANGE_TIMEOUT) as connection:
        return import_collections(connection, document, actor=actor, dry_run=dry_run)


def export_json(endpoint: Endpoint, embedding_model: str = "") -> str:
    """The collections as a document that imports to the same rows."""
    with _connected(endpoint, _READ_TIMEOUT) as connection:
        return export_collections(connection, _built_in(embedding_model))


def maintain(endpoint: Endpoint) -> MaintenanceReport:
    """Partitions ahead, fresh figures, and query logs beyond 90 days dropped. Raises what `maintenance` raises."""
    with _connected(endpoint, _CHANGE_TIMEOUT) as connection:
        return maintenance.maintain(connection)


def _built_in(embedding_model: str) -> Mapping[str, Any]:
    return {**BUILT_IN, "embeddingModel": embedding_model} if embedding_model else BUILT_IN


@contextmanager
def _connected(endpoint: Endpoint, statement_timeout: float) -> Iterator[Connection]:
    login = endpoint.logins["operator"]
    connection = connect(
        endpoint.host,
        endpoint.port,
        endpoint.options["database"],
        login.user,
        login.password,
        autocommit=True,
        statement_timeout=statement_timeout,
    )
    try:
        yield connection
    finally:
        connection.close()
