"""What the applied migrations have made, and which of it is not in the database any more.

The list is read out of the migration files, so that it cannot fall behind them: tables with their columns, primary and
foreign keys, views, functions, triggers and named indexes.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from ragops.services.timescaledb.migration_files import load_migrations, statements

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ragops.adapters.postgres import Connection

_TABLE = re.compile(r"CREATE TABLE (rag\.\w+)\s*(\((?P<body>.*)\))?", re.DOTALL)
_VIEW = re.compile(r"CREATE (?:MATERIALIZED )?VIEW (rag\.\w+)")
_INDEX = re.compile(r"CREATE (?:UNIQUE )?INDEX (\w+) ON rag\.")
_FUNCTION = re.compile(r"CREATE FUNCTION (rag\.\w+)\(")
_TRIGGER = re.compile(r"CREATE TRIGGER (\w+) .*? ON (rag\.\w+)", re.DOTALL)
_COMMENT = re.compile(r"--[^\n]*")
_NO_COLUMN = ("CONSTRAINT", "PRIMARY", "FOREIGN", "UNIQUE", "CHECK", "EXCLUDE")


@dataclass(frozen=True)
class Objects:
    """Names of what there has to be; `foreign_keys` by table, columns as `rag.table.column`."""

    relations: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    triggers: tuple[tuple[str, str], ...] = ()
    indexes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    foreign_keys: dict[str, int] = field(default_factory=dict)


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
    gone = set(_absent(connection, wanted.relations))
    tables = {name for name in wanted.relations if name not in gone}
    needed = [f"{name} (table or view)" for name in wanted.relations if name in gone]
    columns = [name for name in wanted.columns if name.rpartition(".")[0] in tables]
    needed += [f"{name} (column)" for name in _absent_columns(connection, columns)]
    needed += [f"{name} (function)" for name in _absent_functions(connection, wanted.functions)]
    triggers = [pair for pair in wanted.triggers if pair[1] in tables]
    needed += [f"{name} on {table} (trigger)" for name, table in _absent_triggers(connection, triggers)]
    needed += [f"{name} (primary key)" for name in _absent_keys(connection, wanted.keys, tables)]
    foreign = {name: count for name, count in wanted.foreign_keys.items() if name in tables}
    needed += [f"{name} (foreign key)" for name in _lacking_foreign_keys(connection, foreign)]
    slow = [f"{name} (index)" for name in _absent(connection, [f"rag.{name}" for name in wanted.indexes])]
    # An index goes with its table; a second message would not help.
    return Missing(tuple(needed), tuple(slow) if not gone else ())


@lru_cache(maxsize=8)
def find_expected(edition: str, applied: frozenset[int]) -> Objects:
    """Return the objects that those migrations make for this edition."""
    found: dict[str, list[str]] = {"relations": [], "columns": [], "functions": [], "indexes": [], "keys": []}
    triggers: list[tuple[str, str]] = []
    foreign: Counter[str] = Counter()
    for migration in load_migrations():
        if migration.version in applied:
            for statement in statements(migration.render(edition)):
                _read(_COMMENT.sub("", statement.text), found, triggers, foreign)
    lists = {name: tuple(names) for name, names in found.items()}
    return Objects(**lists, triggers=tuple(triggers), foreign_keys=dict(foreign))


def _read(text: str, found: dict[str, list[str]], triggers: list[tuple[str, str]], foreign: Counter[str]) -> None:
    if table := _TABLE.match(text):
        found["relations"].append(table[1])
        body = table["body"] or ""
        found["columns"] += [f"{table[1]}.{name}" for name in _columns(body)]
        if "PRIMARY KEY" in body:
            found["keys"].append(table[1])
        if references := body.count(" REFERENCES "):
            foreign[table[1]] = references
    elif view := _VIEW.match(text):
        found["relations"].append(view[1])
    elif index := _INDEX.match(text):
        found["indexes"].append(index[1])
    elif function := _FUNCTION.match(text):
        found["functions"].append(function[1])
    elif trigger := _TRIGGER.match(text):
        triggers.append((trigger[1], trigger[2]))


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


def _absent(connection: Connection, names: Collection[str]) -> list[str]:
    query = (
        "SELECT name FROM unnest(%s::text[]) WITH ORDINALITY AS wanted (name, place) WHERE to_regclass(name) IS NULL"
    )
    return [name for (name,) in connection.execute(f"{query} ORDER BY place", [list(names)])]


def _absent_columns(connection: Connection, names: Collection[str]) -> list[str]:
    query = (
        "SELECT name FROM unnest(%s::text[]) AS name WHERE NOT EXISTS (SELECT FROM pg_attribute WHERE"
        " attrelid = to_regclass(split_part(name, '.', 1) || '.' || split_part(name, '.', 2))"
        " AND attname = split_part(name, '.', 3) AND NOT attisdropped) ORDER BY 1"
    )
    return [name for (name,) in connection.execute(query, [list(names)])]


def _absent_functions(connection: Connection, names: Collection[str]) -> list[str]:
    query = (
        "SELECT name FROM unnest(%s::text[]) AS name WHERE NOT EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n"
        " ON n.oid = p.pronamespace WHERE n.nspname || '.' || p.proname = name) ORDER BY 1"
    )
    return [name for (name,) in connection.execute(query, [list(names)])]


def _absent_triggers(connection: Connection, pairs: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    query = (
        "SELECT name, tab FROM unnest(%s::text[], %s::text[]) AS wanted (name, tab) WHERE NOT EXISTS"
        " (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(tab) AND tgname = name) ORDER BY 2, 1"
    )
    values = [[name for name, _ in pairs], [table for _, table in pairs]]
    return [(name, table) for name, table in connection.execute(query, values)]


def _absent_keys(connection: Connection, tables: Collection[str], there: Collection[str]) -> list[str]:
    query = (
        "SELECT tab FROM unnest(%s::text[]) AS tab WHERE NOT EXISTS (SELECT FROM pg_constraint"
        " WHERE conrelid = to_regclass(tab) AND contype = 'p') ORDER BY 1"
    )
    wanted = [table for table in tables if table in there]
    return [name for (name,) in connection.execute(query, [wanted])]


def _lacking_foreign_keys(connection: Connection, wanted: dict[str, int]) -> list[str]:
    query = (
        "SELECT tab FROM unnest(%s::text[], %s::int[]) AS wanted (tab, number) WHERE number > (SELECT count(*)"
        " FROM pg_constraint WHERE conrelid = to_regclass(tab) AND contype = 'f') ORDER BY 1"
    )
    return [name for (name,) in connection.execute(query, [list(wanted), list(wanted.values())])]
