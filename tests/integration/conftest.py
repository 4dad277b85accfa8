"""The embedded engines, started without Pulumi: real servers in a folder of their own."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from pydantic import SecretStr

from ragops.adapters import redis_client
from ragops.config import secrets
from ragops.config.model import Settings
from ragops.config.paths import ProjectPaths
from ragops.operations.platform import Platform
from ragops.runtimes.embedded.control import ProcessControl
from ragops.runtimes.embedded.processes import supervisor
from ragops.runtimes.embedded.programs import unprivileged_user
from ragops.runtimes.embedded.runtime import CAPABILITIES, process_spec
from ragops.services import SERVICES
from ragops.services.contract import Endpoint, Login
from ragops.services.redis import component as redis_component
from ragops.services.spec import Layout
from ragops.services.timescaledb import component as timescale_component
from ragops.services.timescaledb.roles import prepare
from tests.backup_helpers import vault_of
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from ragops.recovery.backup_target import BackupTarget
    from ragops.runtimes.embedded.processes.spec import ProcessSpec

LOGINS = {
    "redis": {"operator": ("ragops", "redis_operator"), "application": ("rag", "redis_application")},
    "timescaledb": {
        "operator": ("rag_owner", "timescaledb_owner"),
        "application": ("rag_app", "timescaledb_application"),
    },
}


@dataclass
class Engine:
    """One running service and what operations know of it."""

    endpoint: Endpoint
    spec: ProcessSpec
    control: ProcessControl

    @property
    def data(self) -> Path:
        return Path(self.spec.data_dir)

    def redis(self, role: str = "operator") -> redis.Redis:
        login = self.endpoint.logins[role]
        return redis_client.connect(self.endpoint.host, self.endpoint.port, login.user, login.password)

    def sql(self, statement: str, database: str = "rag", role: str = "operator") -> list[tuple]:
        login = self.endpoint.logins[role]
        with psycopg.connect(
            host=self.endpoint.host, port=self.endpoint.port, dbname=database, user=login.user,
            password=login.password.get_secret_value(), autocommit=True,
        ) as connection:  # fmt: skip
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start Valkey where it is down, and wait until it has read its data."""
        if not self.control.is_running():
            self.control.start()
        with self.redis() as client:
            while client.info("persistence")["loading"]:
                time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL to the whole process group, as the kernel would when memory runs out."""
        supervisor.stop(Path(self.spec.run_dir), "SIGKILL", 10)


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """A project folder that an engine's own user can pass."""
    folder = Path(tempfile.mkdtemp(prefix="ragops-test-"))
    folder.chmod(0o755)
    (folder / "ragops.yaml").write_text("name: test\n")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def postgres(root: Path) -> Iterator[Engine]:
    engine = make_engine(root, "timescaledb", timescale_component)
    supervisor.ensure_running(engine.spec)
    prepare(engine.endpoint)
    yield engine
    engine.kill()


@pytest.fixture(scope="module")
def valkey(root: Path) -> Iterator[Engine]:
    engine = make_engine(root, "redis", redis_component)
    supervisor.ensure_running(engine.spec)
    yield engine
    with suppress(Exception):
        engine.kill()


def make_engine(root: Path, name: str, component) -> Engine:
    paths = ProjectPaths(root, "default")
    values = secrets.ensure(paths.secrets, [secret for service in SERVICES for secret in service.secrets()])
    settings = Settings.model_validate({"name": "test", name: {"port": free_port()}})
    section = getattr(settings, name)
    run_dir = paths.run_dir(name)
    layout = Layout(str(run_dir / "config"), str(paths.data_dir(name)), "127.0.0.1")
    service = component.service_spec(section, values, layout)
    user = unprivileged_user("") if service.needs_unprivileged_user else ""
    spec = process_spec(service, layout, str(run_dir), user)
    endpoint = Endpoint(
        service=name,
        engine={"redis": "valkey", "timescaledb": "postgresql"}[name],
        version=service.version,
        runtime="embedded",
        host="127.0.0.1",
        port=section.port,
        runtime_id=str(run_dir),
        options={"database": "rag"} if name == "timescaledb" else {},
        logins={role: Login(user, key, SecretStr(values[key])) for role, (user, key) in LOGINS[name].items()},
        capabilities=CAPABILITIES,
    )
    return Engine(endpoint, spec, ProcessControl(Path(endpoint.runtime_id)))


@pytest.fixture
def vault(tmp_path: Path) -> BackupTarget:
    """One repository, not encrypted."""
    return vault_of(tmp_path)


def control_of(endpoint: Endpoint) -> ProcessControl:
    return ProcessControl(Path(endpoint.runtime_id))


def platform_of(root: Path, *engines: Engine) -> Platform:
    endpoints = {engine.endpoint.service: engine.endpoint for engine in engines}
    return Platform("test", "embedded", endpoints, control_of, {"ragops.yaml": root / "ragops.yaml"})


@pytest.fixture
def redis_platform(root: Path, valkey: Engine) -> Platform:
    """Valkey alone, up and empty."""
    valkey.start()
    valkey.redis().flushall()
    return platform_of(root, valkey)


@pytest.fixture
def postgres_platform(root: Path, postgres: Engine) -> Platform:
    """PostgreSQL alone, up, its database with one table of 100 rows."""
    if not postgres.control.is_running():
        postgres.control.start()
    prepare(postgres.endpoint)
    postgres.sql("DROP SCHEMA IF EXISTS rag CASCADE; CREATE SCHEMA rag")
    postgres.sql("CREATE TABLE rag.documents (id int PRIMARY KEY, body text NOT NULL)")
    postgres.sql("INSERT INTO rag.documents SELECT i, repeat('x', i) FROM generate_series(1, 100) i")
    postgres.sql("GRANT USAGE ON SCHEMA rag TO rag_app; GRANT SELECT ON rag.documents TO rag_app")
    return platform_of(root, postgres)


@pytest.fixture
def whole_platform(redis_platform: Platform, postgres_platform: Platform) -> Platform:
    """Both."""
    return replace(redis_platform, endpoints={**postgres_platform.endpoints, **redis_platform.endpoints})
