"""The embedded engines, started without Pulumi: real servers in a folder of their own."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ragops.runtimes.embedded.processes import supervisor
from ragops.services.timescaledb.roles import prepare
from tests import loaded_platform
from tests.backup_helpers import open_repositories
from tests.conftest import scratch, write_project
from tests.engines import Engine, make_engine, platform_of
from tests.integration.stack import Stack
from tests.ports import free_port
from tests.unit.api.fakes import Issuer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.operations.session import Platform
    from ragops.recovery.repositories import Repositories
    from tests.command_line import Cli
    from tests.loaded_platform import Loaded


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
    engine = make_engine(root, "timescaledb", free_port())
    supervisor.ensure_running(engine.spec)
    prepare(engine.endpoint)
    yield engine
    engine.kill()


@pytest.fixture(scope="module")
def valkey(root: Path) -> Iterator[Engine]:
    engine = make_engine(root, "redis", free_port())
    supervisor.ensure_running(engine.spec)
    yield engine
    with suppress(Exception):
        engine.kill()


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The API on engines of its own; whoever ends one of them brings it back."""
    with scratch("stack") as folder:
        issuer = Issuer(folder / "jwks.json", None)  # type: ignore[arg-type]
        issuer.issue()
        running = Stack(folder, issuer, free_port())
        try:
            running.start()
            yield running
        finally:
            running.close()


@pytest.fixture(scope="session")
def loaded(ragops: Cli) -> Iterator[Loaded]:
    """A platform with data and a recovery point; whoever stops or changes it brings it back."""
    with scratch("loaded platform") as folder:
        root = write_project(folder / "project", ragops)
        try:
            yield loaded_platform.make(root, ragops)
        finally:
            ragops("down", "--yes", cwd=root)


@pytest.fixture
def repos(tmp_path: Path) -> Repositories:
    """One repository, not encrypted."""
    return open_repositories(tmp_path)


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
