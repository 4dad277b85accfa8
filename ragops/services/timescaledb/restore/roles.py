"""Roles, memberships and grants on parameters at a restore: what is missing is made, what is there stays as it is."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from ragops.adapters.postgres import fetch_column
from ragops.errors import MissingError
from ragops.services.timescaledb.restore.database_properties import assign, setting

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ragops.adapters.postgres import Connection
    from ragops.services.timescaledb.backup.server_globals import Globals, Grant, Membership, Role

SCRATCH_COMMENT = "made by ragops to prove a recovery point, and to be dropped"
PARAMETER_PRIVILEGES = ("SET", "ALTER SYSTEM")
# Rights that only a superuser can hand on.
_POWERS = ("SUPERUSER", "REPLICATION", "BYPASSRLS")


@dataclass
class Made:
    """What was made and what was left as it is, for the user."""

    roles: list[str] = field(default_factory=list)
    memberships: list[str] = field(default_factory=list)
    without_password: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def notes(self) -> tuple[str, ...]:
        """Return notes on all of it."""
        found = [f"made the missing roles: {', '.join(self.roles)}"] if self.roles else []
        if self.memberships:
            found.append(f"made the missing memberships: {', '.join(self.memberships)}")
        if self.without_password:
            names = ", ".join(self.without_password)
            found.append(f"these roles have no password, which only an encrypted recovery point holds: {names}")
        return (*found, *self.differing, *self.failed)


def find_missing(connection: Connection, wanted: Globals) -> list[Role]:
    """Return the roles that are not on this server."""
    known = set(fetch_column(connection, "SELECT rolname FROM pg_roles"))
    return [role for role in wanted.roles if role.name not in known]


def refuse(connection: Connection, wanted: Globals) -> None:
    """Raise MissingError (role_refused) if the operator may not make a role that is missing."""
    row = connection.execute("SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user").fetchone()
    superuser, may_create = row or (False, False)
    if superuser:
        return
    refused = [
        role.name
        for role in find_missing(connection, wanted)
        if not may_create or any(role.attributes.get(power) for power in _POWERS)
    ]
    if refused:
        what = f"cannot make the roles that the recovery point needs: the operator may not make {', '.join(refused)}"
        raise MissingError("role_refused", what, "have a superuser make them, then run the command again")


def make(connection: Connection, wanted: Globals, ours: Collection[str]) -> Made:
    """Make roles, memberships and grants that are missing; `ours` are ragops' own roles, which are not compared."""
    made = Made()
    new = find_missing(connection, wanted)
    for role in new:
        _create(connection, role)
        made.roles.append(role.name)
        if role.has_password and not role.password:
            made.without_password.append(role.name)
    known = {role.name: role for role in wanted.roles}
    for role in (role for role in known.values() if role.name not in made.roles):
        _complete(connection, role, made, compare=role.name not in ours)
    for role in new:
        _settings(connection, role, role.settings, made)
    _memberships(connection, wanted.memberships, made)
    _parameters(connection, wanted.parameters, made)
    return made


def make_scratch(connection: Connection, wanted: Globals) -> list[str]:
    """Bare roles in place of those that are missing, for a proof; `drop_scratch` drops them."""
    names = [role.name for role in find_missing(connection, wanted)]
    for name in names:
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))
        comment = sql.SQL("COMMENT ON ROLE {} IS {}")
        connection.execute(comment.format(sql.Identifier(name), sql.Literal(SCRATCH_COMMENT)))
    return names


def drop_scratch(connection: Connection) -> None:
    """Drop what `make_scratch` has made, in runs that were killed too; one that owns something stays."""
    query = "SELECT rolname FROM pg_roles WHERE shobj_description(oid, 'pg_authid') = %s"
    for name in fetch_column(connection, query, [SCRATCH_COMMENT]):
        with suppress(psycopg.errors.DependentObjectsStillExist):
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def _create(connection: Connection, role: Role) -> None:
    words = [name if on else f"NO{name}" for name, on in role.attributes.items() if name.isalpha()]
    options: list[sql.Composable] = [sql.SQL(" ".join(words))]
    options.append(sql.SQL("CONNECTION LIMIT {}").format(sql.Literal(role.connection_limit)))
    if role.valid_until:
        options.append(sql.SQL("VALID UNTIL {}").format(sql.Literal(role.valid_until)))
    if role.password:
        options.append(sql.SQL("PASSWORD {}").format(sql.Literal(role.password)))
    statement = sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(role.name), sql.SQL(" ").join(options))
    with connection.transaction():
        # A hash has no place in the server's log, whatever its settings are.
        connection.execute("SET LOCAL log_statement = 'none'; SET LOCAL log_min_duration_statement = -1")
        connection.execute(statement)
    if role.comment:
        comment = sql.SQL("COMMENT ON ROLE {} IS {}")
        connection.execute(comment.format(sql.Identifier(role.name), sql.Literal(role.comment)))


