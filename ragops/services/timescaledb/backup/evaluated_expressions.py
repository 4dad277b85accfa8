"""What the server evaluates while rows come back: checks, generated columns, expression indexes, materialized views.

pg_restore works with an empty search_path and loads tables in an order that has nothing to do with what functions read.
A function that uses a name without its schema, or reads a table, then fails or finds nothing, though the data are good.
So at a restore such functions get the search_path that sessions have, such checks wait until all rows are there, and
what generated columns read comes first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ragops.adapters.postgres import Connection

Table = tuple[str, str]  # schema and name

_FUNCTIONS = """
    SELECT p.oid, format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), p.proname,
           p.prokind, coalesce(p.prosrc, ''), coalesce(p.proconfig::text, '') ~ 'search_path=',
           (to_jsonb(p) ->> 'prosqlbody') IS NOT NULL, l.lanname,
           ARRAY(SELECT x FROM pg_aggregate a, unnest(ARRAY[a.aggtransfn::oid, a.aggfinalfn::oid, a.aggcombinefn::oid])
                 AS x WHERE a.aggfnoid = p.oid)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
    WHERE n.nspname !~ '^(pg_|_?timescaledb_)' AND n.nspname <> 'information_schema' AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
"""
_RELATIONS = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^(pg_|_timescaledb_)'
    AND n.nspname <> 'information_schema'
"""
_TYPES = """
    SELECT t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE n.nspname !~ '^(pg_|_timescaledb_)' AND n.nspname <> 'information_schema' AND t.typtype IN ('d', 'e', 'r')
"""
# Functions that a statement of a restore may call, directly or by an operator, and for what.
_USES = """
    WITH uses AS (
        SELECT classid, objid, objsubid, refobjid AS function FROM pg_depend WHERE refclassid = 'pg_proc'::regclass
        UNION
        SELECT d.classid, d.objid, d.objsubid, o.oprcode::oid FROM pg_depend d JOIN pg_operator o ON o.oid = d.refobjid
        WHERE d.refclassid = 'pg_operator'::regclass
    )
    SELECT u.function, 'check', format('%I.%I', n.nspname, c.relname), k.conname, n.nspname, c.relname
    FROM uses u JOIN pg_constraint k ON u.classid = 'pg_constraint'::regclass AND k.oid = u.objid AND k.contype = 'c'
    JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    UNION ALL
    SELECT u.function, 'domain', format('%I.%I', n.nspname, t.typname), k.conname, n.nspname, t.typname
    FROM uses u JOIN pg_constraint k ON u.classid = 'pg_constraint'::regclass AND k.oid = u.objid AND k.contype = 'c'
    JOIN pg_type t ON t.oid = k.contypid JOIN pg_namespace n ON n.oid = t.typnamespace
    UNION ALL
    SELECT u.function, 'column', format('%I.%I', n.nspname, c.relname), a.attname, n.nspname, c.relname
    FROM uses u JOIN pg_attrdef f ON u.classid = 'pg_attrdef'::regclass AND f.oid = u.objid
    JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum AND a.attgenerated = 's'
    JOIN pg_class c ON c.oid = f.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    UNION ALL
    SELECT u.function, CASE c.relkind WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' ELSE 'partition' END,
           format('%I.%I', n.nspname, c.relname), '', n.nspname, c.relname
    FROM uses u JOIN pg_class c ON u.classid = 'pg_class'::regclass AND c.oid = u.objid AND c.relkind IN ('i','I','p')
    JOIN pg_namespace n ON n.oid = c.relnamespace
    UNION ALL
    SELECT u.function, 'view', format('%I.%I', n.nspname, c.relname), '', n.nspname, c.relname
    FROM uses u JOIN pg_rewrite r ON u.classid = 'pg_rewrite'::regclass AND r.oid = u.objid
    JOIN pg_class c ON c.oid = r.ev_class AND c.relkind = 'm' JOIN pg_namespace n ON n.oid = c.relnamespace
    UNION ALL
    SELECT u.function, 'statistics', format('%I.%I', n.nspname, s.stxname), '', n.nspname, s.stxname
    FROM uses u JOIN pg_statistic_ext s ON u.classid = 'pg_statistic_ext'::regclass AND s.oid = u.objid
    JOIN pg_namespace n ON n.oid = s.stxnamespace
"""
# Checks that are true at one time and not at another, or for one session: rows that are there may fail them.
_FLEETING = """
    SELECT format('%I.%I', n.nspname, c.relname), k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE k.contype = 'c' AND n.nspname !~ '^(pg_|_timescaledb_)'
    AND pg_get_constraintdef(k.oid) ~* '\\m(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday'
        '|age|random|current_(date|time|timestamp|user|role|setting|database|schema)|session_user|localtime(stamp)?)\\M'
"""
# What functions with a parsed body use, which have no text to look at.
_PARSED = """
    SELECT d.objid, coalesce(c.relname, p.proname) FROM pg_depend d
    LEFT JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid
    LEFT JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
    WHERE d.classid = 'pg_proc'::regclass AND coalesce(c.relname, p.proname) IS NOT NULL
"""
_WORD = re.compile(r'(\.\s*)?("(?:[^"]|"")+"|[^\W\d][\w$]*)')
_ABLE = ("p", "f")  # kinds of functions that take a setting
_TITLES = {
    "check": "the check {1} of {0}",
    "domain": "the check {1} of the domain {0}",
    "column": "the generated column {1} of {0}",
    "index": "the index {0}",
    "partition": "the partitions of {0}",
    "view": "the materialized view {0}",
    "statistics": "the statistics {0}",
}


