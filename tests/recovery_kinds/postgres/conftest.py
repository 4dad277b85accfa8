"""Two servers for databases with one peculiarity each: the one they come from, and a fresh one that knows no role."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from ragops.runtimes.embedded.processes import supervisor
from ragops.runtimes.embedded.programs import locate
from ragops.services.timescaledb.backup import pg_dump
from ragops.services.timescaledb.backup.backup import TimescaleBackup
from ragops.services.timescaledb.roles import prepare
from tests.backup_helpers import KeepingWriter
from tests.engines import make_engine
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ragops.services.contract import Endpoint, Part
    from ragops.services.control import Control

NUMBERS = itertools.count(1)
_SUBSCRIPTIONS = (
    "SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE datname = current_database()"
)


@dataclass
class Server:
    """A server; `plain` is its endpoint without a database."""

    plain: Endpoint
    control: Control
    made: list[str] = field(default_factory=list)

    def endpoint(self, database: str) -> Endpoint:
        return replace(self.plain, options={**self.plain.options, "database": database})

    def new(self, database: str) -> Endpoint:
        endpoint = self.endpoint(database)
        prepare(endpoint)
        self.made.append(database)
        return endpoint

    def sql(self, statement: str, database: str = "postgres", values: Sequence[Any] | None = None) -> list[tuple]:
        login = self.plain.logins["operator"]
        options = "-c event_triggers=off -c allow_in_place_tablespaces=on"
        with psycopg.connect(
            host=self.plain.host, port=self.plain.port, dbname=database, user=login.user,
            password=login.password.get_secret_value(), autocommit=True, options=options,
        ) as connection:  # fmt: skip
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def drop_all(self) -> None:
        known = [name for (name,) in self.sql("SELECT datname FROM pg_database")]
        for name in known:
            if any(name == made or name.startswith((f"{made}_before_", f"{made}_restore_")) for made in self.made):
                self.sql(f'ALTER DATABASE "{name}" IS_TEMPLATE false')
                for (gid,) in self.sql("SELECT gid FROM pg_prepared_xacts WHERE database = %s", values=[name]):
                    self.sql(f"ROLLBACK PREPARED '{gid}'", name)
                for (sub,) in self.sql(_SUBSCRIPTIONS, name):
                    self.sql(f'ALTER SUBSCRIPTION "{sub}" DISABLE', name)
                    self.sql(f'ALTER SUBSCRIPTION "{sub}" SET (slot_name = NONE)', name)
                    self.sql(f'DROP SUBSCRIPTION "{sub}"', name)
                self.sql(f'DROP DATABASE "{name}" WITH (FORCE)')
        self.made.clear()

    def schema(self, database: str) -> str:
        """The definitions of all that is in the database, and of the database itself."""
        endpoint = self.endpoint(database)
        with pg_dump.logged_in(endpoint) as environment:
            where = [
                f"--host={endpoint.host}",
                f"--port={endpoint.port}",
                f"--username={endpoint.logins['operator'].user}",
            ]
            command = [str(locate("pg_dump")), "--schema-only", "--create", "--no-password", *where, database]
            text = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        return "\n".join(
            line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict", "--"))
        )

    def content(self, database: str) -> dict[str, Any]:
        """Every row of every table and materialized view, sequences and large objects."""
        found: dict[str, Any] = {}
        relations = self.sql(
            "SELECT format('%I.%I', n.nspname, c.relname), c.relkind::text FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE (c.relkind IN ('r', 'p', 'S') OR (c.relkind = 'm' AND"
            " c.relispopulated)) AND c.relpersistence <> 't' AND n.nspname !~ '^(pg_|_timescaledb_)' AND NOT EXISTS"
            " (SELECT FROM pg_inherits i JOIN pg_class f ON f.oid = i.inhrelid AND f.relkind = 'f'"
            " WHERE i.inhparent = c.oid)"
            " AND n.nspname <> 'information_schema' ORDER BY 1",
            database,
        )
        for name, kind in relations:
            what = "last_value, is_called" if kind == "S" else "t::text"
            found[name] = sorted(self.sql(f"SELECT {what} FROM {name} t", database))
        found["large objects"] = self.sql(
            "SELECT oid::text, md5(lo_get(oid)), lomacl::text, pg_get_userbyid(lomowner) FROM pg_largeobject_metadata"
            " ORDER BY oid",
            database,
        )
        found["extensions"] = self.sql(
            "SELECT extname, extversion, extnamespace::regnamespace::text FROM pg_extension ORDER BY 1", database
        )
        return found

    def roles(self, prefix: str) -> dict[str, Any]:
        """The roles whose name begins so, with all that they are."""
        like = f"{prefix}%"
        return {
            "roles": self.sql(
                "SELECT to_jsonb(r) - 'oid' || jsonb_build_object('comment', shobj_description(r.oid, 'pg_authid'))"
                " FROM pg_roles r WHERE rolname LIKE %s ORDER BY rolname",
                values=[like],
            ),
            "memberships": self.sql(
                "SELECT r.rolname, m.rolname, g.rolname, a.admin_option, a.inherit_option, a.set_option FROM"
                " pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member"
                " JOIN pg_roles g ON g.oid = a.grantor WHERE r.rolname LIKE %s OR m.rolname LIKE %s ORDER BY 1, 2, 3",
                values=[like, like],
            ),
            "parameters": self.sql(
                "SELECT parname, t.rolname, e.privilege_type, e.is_grantable FROM pg_parameter_acl p,"
                " aclexplode(p.paracl) e JOIN pg_roles t ON t.oid = e.grantee WHERE t.rolname LIKE %s ORDER BY 1, 2, 3",
                values=[like],
            ),
        }

    def picture(self, database: str, prefix: str) -> dict[str, Any]:
        """All of it."""
        return {**self.content(database), **self.roles(prefix), "schema": self.schema(database)}


@dataclass
class TakenBackup:
    """A recovery point: the parts in `folder`."""

    folder: Path
    parts: list[Part]

    @property
    def notes(self) -> str:
        return "\n".join(note for part in self.parts for note in part.notes)


def take(server: Server, database: str, folder: Path, *, encrypted: bool = False) -> TakenBackup:
    writer = KeepingWriter(folder)
    writer.encrypted = encrypted
    TimescaleBackup().dump(server.endpoint(database), server.control, writer)
    return TakenBackup(folder, writer.parts)


def restore(server: Server, database: str, taken: TakenBackup) -> str:
    """Back into the server; the words that it returns."""
    engine, endpoint = TimescaleBackup(), server.endpoint(database)
    engine.preflight(endpoint, server.control, taken.folder, taken.parts)
    return "\n".join(engine.restore(endpoint, server.control, taken.folder, taken.parts))


def _extension(root: Path) -> Path:
    """A folder with an extension that comes in two versions, of which the second is the server's own."""
    folder = root / "share" / "extension"
    folder.mkdir(parents=True)
    (folder / "two.control").write_text("default_version = '1.1'\nrelocatable = true\n")
    for version in ("1.0", "1.1"):
        text = f"CREATE FUNCTION two_says() RETURNS text LANGUAGE sql AS $$ SELECT '{version}' $$;\n"
        (folder / f"two--{version}.sql").write_text(text)
    return root / "share"


def _server() -> Iterator[Server]:
    root = Path(tempfile.mkdtemp(prefix="ragops-kinds-"))
    root.chmod(0o755)
    (root / "ragops.yaml").write_text("name: test\n")
    engine = make_engine(root, "timescaledb", free_port())
    supervisor.ensure_running(engine.spec)
    try:
        prepare(engine.endpoint)
        server = Server(engine.endpoint, engine.control)
        server.sql("ALTER SYSTEM SET max_prepared_transactions = 5")
        server.sql("ALTER SYSTEM SET wal_level = 'logical'")
        server.sql(f"ALTER SYSTEM SET extension_control_path = '{_extension(root)}:$system'")
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            server.sql(f"ALTER SYSTEM SET {name} = off")  # what is proven here survives no loss of power
        engine.control.stop()
        engine.control.start()
        server.sql("ALTER SYSTEM RESET ALL")
        yield server
    finally:
        engine.kill()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def source() -> Iterator[Server]:
    """Where the databases are."""
    yield from _server()


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[Server]:
    """A fresh server, as a drill and `recover` have it."""
    yield from _server()
