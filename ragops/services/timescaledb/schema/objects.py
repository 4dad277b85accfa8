"""What the applied migrations have made, and which of it is not in the database any more.

The list is read out of the migration files, so that it cannot fall behind them: tables with their columns, primary and
foreign keys, views, functions, triggers and named indexes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from ragops.adapters.postgres import fetch_column
from ragops.services.timescaledb.schema.migration_files import load_migrations, statements

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from ragops.adapters.postgres import Connection

_TABLE = re.compile(r"CREATE TABLE (rag\.\w+)\s*(\((?P<body>.*)\))?", re.DOTALL)
_VIEW = re.compile(r"CREATE (?:MATERIALIZED )?VIEW (rag\.\w+)")
_INDEX = re.compile(r"CREATE (?:UNIQUE )?INDEX (\w+) ON rag\.")
_FUNCTION = re.compile(r"CREATE FUNCTION (rag\.\w+)\(")
_TRIGGER = re.compile(r"CREATE TRIGGER (\w+) .*? ON (rag\.\w+)", re.DOTALL)
_COMMENT = re.compile(r"--[^\n]*")
_NO_COLUMN = ("CONSTRAINT", "PRIMARY", "FOREIGN", "UNIQUE", "CHECK", "EXCLUDE")


@dataclass
class Objects:
    """Names of what there has to be; `foreign_keys` by table, columns as `rag.table.column`, triggers with tables."""

    relations: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    triggers: list[tuple[str, str]] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    foreign_keys: dict[str, int] = field(default_factory=dict)

    def add(self, text: str) -> None:
        """Add what a statement of a migration makes."""
        if table := _TABLE.match(text):
            body = table["body"] or ""
            self.relations.append(table[1])
            self.columns += [f"{table[1]}.{name}" for name in _columns(body)]
            if "PRIMARY KEY" in body:
                self.keys.append(table[1])
            if references := body.count(" REFERENCES "):
                self.foreign_keys[table[1]] = references
        elif view := _VIEW.match(text):
            self.relations.append(view[1])
        elif index := _INDEX.match(text):
            self.indexes.append(index[1])
        elif function := _FUNCTION.match(text):
            self.functions.append(function[1])
        elif trigger := _TRIGGER.match(text):
            self.triggers.append((trigger[1], trigger[2]))


@dataclass(frozen=True)
class Missing:
    """Descriptions of what is gone: without `needed` requests fail, without `slow` they are slow."""

    needed: tuple[str, ...] = ()
    slow: tuple[str, ...] = ()

    @property
    def every(self) -> tuple[str, ...]:
        """All of it."""
        return (*self.needed, *self.slow)


def find_missing(connection: Connection, edition: str, applied: Collection[int]) -> Missing:
    """Return what the migrations with the versions `applied` have made and is gone. Raises psycopg.Error."""
    wanted = find_expected(edition, frozenset(applied))
    gone = _find_gone(connection, "table or view", wanted.relations)
    tables = {name for name in wanted.relations if name not in gone}

    def of_tables(names: Iterable[str]) -> list[str]:
        return [name for name in names if name in tables]

    columns = [name for name in wanted.columns if name.rpartition(".")[0] in tables]
    triggers = [f"{name} on {table}" for name, table in wanted.triggers if table in tables]
    keys = [f"{name} {wanted.foreign_keys[name]}" for name in of_tables(wanted.foreign_keys)]
    found = {
        "table or view": gone,
        "column": _find_gone(connection, "column", columns),
        "function": _find_gone(connection, "function", wanted.functions),
        "trigger": _find_gone(connection, "trigger", triggers),
        "primary key": _find_gone(connection, "primary key", of_tables(wanted.keys)),
        "foreign key": [name.partition(" ")[0] for name in _find_gone(connection, "foreign key", keys)],
    }
    # An index goes with its table; a second message would not help.
    indexes = [] if gone else _find_gone(connection, "table or view", [f"rag.{name}" for name in wanted.indexes])
    needed = tuple(f"{name} ({kind})" for kind, names in found.items() for name in names)
    return Missing(needed, tuple(f"{name} (index)" for name in indexes))


@lru_cache(maxsize=8)
def find_expected(edition: str, applied: frozenset[int]) -> Objects:
    """Return the objects that those migrations make for this edition."""
    found = Objects()
    for migration in load_migrations():
        if migration.version in applied:
            for statement in statements(migration.render(edition)):
                found.add(_COMMENT.sub("", statement.text))
    return found


def _columns(body: str) -> Iterator[str]:
    """Yield the first word of each item of a table's body that is a column."""
    depth, item = 0, ""
    for letter in f"{body},":
        if letter == "," and depth == 0:
            word = item.split(maxsplit=1)[0] if item.split() else ""
            if word and word.upper() not in _NO_COLUMN:
                yield word
            item = ""
            continue
        depth += {"(": 1, ")": -1}.get(letter, 0)
        item += letter


# --- what is not there -----------------------------------------------------------------------------------------------

# When the object `name` is gone, by kind: a column is `rag.table.column`, a trigger `name on rag.table`, foreign keys
# are `rag.table NUMBER`.
_GONE = {
    "table or view": "to_regclass(name) IS NULL",
    "column": """NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = to_regclass(split_part(name, '.', 1) || '.' || split_part(name, '.', 2))
        AND attname = split_part(name, '.', 3) AND NOT attisdropped)""",
    "function": """NOT EXISTS (
        SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname || '.' || p.proname = name)""",
    "trigger": """NOT EXISTS (
        SELECT FROM pg_trigger
        WHERE tgrelid = to_regclass(split_part(name, ' on ', 2)) AND tgname = split_part(name, ' on ', 1))""",
    "primary key": """NOT EXISTS (
        SELECT FROM pg_constraint WHERE conrelid = to_regclass(name) AND contype = 'p')""",
    "foreign key": """split_part(name, ' ', 2)::int > (
        SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass(split_part(name, ' ', 1)) AND contype = 'f')""",
}


def _find_gone(connection: Connection, kind: str, names: Iterable[str]) -> list[str]:
    query = f"SELECT name FROM unnest(%s::text[]) WITH ORDINALITY AS wanted (name, place) WHERE {_GONE[kind]}"  # noqa: S608
    return fetch_column(connection, f"{query} ORDER BY place", [list(names)])
