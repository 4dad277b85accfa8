"""What a dump of one database lacks: roles and what they may, properties of the database, what else the server has.

It is the part `server.json` of a recovery point, read from the catalogues in the snapshot of the dump. Password hashes
are in it only if the recovery point is encrypted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql
from pydantic import BaseModel, ConfigDict, ValidationError

from ragops.errors import IntegrityError
from ragops.hints import OTHER_POINT

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.adapters.postgres import Connection

PART = "server.json"
_MODEL = ConfigDict(frozen=True, extra="ignore")  # a newer ragops may say more


class Role(BaseModel):
    """A role; `attributes` by the words of CREATE ROLE, `settings` as `name=value`, `password` its hash or empty."""

    model_config = _MODEL

    name: str
    attributes: dict[str, bool]
    connection_limit: int = -1
    valid_until: str = ""
    comment: str = ""
    settings: tuple[str, ...] = ()
    password: str = ""
    has_password: bool = False


class Membership(BaseModel):
    """`member` is in `role`, as `grantor` said; `inherit` and `set_role` are None before PostgreSQL 16."""

    model_config = _MODEL

    role: str
    member: str
    grantor: str
    admin: bool
    inherit: bool | None = None
    set_role: bool | None = None


class Grant(BaseModel):
    """A privilege on the database, or on the parameter `subject`; an empty `grantee` is everybody."""

    model_config = _MODEL

    grantor: str
    grantee: str
    privilege: str
    grantable: bool
    subject: str = ""


class RoleSettings(BaseModel):
    """Settings (`name=value`) of a role in the database; of every role if it is empty."""

    model_config = _MODEL

    role: str
    settings: tuple[str, ...]


class Database(BaseModel):
    """Properties of the database itself; `grants` are None if they are PostgreSQL's own."""

    model_config = _MODEL

    owner: str
    encoding: str
    provider: str
    collate: str
    ctype: str
    locale: str = ""
    icu_rules: str = ""
    connection_limit: int = -1
    template: bool = False
    comment: str = ""
    grants: tuple[Grant, ...] | None = None
    settings: tuple[RoleSettings, ...] = ()


class Globals(BaseModel):
    """All of it.

    `path` are the schemas in which sessions look for names, the application's first; `functions` those that need them
    at a restore, `checks` the constraints that have to wait there until all rows are back (both by name, for people).
    `detaching` are partitions that are half detached, as table and partition, `extensions` name to version and schema.
    """

    model_config = _MODEL

    format: int = 1
    roles: tuple[Role, ...] = ()
    memberships: tuple[Membership, ...] = ()
    parameters: tuple[Grant, ...] = ()
    database: Database
    schemas: tuple[str, ...] = ()
    extensions: dict[str, tuple[str, str]] = {}
    other_databases: tuple[str, ...] = ()
    server_settings: tuple[str, ...] = ()
    subscriptions: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()
    detaching: tuple[tuple[str, str], ...] = ()
    path: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    staged: bool = False


_ROLES = """
    SELECT r.rolname, r.rolconnlimit, coalesce(r.rolvaliduntil::text, ''),
           coalesce(shobj_description(r.oid, 'pg_authid'), ''), coalesce(s.setconfig, '{}'),
           r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication, r.rolbypassrls
    FROM pg_roles r LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid AND s.setdatabase = 0
    WHERE r.rolname !~ '^pg_' ORDER BY 1
"""
ATTRIBUTES = ("SUPERUSER", "INHERIT", "CREATEROLE", "CREATEDB", "LOGIN", "REPLICATION", "BYPASSRLS")
_PASSWORDS = "SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL"
_MEMBERSHIPS = """
    SELECT r.rolname, m.rolname, g.rolname, a.admin_option, (to_jsonb(a) ->> 'inherit_option')::bool,
           (to_jsonb(a) ->> 'set_option')::bool
    FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
    JOIN pg_roles g ON g.oid = a.grantor ORDER BY 1, 2, 3
"""
_PARAMETERS = """
    SELECT coalesce(g.rolname, ''), coalesce(t.rolname, ''), e.privilege_type, e.is_grantable, p.parname
    FROM pg_parameter_acl p, aclexplode(p.paracl) e LEFT JOIN pg_roles g ON g.oid = e.grantor
    LEFT JOIN pg_roles t ON t.oid = e.grantee ORDER BY 5, 2, 3
"""
_DATABASE = """
    SELECT pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, d.datconnlimit,
           d.datistemplate, coalesce(shobj_description(d.oid, 'pg_database'), ''), d.datacl IS NULL, to_jsonb(d), d.oid
    FROM pg_database d WHERE d.datname = current_database()
"""
_DATABASE_GRANTS = """
    SELECT coalesce(g.rolname, ''), coalesce(t.rolname, ''), e.privilege_type, e.is_grantable
    FROM pg_database d, aclexplode(d.datacl) WITH ORDINALITY e(grantor, grantee, privilege_type, is_grantable, number)
    LEFT JOIN pg_roles g ON g.oid = e.grantor
    LEFT JOIN pg_roles t ON t.oid = e.grantee WHERE d.datname = current_database() ORDER BY e.number
"""
_SETTINGS = """
    SELECT coalesce(r.rolname, ''), s.setconfig FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
    JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database() ORDER BY 1
"""
_LISTS = {
    "schemas": "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
    " ORDER BY 1",
    "other_databases": "SELECT datname FROM pg_database WHERE datname NOT IN"
    " ('template0', 'template1', 'postgres', current_database()) AND NOT datname ~"
    " '_(restore|before)_[0-9]{8}t[0-9]{9}$' ORDER BY 1",
    "server_settings": "SELECT DISTINCT name FROM pg_file_settings WHERE sourcefile ~ '/postgresql.auto.conf$'"
    " ORDER BY 1",
    "subscriptions": "SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
    " WHERE d.datname = current_database() ORDER BY 1",
    "slots": "SELECT slot_name FROM pg_replication_slots WHERE database = current_database() ORDER BY 1",
}
_DETACHING = """
    SELECT format('%I.%I', pn.nspname, p.relname), format('%I.%I', cn.nspname, c.relname) FROM pg_inherits i
    JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
    JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace WHERE i.inhdetachpending
"""


