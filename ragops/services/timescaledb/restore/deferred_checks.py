"""Checks of tables and domains that wait until all rows are back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Collection

    from ragops.adapters.postgres import Connection

# Of what inherits one there is no note: it goes and comes back with that of its parent.
_PRESENT = """
    SELECT c.relkind::text, format('%I.%I', n.nspname, c.relname), k.conname, pg_get_constraintdef(k.oid),
           coalesce(obj_description(k.oid, 'pg_constraint'), '')
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE k.contype = 'c' AND k.conislocal AND k.coninhcount = 0 AND n.nspname !~ '^(pg_|_timescaledb_)'
    AND n.nspname <> 'information_schema' AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'd', format('%I.%I', n.nspname, t.typname), k.conname, pg_get_constraintdef(k.oid),
           coalesce(obj_description(k.oid, 'pg_constraint'), '')
    FROM pg_constraint k JOIN pg_type t ON t.oid = k.contypid JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE k.contype = 'c' AND n.nspname !~ '^(pg_|_timescaledb_)' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
    ORDER BY 2, 3
"""


@dataclass(frozen=True)
class Check:
    """A check of `owner` (quoted), a table, a foreign table or a domain by `kind`."""

    kind: str
    owner: str
    name: str
    definition: str
    comment: str

    @property
    def target(self) -> sql.Composable:
        """The arguments of ALTER."""
        word = {"d": "DOMAIN", "f": "FOREIGN TABLE"}.get(self.kind, "TABLE")
        return sql.SQL(f"{word} {self.owner}")

    def drop(self, connection: Connection) -> None:
        """Let rows come without it."""
        statement = sql.SQL("ALTER {} DROP CONSTRAINT {}")
        connection.execute(statement.format(self.target, sql.Identifier(self.name)))

    def put_back(self, connection: Connection) -> list[str]:
        """Make it again; for new rows alone if old ones do not pass it. Returns a note on that."""
        notes = []
        try:
            self._add(connection, "")
        except psycopg.Error as error:
            if connection.closed:
                raise
            self._add(connection, " NOT VALID")
            reason = error.diag.message_primary
            notes.append(f"the check {self.name} of {self.owner} holds for new rows only (NOT VALID): {reason}")
        if self.comment:
            on = sql.SQL("DOMAIN " if self.kind == "d" else "") + sql.SQL(self.owner)
            statement = sql.SQL("COMMENT ON CONSTRAINT {} ON {} IS {}")
            connection.execute(statement.format(sql.Identifier(self.name), on, sql.Literal(self.comment)))
        return notes

    def _add(self, connection: Connection, more: str) -> None:
        definition = sql.SQL(self.definition + more)
        statement = sql.SQL("ALTER {} ADD CONSTRAINT {} {}")
        connection.execute(statement.format(self.target, sql.Identifier(self.name), definition))


def put_aside(connection: Connection, wanted: Collection[tuple[str, str]] | None) -> list[Check]:
    """Drop the checks `wanted` (owner and name), or all; returns them in the order in which they went.

    One that a child has of its own as well as from its parent shows only when the parent's is gone.
    """
    gone: list[Check] = []
    while True:
        present = [Check(*row) for row in connection.execute(_PRESENT).fetchall()]
        found = [check for check in present if wanted is None or (check.owner, check.name) in wanted]
        if not found:
            return gone
        for check in found:
            check.drop(connection)
        gone += found