@dataclass(frozen=True)
class Evaluated:
    """What of a database asks for care at a restore.

    `functions` (signatures) use names without a schema, `checks` are those of tables and domains as (owner, name) that
    have to wait for all rows, `levels` tables whose rows come before all others, in this order; `words` are what is
    concerned and why, one line for each object.
    """

    functions: tuple[str, ...] = ()
    all_functions: tuple[str, ...] = ()
    checks: tuple[tuple[str, str], ...] = ()
    levels: tuple[tuple[Table, ...], ...] = ()
    words: tuple[str, ...] = ()

    @property
    def needed(self) -> bool:
        """Whether a plain pg_restore would do it wrong."""
        return bool(self.functions or self.checks or self.levels)


@dataclass
class _Function:
    signature: str
    able: bool  # takes a search_path, and has none of its own
    bare: set[str]  # names without a schema
    named: set[str]
    parts: list[int]


def find_evaluated(connection: Connection) -> Evaluated:
    """Look at the definitions of all that is evaluated; text of functions is compared with names word by word."""
    relations = [(schema, name) for schema, name in connection.execute(_RELATIONS).fetchall()]
    types = {name for (name,) in connection.execute(_TYPES).fetchall()}
    rows = connection.execute(_FUNCTIONS).fetchall()
    names = {row[2] for row in rows} | {name for _, name in relations} | types
    functions = {row[0]: _function(row, names) for row in rows}
    for oid, name in connection.execute(_PARSED).fetchall():
        if oid in functions and name in names:
            functions[oid].named.add(name)
    fleeting = connection.execute(_FLEETING).fetchall()
    by_name: dict[str, set[int]] = {}
    for row in rows:
        by_name.setdefault(row[2], set()).add(row[0])
    uses = connection.execute(_USES).fetchall()
    return _judge(functions, by_name, relations, uses, [tuple(row) for row in fleeting])


def _function(row: tuple[Any, ...], names: set[str]) -> _Function:
    _, signature, own, kind, source, has_path, parsed, language, parts = row
    text = "" if parsed or language in ("c", "internal") else source
    bare, named = set(), set()
    for dotted, word in _WORD.findall(text):
        name = word[1:-1].replace('""', '"') if word.startswith('"') else word.lower()
        if name in names and name != own:
            named.add(name)
            if not dotted:
                bare.add(name)
    able = kind in _ABLE and not has_path and language not in ("c", "internal")
    return _Function(signature, able, set() if has_path else bare, named, list(parts))


def _judge(
    functions: dict[int, _Function],
    by_name: dict[str, set[int]],
    relations: list[Table],
    uses: list[tuple[Any, ...]],
    fleeting: list[tuple[Any, ...]],
) -> Evaluated:
    tables: dict[str, list[Table]] = {}
    for schema, name in relations:
        tables.setdefault(name, []).append((schema, name))
    setting: dict[str, None] = {}
    checks: dict[tuple[str, str], None] = {}
    first: dict[Table, set[Table]] = {}
    words: dict[str, None] = {}
    for function, kind, owner, name, schema, relation in uses:
        reached = _reach(function, functions, by_name)
        bare = [item for item in reached if item.bare]
        reads = {table for item in reached for word in item.named for table in tables.get(word, ())}
        setting.update(dict.fromkeys(item.signature for item in reached if item.able and item.bare))
        if not (bare or (reads and kind in ("check", "domain", "column", "partition"))):
            continue
        if kind in ("check", "domain"):
            checks[(owner, name)] = None
        if kind in ("column", "partition") and reads:
            first.setdefault((schema, relation), set()).update(reads - {(schema, relation)})
        words[_words(kind, owner, name, bare, functions.get(function))] = None
    for owner, name in fleeting:
        checks[(owner, name)] = None
        words[f"the check {name} of {owner} may hold today and not tomorrow: it is made after the rows"] = None
    signatures = tuple(item.signature for item in functions.values() if item.able)
    return Evaluated(tuple(setting), signatures, tuple(checks), _levels(first), tuple(words))


def _words(kind: str, owner: str, name: str, bare: list[_Function], function: _Function | None) -> str:
    what = _TITLES[kind].format(owner, name)
    if bare:
        used = ", ".join(sorted({word for item in bare for word in item.bare}))
        return f"{what} depends on the search_path: {bare[0].signature} uses {used} without a schema"
    return f"{what} reads other tables by {function.signature if function else 'a function'}: these come back first"


def _reach(function: int, functions: dict[int, _Function], by_name: dict[str, set[int]]) -> list[_Function]:
    """Return the function and all that it may call."""
    seen: dict[int, _Function] = {}
    waiting = [function]
    while waiting:
        oid = waiting.pop()
        if oid in seen or oid not in functions:
            continue
        found = seen[oid] = functions[oid]
        waiting += [*found.parts, *(other for name in found.named for other in by_name.get(name, ()))]
    return list(seen.values())


def _levels(first: dict[Table, set[Table]]) -> tuple[tuple[Table, ...], ...]:
    """Tables that others read, in an order in which each comes after what it reads itself; all else comes later."""
    wanted = {table for needed in first.values() for table in needed}
    graph = {table: first.get(table, set()) for table in wanted}
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError:
        return (tuple(sorted(wanted)),)  # no order suits all
    found = []
    while sorter.is_active():
        ready = sorter.get_ready()
        found.append(tuple(sorted(ready)))
        sorter.done(*ready)
    return tuple(level for level in found if level)


def describe(found: Evaluated) -> Iterable[str]:
    """Return a note on each, with the promise of a restore."""
    return (f"{line} (a restore takes care of it)" for line in found.words)