_PRESENT = """
    SELECT r.rolconnlimit, coalesce(s.setconfig, '{}'), r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb,
           r.rolcanlogin, r.rolreplication, r.rolbypassrls
    FROM pg_roles r LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid AND s.setdatabase = 0 WHERE r.rolname = %s
"""


def _complete(connection: Connection, role: Role, made: Made, *, compare: bool) -> None:
    """Give a role that is there the settings that it has none of, and name what else differs."""
    row = connection.execute(_PRESENT, [role.name]).fetchone()
    if row is None:
        return
    limit, settings, *flags = row
    here = dict(setting(line) for line in settings)
    recorded = dict(setting(line) for line in role.settings)
    _settings(connection, role, [line for line in role.settings if setting(line)[0] not in here], made)
    differing = [f"setting {name}" for name, value in recorded.items() if here.get(name, value) != value]
    if compare:
        pairs = zip(role.attributes.items(), flags, strict=True)
        differing += [f"{name} was {'on' if wanted else 'off'}" for (name, wanted), now in pairs if wanted != now]
        differing += ["connection limit"] if limit != role.connection_limit else []
    if differing:
        made.differing.append(
            f"role {role.name} is here already and stays as it is; other than it was: {', '.join(differing)}"
        )


def _settings(connection: Connection, role: Role, lines: Iterable[str], made: Made) -> None:
    for name, value in map(setting, lines):
        statement = sql.SQL("ALTER ROLE {} SET {}").format(sql.Identifier(role.name), assign(name, value))
        _try(connection, statement, f"setting {name} of role {role.name}", made)


_MEMBERS = """
    SELECT DISTINCT r.rolname, m.rolname FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid
    JOIN pg_roles m ON m.oid = a.member ORDER BY 1, 2
"""


def _memberships(connection: Connection, wanted: Iterable[Membership], made: Made) -> None:
    """As their grantors made them; one that may not (yet) leaves it to a later turn, then to the operator."""
    have = set(connection.execute(_MEMBERS).fetchall())
    left = [item for item in wanted if (item.role, item.member) not in have]
    while left:
        later = [item for item in left if not _join(connection, item, item.grantor)]
        if len(later) == len(left):
            for item in later:
                if not _join(connection, item, ""):
                    made.failed.append(f"could not make {item.member} a member of {item.role}")
            break
        left = later
    rows = connection.execute(_MEMBERS).fetchall()
    made.memberships += [f"{member} in {role}" for role, member in rows if (role, member) not in have]


def _join(connection: Connection, item: Membership, grantor: str) -> bool:
    options = [f"ADMIN {str(item.admin).upper()}"]
    if item.inherit is not None and connection.info.server_version >= 160000:
        options += [f"INHERIT {str(item.inherit).upper()}", f"SET {str(item.set_role).upper()}"]
    elif not item.admin:
        options = []
    elif connection.info.server_version < 160000:
        options = ["ADMIN OPTION"]
    statement = sql.SQL("GRANT {} TO {}").format(sql.Identifier(item.role), sql.Identifier(item.member))
    if options:
        statement += sql.SQL(" WITH " + ", ".join(options))
    if grantor:
        statement += sql.SQL(" GRANTED BY {}").format(sql.Identifier(grantor))
    try:
        connection.execute(statement)
    except psycopg.Error:
        if connection.closed:
            raise
        return False
    return True


def _parameters(connection: Connection, wanted: Iterable[Grant], made: Made) -> None:
    for grant in wanted:
        if grant.privilege not in PARAMETER_PRIVILEGES:
            continue
        to = sql.Identifier(grant.grantee) if grant.grantee else sql.SQL("PUBLIC")
        statement = sql.SQL("GRANT {} ON PARAMETER {} TO {}{}").format(
            sql.SQL(grant.privilege),
            sql.SQL(".").join(map(sql.Identifier, grant.subject.split("."))),
            to,
            sql.SQL(" WITH GRANT OPTION" if grant.grantable else ""),
        )
        _try(connection, statement, f"right to set {grant.subject} of {grant.grantee or 'everybody'}", made)


def _try(connection: Connection, statement: sql.Composed, what: str, made: Made) -> None:
    try:
        connection.execute(statement)
    except psycopg.Error as error:
        if connection.closed:
            raise
        made.failed.append(f"{what}: {error.diag.message_primary}")
