"""Imports collections-config.json into rag.collections: one transaction, compared and written in SQL."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import sql
from psycopg.types.json import Jsonb

from ragops.adapters.postgres import fetch_column, fetch_value, translate_errors
from ragops.errors import InvalidInputError, Problem
from ragops.services.timescaledb.collections.file_columns import COLUMNS, FIELDS
from ragops.services.timescaledb.collections.json_reader import found
from ragops.services.timescaledb.schema.detection import missing_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.adapters.postgres import Connection
    from ragops.services.timescaledb.collections.json_file import CollectionsDocument

__all__ = ["CollectionChange", "FieldChange", "ImportReport", "import_collections"]

_BLOCK = 1 << 20
_STAGED: LiteralString = """
CREATE TEMPORARY TABLE staged (
    position integer, line integer, name text, directory text, embedding_model text, chunk_size integer,
    chunk_overlap integer, file_types text[], recursive boolean, enabled boolean, extra jsonb, defaults_used text[]
) ON COMMIT DROP
"""

# What the file decides of a collection; the rest of the row is the database's own.
_DECIDED = (*(field.column for field in FIELDS if field.column != "name"), "extra", "defaults_used")
# Reports name columns by the keys of the file.
_KEYS = {**{field.column: field.key for field in FIELDS}, "extra": "other keys", "defaults_used": "defaults used for"}


@dataclass(frozen=True)
class FieldChange:
    """One value of a collection (`field` is its key in the file) as it was and as it is now."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True)
class CollectionChange:
    """A collection that was there already, and what the file changed of it."""

    name: str
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True)
class ImportReport:
    """What an import did, or with `dry_run` would do. Names are in the order of the file; `absent` by name.

    `absent` are collections that came from a file once and are not in this one: they are left as they are.
    `unread_keys` counts the keys that are kept and that nothing acts on.
    `document_changed` states whether the document's defaults or its own unknown keys are others than before.
    """

    file: str
    sha256: str
    dry_run: bool
    added: tuple[str, ...]
    changed: tuple[CollectionChange, ...]
    unchanged: int
    absent: tuple[str, ...]
    models_added: tuple[str, ...]
    document_changed: bool
    unread_keys: Mapping[str, int] = field(default_factory=dict)

    @property
    def writes(self) -> bool:
        """Whether the database differs from the file in anything an import changes."""
        return bool(self.added or self.changed or self.models_added or self.document_changed)


def import_collections(
    connection: Connection, document: CollectionsDocument, *, actor: str, dry_run: bool = False
) -> ImportReport:
    """Make the json collections of the database those of `document`; nothing is ever deleted.

    `connection` is an idle autocommit one. With `dry_run` the same is compared, nothing written, no row locked. Raises
    InvalidInputError if a name belongs to a collection of the database, MissingError if the schema is not there,
    RagopsError as `translate_errors`.
    """
    with translate_errors(f"import of {document.path}"), connection.transaction(force_rollback=dry_run):
        _require_schema(connection)
        connection.execute("SELECT set_config('ragops.actor', %s, true), set_config('work_mem', '64MB', true)", [actor])
        if not dry_run:
            # Readers continue; other writers wait, so that what is compared here is what is written over.
            connection.execute("LOCK TABLE rag.collections, rag.collection_defaults IN SHARE ROW EXCLUSIVE MODE")
        _stage(connection, document)
        _refuse_conflicts(connection, document)
        report = _compare(connection, document, dry_run)
        if report.writes and not dry_run:
            _write(connection, document)
            _audit(connection, report)
    return report


def _require_schema(connection: Connection) -> None:
    if not fetch_value(connection, "SELECT to_regclass('rag.audit_log') IS NOT NULL"):
        raise missing_schema(connection)


def _stage(connection: Connection, document: CollectionsDocument) -> None:
    connection.execute(_STAGED)
    columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    with connection.cursor().copy(sql.SQL("COPY staged ({}) FROM STDIN").format(columns)) as copy:
        while block := document.rows.read(_BLOCK):
            copy.write(block)
    connection.execute("ANALYZE staged")


def _refuse_conflicts(connection: Connection, document: CollectionsDocument) -> None:
    rows = connection.execute(
        "SELECT s.position, s.line, s.name, c.name FROM staged s JOIN rag.collections c"
        " ON lower(c.name) = lower(s.name) AND (c.source <> 'json' OR c.name <> s.name) ORDER BY s.position"
    )
    problems = [
        Problem(
            f"{document.path}:{line}",
            f"collections[{position}].name",
            f"expected a name that the database does not own, found {found(name)}, a collection made there"
            if name == there
            else f"expected a name of its own, found {found(name)}: there is a collection {there}",
        )
        for position, line, name, there in rows
    ]
    if problems:
        hint = "rename it in the file or take it out; `ragops collection set` changes those of the database"
        what = "some names are taken by other collections of the database"
        message = f"cannot import {document.path}: {what}; nothing was imported"
        raise InvalidInputError("collections_conflict", message, problems, hint)


