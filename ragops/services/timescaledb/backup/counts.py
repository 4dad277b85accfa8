"""Contents of a database: rows of every table of its users, indexes and constraints, versions."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from psycopg import IsolationLevel, sql

from ragops.adapters.postgres import fetch_column, fetch_value
from ragops.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ragops.adapters.postgres import Connection

SERVER = "postgresql"  # the server itself among the versions
LARGE_OBJECTS = "large objects"
_SOME_MISSING = ("indexes", "constraints")  # a restore may lack some of them, with a note on each

# Locks that one transaction of a count may take: a chunk with its indexes has a dozen, and the server keeps a table of
# all of them whose size is fixed.
_LOCKS = 400

# Of users: not the system's, not TimescaleDB's own (whose chunks a hypertable's count includes), not an extension's.
OF_USERS = """
    n.nspname <> 'information_schema' AND n.nspname !~ '^(pg_|_timescaledb_)'
    AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
"""
# A partition that is half detached belongs to no table any more, for queries from now on.
_TABLES = f"""
    WITH RECURSIVE tops AS (
        SELECT c.oid, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {OF_USERS} AND (
            NOT c.relispartition
            OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid AND i.inhdetachpending)
        )
    ), tree(top, member) AS (
        SELECT oid, oid FROM tops
        UNION
        SELECT t.top, i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.member AND NOT i.inhdetachpending
    )
    SELECT tops.nspname, tops.relname, n.nspname, m.relname,
           1 + (SELECT count(*) FROM pg_index x WHERE x.indrelid = m.oid)
    FROM tops LEFT JOIN (tree JOIN pg_class m ON m.oid = tree.member AND m.relkind = 'r'
        JOIN pg_namespace n ON n.oid = m.relnamespace) ON tree.top = tops.oid
    ORDER BY 1, 2, 3, 4
"""  # noqa: S608  both parts are constants
# Those that a dump contains: pg_dump leaves out what a failed CREATE INDEX CONCURRENTLY has left.
_INDEXES = f"""
    SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relpersistence <> 't' AND (i.indisvalid OR c.relkind = 'p') AND i.indisready AND {OF_USERS}
"""  # noqa: S608
# Without NOT NULL, which is a constraint in some versions only.
_CONSTRAINTS = f"""
    SELECT count(*) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n
    ON n.oid = c.relnamespace WHERE k.contype <> 'n' AND c.relpersistence <> 't' AND {OF_USERS}
"""  # noqa: S608
_INVALID = """
    SELECT format('%I.%I', n.nspname, x.relname) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
    WHERE NOT (i.indisvalid AND i.indisready) AND c.relkind <> 'p' AND c.relpersistence <> 't'
    AND n.nspname !~ '^pg_' AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = x.oid)
    ORDER BY 1
