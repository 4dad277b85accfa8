"""What a database holds: rows of every table of its users, indexes and constraints, versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from ragops.adapters.postgres import Connection

SERVER = "postgresql"  # the server itself among the versions

# Of users: not the system's, not TimescaleDB's own (whose chunks a hypertable's count includes), not an extension's.
_OF_USERS = """
    n.nspname <> 'information_schema' AND n.nspname !~ '^(pg_|_timescaledb_)'
    AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
"""
_TABLES = f"""
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND {_OF_USERS} ORDER BY 1, 2
"""  # noqa: S608  both parts are constants
_INDEXES = f"""
    SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relpersistence <> 't' AND {_OF_USERS}
"""  # noqa: S608
# Without NOT NULL, which is a constraint in some versions only.
_CONSTRAINTS = f"""
    SELECT count(*) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n
    ON n.oid = c.relnamespace WHERE k.contype <> 'n' AND c.relpersistence <> 't' AND {_OF_USERS}
"""  # noqa: S608


def counts(connection: Connection) -> dict[str, int]:
    """Exact rows by `schema.table`, and how many `indexes` and `constraints`, in the connection's transaction."""
    found = {}
    for schema, table in connection.execute(_TABLES).fetchall():
        statement = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
        found[f"{schema}.{table}"] = _number(connection, statement)
    found["indexes"] = _number(connection, sql.SQL(_INDEXES))
    found["constraints"] = _number(connection, sql.SQL(_CONSTRAINTS))
    return found


def versions(connection: Connection, engine: str) -> dict[str, str]:
    """First the engine's version, then the server's under SERVER, every extension's under `extension.<name>`.

    `build` tells images with different C libraries apart, in whose order of letters old indexes may not be read.
    """
    rows = connection.execute("SELECT extname, extversion FROM pg_extension ORDER BY 1").fetchall()
    extensions = {f"extension.{name}": version for name, version in rows}
    server = {SERVER: server_version(connection)}
    if engine == SERVER:
        return {**server, **extensions}
    return {engine: extensions.get(f"extension.{engine}", ""), **server, "build": _build(connection), **extensions}


def _build(connection: Connection) -> str:
    """Such as x86_64-pc-linux-musl, from `PostgreSQL 17.5 on x86_64-pc-linux-musl, compiled by …`."""
    row = connection.execute("SELECT version()").fetchone()
    return str(row[0]).partition(" on ")[2].partition(",")[0] if row else ""


def server_version(connection: Connection) -> str:
    """Such as 18.4, without what a distribution adds."""
    row = connection.execute("SHOW server_version").fetchone()
    return str(row[0]).split()[0] if row else ""


def available_extensions(connection: Connection) -> set[tuple[str, str]]:
    """Names and versions of the extensions that can be made here."""
    return {
        (name, version)
        for name, version in connection.execute("SELECT name, version FROM pg_available_extension_versions").fetchall()
    }


def _number(connection: Connection, statement: sql.SQL | sql.Composed) -> int:
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0