def _compare(connection: Connection, document: CollectionsDocument, dry_run: bool) -> ImportReport:
    added = fetch_column(
        connection,
        "SELECT s.name FROM staged s LEFT JOIN rag.collections c USING (name) WHERE c.id IS NULL ORDER BY s.position",
    )
    absent = fetch_column(
        connection,
        "SELECT c.name FROM rag.collections c LEFT JOIN staged s USING (name)"
        " WHERE c.source = 'json' AND s.name IS NULL ORDER BY c.name",
    )
    models = fetch_column(
        connection,
        "SELECT DISTINCT s.embedding_model FROM staged s LEFT JOIN rag.embedding_models m"
        " ON m.name = s.embedding_model WHERE m.id IS NULL ORDER BY 1",
    )
    is_same = fetch_value(
        connection,
        "SELECT EXISTS (SELECT FROM rag.collection_defaults WHERE defaults = %s AND extra = %s)",
        [Jsonb(document.defaults), Jsonb(document.extra)],
    )
    changed = _changes(connection)
    return ImportReport(
        file=str(document.path),
        sha256=document.sha256,
        dry_run=dry_run,
        added=tuple(added),
        changed=changed,
        unchanged=document.count - len(added) - len(changed),
        absent=tuple(absent),
        models_added=tuple(models),
        document_changed=not is_same,
        unread_keys=document.unread,
    )


def _changes(connection: Connection) -> tuple[CollectionChange, ...]:
    pairs = sql.SQL(", ").join(
        sql.SQL("({key}, to_jsonb(c.{column}), to_jsonb(s.{column}))").format(
            key=sql.Literal(_KEYS[column]), column=sql.Identifier(column)
        )
        for column in _DECIDED
    )
    query = sql.SQL(
        "SELECT s.name, jsonb_agg(jsonb_build_array(f.key, f.old, f.new))"
        " FROM staged s JOIN rag.collections c USING (name)"
        " CROSS JOIN LATERAL (VALUES {}) AS f (key, old, new)"
        " WHERE {} AND f.old IS DISTINCT FROM f.new GROUP BY s.position, s.name ORDER BY s.position"
    ).format(pairs, _differs())
    return tuple(
        CollectionChange(name, tuple(FieldChange(*change) for change in changes))
        for name, changes in connection.execute(query)
    )


def _differs() -> sql.Composed:
    return sql.SQL("({}) IS DISTINCT FROM ({})").format(_columns("c."), _columns("s."))


def _columns(prefix: LiteralString = "") -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL(prefix) + sql.Identifier(column) for column in _DECIDED)


def _write(connection: Connection, document: CollectionsDocument) -> None:
    connection.execute(
        "INSERT INTO rag.embedding_models (name) SELECT DISTINCT embedding_model FROM staged"
        " ON CONFLICT (name) DO NOTHING"
    )
    # Only rows that differ go in: a conflict costs an identity value and a dead row each.
    connection.execute(
        sql.SQL(
            "INSERT INTO rag.collections AS c (name, source, {columns})"
            " SELECT s.name, 'json', {staged} FROM staged s LEFT JOIN rag.collections c USING (name)"
            " WHERE c.id IS NULL OR {differs} ORDER BY s.position"
            " ON CONFLICT (name) DO UPDATE SET ({columns}) = ({excluded})"
        ).format(columns=_columns(), staged=_columns("s."), differs=_differs(), excluded=_columns("excluded."))
    )
    connection.execute(
        "INSERT INTO rag.collection_defaults AS d (defaults, extra) VALUES (%s, %s)"
        " ON CONFLICT (id) DO UPDATE SET defaults = excluded.defaults, extra = excluded.extra"
        " WHERE (d.defaults, d.extra) IS DISTINCT FROM (excluded.defaults, excluded.extra)",
        [Jsonb(document.defaults), Jsonb(document.extra)],
    )


def _audit(connection: Connection, report: ImportReport) -> None:
    summary = {
        "file": report.file, "sha256": report.sha256, "added": len(report.added), "changed": len(report.changed),
        "unchanged": report.unchanged, "absent": len(report.absent), "models_added": list(report.models_added),
    }  # fmt: skip
    connection.execute(
        "INSERT INTO rag.audit_log (table_name, row_key, action, new_row) VALUES ('collections', %s, 'import', %s)",
        [report.file, json.dumps(summary)],
    )
