"""Compressed columns that are NULL everywhere, which TimescaleDB before 2.20.3 dumps and cannot read again.

It writes one byte in place of such a block, and its own input function refuses that byte (timescaledb 8893). A block
that is NULL means the same: so the columns take text while they are filled, and get their type back without that byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from psycopg import sql

from ragops.services.timescaledb.backup import dump_warnings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ragops.adapters.postgres import Connection
    from ragops.errors import RagopsError

# Tables by schema and name, whose compressed columns (name, storage and statistics as they were) take text.
TextColumns: TypeAlias = "dict[tuple[str, str], list[tuple[str, str, int]]]"

_BLOCK = "Bg=="  # one byte, the number of the algorithm for NULL, as base64
_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}
_COLUMNS = """
    SELECT cn.nspname, c.relname, a.attname, a.attstorage::text, coalesce(a.attstattarget, -1)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
    JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace tn ON tn.oid = t.typnamespace
    WHERE t.typname = 'compressed_data' AND tn.nspname = '_timescaledb_internal' AND c.relkind = 'r'
    AND NOT a.attisdropped ORDER BY 1, 2, a.attnum
"""


def is_cause(error: RagopsError) -> bool:
    """Whether a restore failed because of such a block."""
    return "compress_hyper" in error.message and "returned NULL" in error.message


def use_text_columns(connection: Connection) -> TextColumns:
    """Have the compressed columns of all tables, which are empty yet, take text; none if the server reads all."""
    version = dump_warnings.timescale_version(connection)
    if not version or version >= dump_warnings.RESTORES_SINCE:
        return {}
    found: TextColumns = {}
    for schema, table, *column in connection.execute(_COLUMNS).fetchall():
        found.setdefault((schema, table), []).append((column[0], column[1], column[2]))
    step = sql.SQL("ALTER {0} TYPE text, ALTER {0} SET STORAGE EXTERNAL")
    for table, columns in found.items():  # each a transaction of its own: thousands of chunks would need as many locks
        _alter(connection, table, (step.format(sql.Identifier(name)) for name, _, _ in columns))
    return found


def restore_column_types(connection: Connection, columns_by_table: TextColumns) -> None:
    """Give the columns their type again, with NULL instead of the byte for it."""
    step = sql.SQL(
        "ALTER {0} TYPE _timescaledb_internal.compressed_data"
        " USING nullif({0}, {1})::_timescaledb_internal.compressed_data,"
        " ALTER {0} SET STORAGE {2}, ALTER {0} SET STATISTICS {3}"
    )
    for table, columns in columns_by_table.items():
        steps = (
            step.format(sql.Identifier(name), sql.Literal(_BLOCK), sql.SQL(_STORAGE[storage]), sql.Literal(statistics))
            for name, storage, statistics in columns
        )
        _alter(connection, table, steps)


def _alter(connection: Connection, table: tuple[str, str], steps: Iterable[sql.Composed]) -> None:
    statement = sql.SQL("ALTER TABLE {} {}")
    connection.execute(statement.format(sql.Identifier(*table), sql.SQL(", ").join(steps)))
