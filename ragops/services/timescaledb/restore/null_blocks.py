"""Compressed columns that are NULL everywhere, which TimescaleDB before 2.20.3 dumps and cannot read again.

It writes one byte in place of such a block, and its own input function refuses that byte (timescaledb 8893). A block
that is NULL means the same: so the columns take text while they are filled, and get their type back without that byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from ragops.services.timescaledb.backup import dump_warnings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ragops.adapters.postgres import Connection
    from ragops.errors import RagopsError

_BLOCK = "Bg=="  # one byte, the number of the algorithm for NULL, as base64
_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}
_COLUMNS = """
    SELECT cn.nspname, c.relname, a.attname, a.attstorage::text, coalesce(a.attstattarget, -1)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
    JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace tn ON tn.oid = t.typnamespace
    WHERE t.typname = 'compressed_data' AND tn.nspname = '_timescaledb_internal' AND c.relkind = 'r'
    AND NOT a.attisdropped ORDER BY 1, 2, a.attnum
"""


@dataclass(frozen=True)
class Column:
    """A column of compressed blocks; `storage` and `statistics` as they were."""

    name: str
    storage: str
    statistics: int


@dataclass(frozen=True)
class Loosened:
    """A table whose compressed columns take text."""

    schema: str
    table: str
    columns: tuple[Column, ...]

    @property
    def name(self) -> sql.Identifier:
        """Its name in SQL."""
        return sql.Identifier(self.schema, self.table)


def is_cause(error: RagopsError) -> bool:
    """Whether a restore failed because of such a block."""
    return "compress_hyper" in error.message and "returned NULL" in error.message


def loosen(connection: Connection) -> tuple[Loosened, ...]:
    """Have the compressed columns of all tables, which are empty yet, take text; none if the server reads all."""
    version = dump_warnings.timescale_version(connection)
    if not version or version >= dump_warnings.RESTORES_SINCE:
        return ()
    found: dict[tuple[str, str], list[Column]] = {}
    for schema, table, name, storage, statistics in connection.execute(_COLUMNS).fetchall():
        found.setdefault((schema, table), []).append(Column(name, storage, statistics))
    loosened = tuple(Loosened(schema, table, tuple(columns)) for (schema, table), columns in found.items())
    for one in loosened:  # each a transaction of its own: thousands of chunks would need as many locks
        steps = (
            sql.SQL("ALTER {0} TYPE text, ALTER {0} SET STORAGE EXTERNAL").format(sql.Identifier(column.name))
            for column in one.columns
        )
        _alter(connection, one, steps)
    return loosened


def tighten(connection: Connection, loosened: Iterable[Loosened]) -> None:
    """Give the columns their type again, with NULL instead of the byte for it."""
    step = sql.SQL(
        "ALTER {0} TYPE _timescaledb_internal.compressed_data"
        " USING nullif({0}, {1})::_timescaledb_internal.compressed_data,"
        " ALTER {0} SET STORAGE {2}, ALTER {0} SET STATISTICS {3}"
    )
    for one in loosened:
        steps = (
            step.format(
                sql.Identifier(column.name), sql.Literal(_BLOCK), sql.SQL(_STORAGE[column.storage]),
                sql.Literal(column.statistics),
            )
            for column in one.columns
        )  # fmt: skip
        _alter(connection, one, steps)


def _alter(connection: Connection, one: Loosened, steps: Iterable[sql.Composed]) -> None:
    connection.execute(sql.SQL("ALTER TABLE {} {}").format(one.name, sql.SQL(", ").join(steps)))