"""


class _Member(NamedTuple):
    """A table that holds rows of `table`, and the locks that reading it takes."""

    table: tuple[str, str]
    schema: str | None
    name: str
    locks: int


def counts(connection: Connection, snapshot: str = "", only: str = "") -> dict[str, int]:
    """Count the rows by `schema.table`, and `indexes` and `constraints`; `large objects` if there are some.

    `connection` is in autocommit and in no transaction; all is as of the exported `snapshot`. Tables are counted part
    by part in transactions of their own, since locks of thousands of chunks do not fit into one. `only` is the one
    table to be counted.
    """
    with _at(connection, snapshot):
        members = [
            _Member((row[0], row[1]), row[2], row[3], int(row[4])) for row in connection.execute(_TABLES).fetchall()
        ]
        indexes, constraints = fetch_value(connection, _INDEXES), fetch_value(connection, _CONSTRAINTS)
        members = [member for member in members if only in ("", ".".join(member.table))]
        objects = fetch_value(connection, "SELECT count(*) FROM pg_largeobject_metadata")
    found = dict.fromkeys((member.table for member in members), 0)
    for batch in _batches([member for member in members if member.schema is not None]):
        parts = sql.SQL(", ").join(_count(member) for member in batch)
        with _at(connection, snapshot):
            row = connection.execute(sql.SQL("SELECT {}").format(parts)).fetchone() or ()
        for member, number in zip(batch, row, strict=True):
            found[member.table] += int(number)
    named = {".".join(table): number for table, number in found.items()}
    more = {LARGE_OBJECTS: objects} if objects else {}
    return {**named, "indexes": indexes, "constraints": constraints, **more}


def _count(member: _Member) -> sql.Composed:
    """Its own rows: those of tables below it are members of their own. What a chunk has compressed counts as its."""
    schema = member.schema or ""
    only = sql.SQL("" if schema.startswith("_timescaledb_") else "ONLY ")
    return sql.SQL("(SELECT count(*) FROM {}{})").format(only, sql.Identifier(schema, member.name))


def _batches(members: list[_Member]) -> Iterator[list[_Member]]:
    batch: list[_Member] = []
    locks = 0
    for member in members:
        if batch and locks + member.locks > _LOCKS:
            yield batch
            batch, locks = [], 0
        batch.append(member)
        locks += 2 * member.locks  # a chunk may have another table that holds what is compressed
    if batch:
        yield batch


@contextmanager
def _at(connection: Connection, snapshot: str) -> Iterator[None]:
    """Run a short transaction that sees what `snapshot` sees, or what is there now."""
    if not snapshot:
        with connection.transaction():
            yield
        return
    before = connection.isolation_level, connection.read_only
    connection.isolation_level, connection.read_only = IsolationLevel.REPEATABLE_READ, True
    try:
        with connection.transaction():
            connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
            yield
    finally:
        if not connection.closed:
            connection.isolation_level, connection.read_only = before


def invalid_indexes(connection: Connection) -> list[str]:
    """Indexes that no query uses and no dump contains, quoted; not those that are being made now."""
    return fetch_column(connection, _INVALID)


def versions(connection: Connection, engine: str) -> dict[str, str]:
    """First the engine's version, then the server's under SERVER, every extension's under `extension.<name>`.

    `build` differs between images with different C libraries, in whose order of letters old indexes may not be read.
    """
    rows = connection.execute("SELECT extname, extversion FROM pg_extension ORDER BY 1").fetchall()
    extensions = {f"extension.{name}": version for name, version in rows}
    server = {SERVER: server_version(connection)}
    if engine == SERVER:
        return {**server, **extensions}
    return {engine: extensions.get(f"extension.{engine}", ""), **server, "build": _build(connection), **extensions}


def _build(connection: Connection) -> str:
    """Return the build, such as x86_64-pc-linux-musl, from `PostgreSQL 17.5 on x86_64-pc-linux-musl, compiled by …`."""
    return str(fetch_value(connection, "SELECT version()")).partition(" on ")[2].partition(",")[0]


def server_version(connection: Connection) -> str:
    """Return the version, such as 18.4, without the suffix of a distribution."""
    return str(fetch_value(connection, "SHOW server_version")).split()[0]


def available_extensions(connection: Connection) -> set[tuple[str, str]]:
    """Names and versions of the extensions that can be made here."""
    return set(connection.execute("SELECT name, version FROM pg_available_extension_versions").fetchall())


def compare(expected: Mapping[str, int], found: Mapping[str, int], *, lenient: bool = False) -> list[str]:
    """Return notes on indexes and constraints that are fewer, if that is allowed.

    Raises IntegrityError (counts_differ).
    """
    faults, notes = [], []
    for kind in sorted(expected.keys() | found.keys() - {LARGE_OBJECTS}):
        number, wanted = found.get(kind), expected.get(kind)
        if number == wanted:
            continue
        if lenient and kind in _SOME_MISSING and (number or 0) < (wanted or 0):
            notes.append(f"{number} of {wanted} {kind} came back")
        else:
            faults.append(f"{kind}: {number}, not {wanted}")
    if faults:
        what = f"cannot accept the restored database: its counts are not those of the manifest, {', '.join(faults)}"
        raise IntegrityError("counts_differ", what, "nothing was replaced; use another recovery point")
    return notes
