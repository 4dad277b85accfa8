"""Properties of a database that no dump contains: made with a new one, put on before it takes the old one's place."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from ragops.services.timescaledb import roles

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ragops.adapters.postgres import Connection
    from ragops.services.timescaledb.backup.server_globals import Database, Grant

# Settings whose value is a list of names, each of which is quoted for itself (pg_dump, variable_is_guc_list_quote).
_LISTS = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)
_RESTORING = "timescaledb.restoring"  # a database in that mode sets it itself
_GRANTEES = """
    SELECT DISTINCT coalesce(t.rolname, '') FROM pg_database d,
    aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) e LEFT JOIN pg_roles t ON t.oid = e.grantee
    WHERE d.datname = %s
"""
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
_PROVIDERS_SINCE, _LOCALES_SINCE = 15, 17


def setting(line: str) -> tuple[str, str]:
    """Name and value of a setting as the catalogue has it, `name=value`."""
    name, _, value = line.partition("=")
    return name, value


def words(value: str) -> list[str]:
    """Return the names in a list such as `"$user", public`."""
    return next(csv.reader([value], skipinitialspace=True), []) if value else []


def assign(name: str, value: str) -> sql.Composed:
    """Return `name TO value` for SET; a list of names stays a list."""
    items = words(value) or [""] if name in _LISTS else [value]
    parts = [sql.Identifier(part) for part in name.split(".")]
    return sql.SQL("{} TO {}").format(sql.SQL(".").join(parts), sql.SQL(", ").join(map(sql.Literal, items)))


def create(connection: Connection, name: str, like: Database | None) -> None:
    """Create an empty database, with the encoding and the order of letters of `like` if that is known."""
    if like is None:
        roles.create(connection, name)
        return
    options = [sql.SQL("ENCODING {}").format(sql.Literal(like.encoding))]
    options += [sql.SQL("LC_COLLATE {}").format(sql.Literal(like.collate))]
    options += [sql.SQL("LC_CTYPE {}").format(sql.Literal(like.ctype))]
    version = connection.info.server_version // 10000
    if version >= _PROVIDERS_SINCE and like.provider in _PROVIDERS:
        options.append(sql.SQL("LOCALE_PROVIDER {}").format(sql.Identifier(_PROVIDERS[like.provider])))
        if like.locale and like.provider != "c":
            builtin = like.provider == "b" and version >= _LOCALES_SINCE
            word = sql.SQL("BUILTIN_LOCALE {}" if builtin else "ICU_LOCALE {}")
            options.append(word.format(sql.Literal(like.locale)))
        if like.icu_rules:
            options.append(sql.SQL("ICU_RULES {}").format(sql.Literal(like.icu_rules)))
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0 {}")
    connection.execute(statement.format(sql.Identifier(name), sql.SQL(" ").join(options)))


def put_settings(connection: Connection, name: str, like: Database) -> list[str]:
    """ALTER DATABASE and ALTER ROLE IN DATABASE; returns notes on those that this server refuses."""
    notes = []
    for item in like.settings:
        for line in item.settings:
            what, value = setting(line)
            if what == _RESTORING:
                continue
            target = sql.SQL("DATABASE {}").format(sql.Identifier(name))
            if item.role:
                who = sql.Identifier(item.role)
                target = sql.SQL("ROLE {} IN DATABASE {}").format(who, sql.Identifier(name))
            try:
                connection.execute(sql.SQL("ALTER {} SET {}").format(target, assign(what, value)))
            except psycopg.Error as error:
                notes.append(f"cannot make the setting {what} of the database: {error.diag.message_primary}")
    return notes


def put_rest(connection: Connection, name: str, like: Database) -> None:
    """Owner, grants, limit of connections and comment, as they were."""
    database = sql.Identifier(name)
    connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, sql.Identifier(like.owner)))
    if like.grants is not None:
        for (grantee,) in connection.execute(_GRANTEES, [name]).fetchall():
            who = sql.Identifier(grantee) if grantee else sql.SQL("PUBLIC")
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(database, who))
        for grant in _in_order(like.grants, like.owner):
            _grant(connection, database, grant, like.owner)
    limit = sql.Literal(like.connection_limit)
    connection.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(database, limit))
    if like.template:
        connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE true").format(database))
    if like.comment:
        connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(database, sql.Literal(like.comment)))


def _in_order(grants: Iterable[Grant], owner: str) -> list[Grant]:
    """Return the owner's first: others may only hand on what they have."""
    return sorted(grants, key=lambda grant: grant.grantor != owner)


def _grant(connection: Connection, database: sql.Identifier, grant: Grant, owner: str) -> None:
    to = sql.Identifier(grant.grantee) if grant.grantee else sql.SQL("PUBLIC")
    option = sql.SQL(" WITH GRANT OPTION" if grant.grantable else "")
    statement = sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
        sql.SQL(grant.privilege),
        database,
        to,
        option,
    )
    if grant.grantor in (owner, ""):
        connection.execute(statement)
        return
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(grant.grantor)))
    try:
        connection.execute(statement)
    finally:
        connection.execute("RESET ROLE")
