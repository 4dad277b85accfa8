"""What a recovery point of the database cannot hold, or holds in another way: refused or named when it is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from ragops.adapters.postgres import fetch_column, fetch_value
from ragops.errors import IntegrityError
from ragops.services.timescaledb.backup import counts
from ragops.services.timescaledb.backup.evaluated_expressions import describe
from ragops.units import first_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.adapters.postgres import Connection
    from ragops.services.timescaledb.backup.evaluated_expressions import Evaluated
    from ragops.services.timescaledb.backup.server_globals import Globals

_TABLESPACES = """
    SELECT format('%I.%I', n.nspname, c.relname), s.spcname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_tablespace s ON s.oid = c.reltablespace
    WHERE s.spcname NOT IN ('pg_default', 'pg_global') AND n.nspname !~ '^pg_'
    UNION ALL
    SELECT 'the database', s.spcname FROM pg_database d JOIN pg_tablespace s ON s.oid = d.dattablespace
    WHERE d.datname = current_database() AND s.spcname <> 'pg_default' ORDER BY 1
"""
# Objects of users that no dump contains: those in the system's schemas (OIDs of users begin at 16384).
_IN_SYSTEM = """
    SELECT format('%I.%I', n.nspname, x.name) FROM (
        SELECT oid, relname AS name, relnamespace AS schema, 'pg_class'::regclass AS class FROM pg_class
        WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
        UNION ALL SELECT oid, proname, pronamespace, 'pg_proc'::regclass FROM pg_proc
    ) x JOIN pg_namespace n ON n.oid = x.schema
    WHERE x.oid >= 16384 AND n.nspname IN ('pg_catalog', 'information_schema') AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = x.class AND d.objid = x.oid AND d.deptype = 'e') ORDER BY 1
"""
_PREPARED = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY 1"
_MAPPINGS = """
    SELECT DISTINCT srvname FROM pg_user_mappings WHERE umoptions::text ~ 'password' ORDER BY 1
"""
# A column that came with a default after a chunk was compressed has no value in the compressed rows: it is read from
# the catalogue's entry of the chunk, which no dump contains, and would come back as NULL.
_DEFAULTED = """
    SELECT format('%I.%I', hn.nspname, h.relname), a.attname, kn.nspname, k.relname
    FROM _timescaledb_catalog.compression_settings s
    JOIN pg_attribute a ON a.attrelid = s.relid AND a.atthasmissing AND NOT a.attisdropped
    JOIN pg_class k ON k.oid = s.compress_relid JOIN pg_namespace kn ON kn.oid = k.relnamespace
    JOIN pg_attribute ka ON ka.attrelid = k.oid AND ka.attname = a.attname
    JOIN pg_inherits i ON i.inhrelid = s.relid
    JOIN pg_class h ON h.oid = i.inhparent JOIN pg_namespace hn ON hn.oid = h.relnamespace ORDER BY 1, 2
"""
_HAS_SETTINGS = """
    SELECT FROM pg_attribute WHERE attname = 'compress_relid'
    AND attrelid = to_regclass('_timescaledb_catalog.compression_settings')
"""
_COMPRESSED = """
    SELECT DISTINCT format('%I.%I', h.schema_name, h.table_name) FROM _timescaledb_catalog.hypertable h
    JOIN _timescaledb_catalog.chunk c ON c.hypertable_id = h.id WHERE c.compressed_chunk_id IS NOT NULL ORDER BY 1