def read(connection: Connection, application: str, *, passwords: bool) -> Globals:
    """Read it all in the connection's transaction; hashes of passwords only if `passwords` are wanted."""
    version = connection.info.server_version // 10000
    hashes: dict[str, str] = dict(connection.execute(_PASSWORDS).fetchall()) if _is_superuser(connection) else {}
    lists: dict[str, Any] = {
        name: tuple(item for (item,) in connection.execute(sql.SQL(query)).fetchall()) for name, query in _LISTS.items()
    }
    rows = connection.execute(
        "SELECT e.extname, e.extversion, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
    ).fetchall()
    database = _database(connection)
    return Globals(
        roles=tuple(_role(row, hashes, passwords=passwords) for row in connection.execute(_ROLES).fetchall()),
        memberships=tuple(
            Membership(role=row[0], member=row[1], grantor=row[2], admin=row[3], inherit=row[4], set_role=row[5])
            for row in connection.execute(_MEMBERSHIPS).fetchall()
        ),
        parameters=tuple(_grant(row) for row in connection.execute(_PARAMETERS).fetchall()) if version >= 15 else (),
        database=database,
        extensions={name: (number, schema) for name, number, schema in rows},
        detaching=tuple((parent, child) for parent, child in connection.execute(_DETACHING).fetchall()),
        path=_path(database, application, lists["schemas"]),
        **lists,
    )


def parse(path: Path) -> Globals:
    """Read the part. Raises IntegrityError (globals_invalid)."""
    try:
        return Globals.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        what = f"{path.name} is not what ragops writes: {type(error).__name__}"
        raise IntegrityError("globals_invalid", what, OTHER_POINT) from error


def _is_superuser(connection: Connection) -> bool:
    row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    return bool(row and row[0])


def _role(row: tuple[Any, ...], hashes: dict[str, str], *, passwords: bool) -> Role:
    name, limit, until, comment, settings, *flags = row
    return Role(
        name=name,
        attributes=dict(zip(ATTRIBUTES, flags, strict=True)),
        connection_limit=limit,
        valid_until=until,
        comment=comment,
        settings=tuple(settings),
        password=hashes.get(name, "") if passwords else "",
        has_password=name in hashes,
    )


def _grant(row: tuple[Any, ...]) -> Grant:
    subject = row[4] if len(row) > 4 else ""
    return Grant(grantor=row[0], grantee=row[1], privilege=row[2], grantable=row[3], subject=subject)


def _database(connection: Connection) -> Database:
    row = connection.execute(_DATABASE).fetchone()
    assert row is not None  # noqa: S101  we are in it
    owner, encoding, collate, ctype, limit, template, comment, plain, values, _ = row
    grants = None if plain else tuple(_grant(item) for item in connection.execute(_DATABASE_GRANTS).fetchall())
    settings = tuple(
        RoleSettings(role=role, settings=tuple(said)) for role, said in connection.execute(_SETTINGS).fetchall()
    )
    return Database(
        owner=owner,
        encoding=encoding,
        provider=values.get("datlocprovider", "c"),
        collate=collate,
        ctype=ctype,
        locale=values.get("datlocale") or values.get("daticulocale") or "",
        icu_rules=values.get("daticurules") or "",
        connection_limit=limit,
        template=template,
        comment=comment,
        grants=grants,
        settings=settings,
    )


def _path(database: Database, application: str, schemas: tuple[str, ...]) -> tuple[str, ...]:
    """Schemas in which names are looked for, the application's way first, then all others."""
    from ragops.services.timescaledb.database_properties import setting, words

    found: list[str] = []
    for role in (application, ""):
        for said in (item.settings for item in database.settings if item.role == role):
            for line in said:
                name, value = setting(line)
                found += words(value) if name == "search_path" else []
    known = [application if name == "$user" else name for name in (*found, "$user", "public", *schemas)]
    own = [name for name in dict.fromkeys(known) if name in schemas]
    return tuple(name for name in own if not name.startswith("_timescaledb_"))
