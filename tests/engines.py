"""The embedded engines, started without Pulumi: real servers in a folder of their own.

`initdb` runs once in a process of tests: every other data folder is a copy of what it made. No data have to outlive the
machine here, so that the server need not wait for its disk either.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from pydantic import SecretStr

from ragops.adapters import redis_client
from ragops.adapters.files import SECRET_MODE, write_atomic
from ragops.config import secrets
from ragops.config.model import Settings
from ragops.config.paths import ProjectPaths
from ragops.operations.session import Platform
from ragops.runtimes.embedded.control import ProcessControl
from ragops.runtimes.embedded.processes import supervisor
from ragops.runtimes.embedded.processes.state import read_record
from ragops.runtimes.embedded.programs import unprivileged_user
from ragops.runtimes.embedded.runtime import CAPABILITIES, process_spec
from ragops.services import SERVICES
from ragops.services.contract import Endpoint, Login
from ragops.services.qdrant import component as qdrant_component
from ragops.services.redis import component as redis_component
from ragops.services.spec import InitStep, Layout
from ragops.services.timescaledb import component as timescale_component

if TYPE_CHECKING:
    import redis

    from ragops.runtimes.embedded.processes.spec import ProcessSpec
    from ragops.services.spec import ServiceSpec

COMPONENTS: dict[str, Any] = {"redis": redis_component, "timescaledb": timescale_component, "qdrant": qdrant_component}
LOGINS = {
    "redis": {"operator": ("ragops", "redis_operator"), "application": ("rag", "redis_application")},
    "timescaledb": {
        "operator": ("rag_owner", "timescaledb_owner"),
        "application": ("rag_app", "timescaledb_application"),
    },
    "qdrant": {"operator": ("", "qdrant_api_key"), "application": ("", "qdrant_api_key")},
}
ENGINES = {"redis": "valkey", "timescaledb": "postgresql", "qdrant": "qdrant-edge"}
_OWNER_PASSWORD = "the-owner-of-all-tests-databases"  # a copied data folder has the password of the first one
_NOT_DURABLE = ("-c", "fsync=off", "-c", "full_page_writes=off")


class Client:
    """Clients of a service by its endpoint."""

    endpoint: Endpoint

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


@dataclass
class Engine(Client):
    """One running service and what operations know of it."""

    endpoint: Endpoint
    spec: ProcessSpec
    control: ProcessControl

    @property
    def data(self) -> Path:
        return Path(self.spec.data_dir)

    def start(self) -> None:
        """Start Valkey where it is down, and wait until it has read its data."""
        if not self.control.is_running():
            self.control.start()
        with self.redis() as client:
            while client.info("persistence")["loading"]:
                time.sleep(0.02)

    def signal(self, number: int) -> None:
        """Send a signal to its process alone."""
        record = read_record(Path(self.spec.run_dir))
        assert record is not None
        os.kill(record.pid, number)

    def kill(self) -> None:
        """SIGKILL to the whole process group, as the kernel would when memory runs out."""
        supervisor.stop(Path(self.spec.run_dir), "SIGKILL", 10)


def make_engine(root: Path, name: str, port: int) -> Engine:
    """Describe the service `name` of a project in `root`; nothing is started."""
    paths = ProjectPaths(root, "default")
    values = project_secrets(paths)
    section = getattr(Settings.model_validate({"name": "test", name: {"port": port}}), name)
    run_dir = paths.run_dir(name)
    layout = Layout(str(run_dir / "config"), str(paths.data_dir(name)), "127.0.0.1")
    service = COMPONENTS[name].service_spec(section, values, layout)
    spec = embedded_spec(service, layout, str(run_dir))
    endpoint = Endpoint(
        service=name, engine=ENGINES[name], version=service.version, runtime="embedded", host="127.0.0.1", port=port,
        runtime_id=str(run_dir), options={"database": "rag"} if name == "timescaledb" else {},
        logins=logins(name, values), capabilities=CAPABILITIES,
    )  # fmt: skip
    return Engine(endpoint, spec, control_of(endpoint))


def project_secrets(paths: ProjectPaths) -> dict[str, str]:
    """All passwords of a project; the database's owner has the one of the data folder that is copied."""
    if not paths.secrets.exists():
        paths.secrets.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        write_atomic(paths.secrets, json.dumps({"timescaledb_owner": _OWNER_PASSWORD}), SECRET_MODE)
    return secrets.ensure(paths.secrets, [secret for service in SERVICES for secret in service.secrets()])


def logins(name: str, values: dict[str, str]) -> dict[str, Login]:
    """The logins of a service, with passwords out of `values`."""
    return {role: Login(user, key, SecretStr(values[key])) for role, (user, key) in LOGINS[name].items()}


def embedded_spec(service: ServiceSpec, layout: Layout, run_dir: str) -> ProcessSpec:
    """As the embedded runtime starts it, but for a data folder that is copied, and writes that nothing waits for."""
    user = unprivileged_user("") if service.needs_unprivileged_user else ""
    spec = process_spec(service, layout, run_dir, user)
    if spec.init is None:
        return spec
    (password,) = (file.content for file in service.files if file.name == "owner.password")
    # The file of the password is another one for each: without its name all commands are the same.
    command = tuple("{password}" if word.endswith("/owner.password") else word for word in spec.init.command)
    made = _initialised(command, user, password)
    copied = InitStep((str(shutil.which("cp")), "--archive", "--reflink=auto", f"{made}/.", "{data}"), spec.init.marker)
    return replace(spec, init=copied, command=(*spec.command, *_NOT_DURABLE))


@cache
def _initialised(command: tuple[str, ...], user: str, password: str) -> Path:
    """A data folder as `initdb` makes it, gone when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="ragops-initdb-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    data, file = folder / "data", folder / "password"
    data.mkdir(mode=0o700)
    file.write_text(password)
    if user:
        shutil.chown(data, user)
    words = [part.replace("{data}", str(data)).replace("{password}", str(file)) for part in command]
    subprocess.run(words, user=user or None, cwd="/", check=True, capture_output=True, timeout=120)
    return data


def control_of(endpoint: Endpoint) -> ProcessControl:
    """What the embedded runtime can do with a service."""
    return ProcessControl(Path(endpoint.runtime_id))


def platform_of(root: Path, *engines: Engine) -> Platform:
    """A platform of these engines, as backups and restores see it."""
    endpoints = {engine.endpoint.service: engine.endpoint for engine in engines}
    return Platform("test", "embedded", endpoints, control_of, {"ragops.yaml": root / "ragops.yaml"})