"""
# TimescaleDB 2.20.3 is the first that restores what it dumps: columns that are NULL everywhere in compressed chunks
# (its pull request 8153). For chunk skipping (8211) a restore has a way with older ones too.
RESTORES_SINCE = (2, 20, 3)
UPGRADE = "run `ragops up` with the pinned image, which updates the extension"
_NAMED = 8


def refuse(connection: Connection) -> None:
    """Raise IntegrityError (not_restorable) if a restore would fail or lose something, by name."""
    faults = [f"{name} lies in the tablespace {space}" for name, space in connection.execute(_TABLESPACES).fetchall()]
    in_system = fetch_column(connection, _IN_SYSTEM)
    faults += [f"{name} is in a schema of the system, which no dump contains" for name in in_system]
    hint = "move them: `ALTER TABLE … SET TABLESPACE pg_default`, `ALTER … SET SCHEMA public`; then run it again"
    if not faults and timescale_version(connection):
        faults = list(_find_defaulted(connection))
        hint = (
            "compress these chunks again: `SELECT compress_chunk(decompress_chunk(c)) FROM show_chunks('TABLE') c`"
            " for each table, where is_compressed; then run it again"
        )
    if faults:
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        what = f"cannot take a recovery point that would restore: {'; '.join(faults[:_NAMED])}{more}"
        raise IntegrityError("not_restorable", what, hint)


def _find_defaulted(connection: Connection) -> Iterator[str]:
    """Columns of compressed chunks whose values no dump contains; each look is a transaction of its own."""
    seen: set[tuple[str, str]] = set()
    if connection.execute(_HAS_SETTINGS).fetchone() is None:  # older ones
        return
    for table, column, schema, name in connection.execute(_DEFAULTED).fetchall():
        if (table, column) in seen:
            continue
        query = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} IS NULL)")
        if fetch_value(connection, query.format(sql.Identifier(schema, name), sql.Identifier(column))):
            seen.add((table, column))
            yield f"{table} has compressed chunks from before its column {column} came with a default"


def remarks(connection: Connection, found: Globals, evaluated: Evaluated, *, encrypted: bool) -> tuple[str, ...]:
    """Return notes on what a recovery point cannot contain, or brings back in another way."""
    return (*_elsewhere(connection, found), *_secrets(connection, found, encrypted=encrypted), *describe(evaluated))


def _elsewhere(connection: Connection, found: Globals) -> Iterator[str]:
    if found.other_databases:
        yield f"not in it: the other databases of the server, {first_of(found.other_databases, _NAMED)}"
    if found.server_settings:
        yield f"not in it: settings made with ALTER SYSTEM, {first_of(found.server_settings, _NAMED)}"
    if found.slots:
        yield f"not in it: the logical replication slots {first_of(found.slots, _NAMED)}"
    if found.subscriptions:
        yield f"the subscriptions {first_of(found.subscriptions, _NAMED)} come back disabled"
    if prepared := fetch_column(connection, _PREPARED):
        yield f"not in it: what the prepared transactions {first_of(prepared, _NAMED)} have not committed"
    if invalid := counts.invalid_indexes(connection):
        names = first_of(invalid, _NAMED)
        yield f"not in it: the invalid indexes {names}; `REINDEX INDEX CONCURRENTLY {invalid[0]}` or drop it"
    for parent, child in found.detaching:
        yield (
            f"the partition {child} is half detached and comes back as a table of its own;"
            f" `ALTER TABLE {parent} DETACH PARTITION {child} FINALIZE`"
        )
    if warning := version_warning(connection):
        yield warning


def _secrets(connection: Connection, found: Globals, *, encrypted: bool) -> Iterator[str]:
    if encrypted:
        return
    from ragops.services.timescaledb import APPLICATION_ROLE, OWNER_ROLE

    own = (OWNER_ROLE, APPLICATION_ROLE)
    if theirs := [role.name for role in found.roles if role.has_password and role.name not in own]:
        yield f"not in it, since it is not encrypted: the passwords of the roles {first_of(theirs, _NAMED)}"
    if mappings := fetch_column(connection, _MAPPINGS):
        yield f"it is not encrypted and has passwords in user mappings of the servers {first_of(mappings, _NAMED)}"
    if found.subscriptions:
        names = first_of(found.subscriptions, _NAMED)
        yield f"it is not encrypted and has the connections of the subscriptions {names}"


def version_warning(connection: Connection) -> str:
    """Return a note on a TimescaleDB that may not restore its own dumps, empty if it does."""
    version = timescale_version(connection)
    if not version or version >= RESTORES_SINCE:
        return ""
    if not (names := fetch_column(connection, _COMPRESSED)):
        return ""
    return (
        f"TimescaleDB {'.'.join(map(str, version))} cannot restore compressed chunks in which a column is NULL"
        f" everywhere (2.20.3 can), which `ragops restore` works around: {first_of(names, _NAMED)}"
    )


def timescale_version(connection: Connection) -> tuple[int, ...]:
    """Return the version of the extension in this database, empty without it."""
    found = fetch_value(connection, "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    return tuple(int(part) for part in found.partition("-")[0].split(".")) if found else ()
