"""What a dump of one database lacks: roles and what they may, properties of the database, what else the server has.

It is the part `server.json` of a recovery point, read from the catalogues in the snapshot of the dump. Password hashes
are in it only if the recovery point is encrypted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row
from pydantic import BaseModel, ConfigDict, ValidationError

from ragops.adapters.postgres import fetch_column, fetch_value
from ragops.errors import IntegrityError
from ragops.hints import OTHER_POINT

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.adapters.postgres import Connection

PART = "server.json"
_MODEL = ConfigDict(frozen=True, extra="ignore")  # a newer ragops may write more


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
    """`member` is in `role`, by `grantor`; `inherit` and `set_role` are None before PostgreSQL 16."""

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
    SELECT r.rolname AS name, r.rolconnlimit AS connection_limit, coalesce(r.rolvaliduntil::text, '') AS valid_until,
           coalesce(shobj_description(r.oid, 'pg_authid'), '') AS comment, coalesce(s.setconfig, '{}') AS settings,
           json_build_object(
               'SUPERUSER', r.rolsuper, 'INHERIT', r.rolinherit, 'CREATEROLE', r.rolcreaterole,
               'CREATEDB', r.rolcreatedb, 'LOGIN', r.rolcanlogin, 'REPLICATION', r.rolreplication,
               'BYPASSRLS', r.rolbypassrls) AS attributes
    FROM pg_roles r LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid AND s.setdatabase = 0
    WHERE r.rolname !~ '^pg_' ORDER BY 1
"""
_PARAMETERS_SINCE = 150000
_PASSWORDS = "SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL"
_MEMBERSHIPS = """
    SELECT r.rolname AS role, m.rolname AS member, g.rolname AS grantor, a.admin_option AS admin,
           (to_jsonb(a) ->> 'inherit_option')::bool AS inherit, (to_jsonb(a) ->> 'set_option')::bool AS set_role
    FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
    JOIN pg_roles g ON g.oid = a.grantor ORDER BY 1, 2, 3
"""
_PARAMETERS = """
    SELECT coalesce(g.rolname, '') AS grantor, coalesce(t.rolname, '') AS grantee, e.privilege_type AS privilege,
           e.is_grantable AS grantable, p.parname AS subject
    FROM pg_parameter_acl p, aclexplode(p.paracl) e LEFT JOIN pg_roles g ON g.oid = e.grantor
    LEFT JOIN pg_roles t ON t.oid = e.grantee ORDER BY 5, 2, 3
"""
_DATABASE = """
    SELECT pg_get_userbyid(d.datdba) AS owner, pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS collate,
           d.datctype AS ctype, d.datconnlimit AS connection_limit, d.datistemplate AS template,
           coalesce(shobj_description(d.oid, 'pg_database'), '') AS comment, d.datacl IS NULL AS is_plain,
           coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') AS provider,
           coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', '') AS locale,
           coalesce(to_jsonb(d) ->> 'daticurules', '') AS icu_rules
    FROM pg_database d WHERE d.datname = current_database()
"""
_DATABASE_GRANTS = """
    SELECT coalesce(g.rolname, '') AS grantor, coalesce(t.rolname, '') AS grantee, e.privilege_type AS privilege,
           e.is_grantable AS grantable
    FROM pg_database d, aclexplode(d.datacl) WITH ORDINALITY e(grantor, grantee, privilege_type, is_grantable, number)
    LEFT JOIN pg_roles g ON g.oid = e.grantor
    LEFT JOIN pg_roles t ON t.oid = e.grantee WHERE d.datname = current_database() ORDER BY e.number
"""
_SETTINGS = """
    SELECT coalesce(r.rolname, '') AS role, s.setconfig AS settings
    FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
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
    superuser = fetch_value(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    hashes: dict[str, str] = dict(connection.execute(_PASSWORDS).fetchall()) if superuser else {}
    lists: dict[str, Any] = {name: tuple(fetch_column(connection, query)) for name, query in _LISTS.items()}
    extensions = connection.execute(
        "SELECT e.extname, e.extversion, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
    ).fetchall()
    database = _database(connection)
    roles = [
        Role(
            **row, has_password=row["name"] in hashes, password=hashes.get(row["name"], "") if passwords else ""
        )
        for row in _rows(connection, _ROLES)
    ]  # fmt: skip
    has_parameters = connection.info.server_version >= _PARAMETERS_SINCE
    return Globals(
        roles=tuple(roles),
        memberships=tuple(Membership(**row) for row in _rows(connection, _MEMBERSHIPS)),
        parameters=tuple(Grant(**row) for row in _rows(connection, _PARAMETERS)) if has_parameters else (),
        database=database,
        extensions={name: (number, schema) for name, number, schema in extensions},
        detaching=tuple((parent, child) for parent, child in connection.execute(_DETACHING).fetchall()),
        path=_path(database, application, lists["schemas"]),
        **lists,
    )


def parse(path: Path) -> Globals:
    """Read the part. Raises IntegrityError (globals_invalid)."""
    try:
        return Globals.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        what = f"cannot read {path.name}: it is not a part that ragops writes ({type(error).__name__})"
        raise IntegrityError("globals_invalid", what, OTHER_POINT) from error


def _rows(connection: Connection, query: str) -> list[dict[str, Any]]:
    """Return rows by the names of their columns, which are those of the models' fields."""
    return connection.cursor(row_factory=dict_row).execute(query).fetchall()


def _database(connection: Connection) -> Database:
    (row,) = _rows(connection, _DATABASE)
    grants = None if row["is_plain"] else tuple(Grant(**item) for item in _rows(connection, _DATABASE_GRANTS))
    settings = tuple(RoleSettings(**item) for item in _rows(connection, _SETTINGS))
    return Database(**row, grants=grants, settings=settings)


def _path(database: Database, application: str, schemas: tuple[str, ...]) -> tuple[str, ...]:
    """Return the schemas of the search path, the application's first, then all others."""
    from ragops.services.timescaledb.restore.database_properties import setting, words

    found: list[str] = []
    for role in (application, ""):
        for settings in (item.settings for item in database.settings if item.role == role):
            for line in settings:
                name, value = setting(line)
                found += words(value) if name == "search_path" else []
    known = [application if name == "$user" else name for name in (*found, "$user", "public", *schemas)]
    own = [name for name in dict.fromkeys(known) if name in schemas]
    return tuple(name for name in own if not name.startswith("_timescaledb_"))
