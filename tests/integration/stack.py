"""The API as a process of its own on the engines that the embedded runtime starts, with two collections in them."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import SecretStr

from ragops.config.paths import ProjectPaths
from ragops.embedding.hashing import HashingEmbedder
from ragops.runtimes.embedded.processes import supervisor
from ragops.services.api.configuration import ApiInputs, service_spec
from ragops.services.api.settings import ApiSettings
from ragops.services.contract import Endpoint, Login
from ragops.services.spec import Layout
from ragops.services.timescaledb import roles
from ragops.services.timescaledb.schema import migrations as schema
from tests.engines import make_engine, project_secrets
from tests.ports import free_port
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.services.spec import ServiceSpec
    from tests.engines import Engine
    from tests.unit.api.fakes import Issuer

RESET_SECONDS = 2.0
TEXTS = {
    "rotation.md": "Two secrets are valid during a rotation of the service token.",
    "backup.md": "A recovery point is one set over all services.",
    "redis.md": "Redis keeps an append only file and snapshots.",
}
_CONTENTS = """
    INSERT INTO rag.embedding_models (name, provider) VALUES ('hashing-384-v1', 'ragops');
    INSERT INTO rag.collections (name, directory, embedding_model, chunk_size, chunk_overlap, file_types) VALUES
        ('manuals', '/data', 'hashing-384-v1', 500, 50, '{md}'), ('notes', '/n', 'hashing-384-v1', 500, 50, '{md}');
    INSERT INTO rag.documents (collection_id, path, content_hash, size_bytes, modified_at, status, indexed_at)
        SELECT id, 'a.md', repeat('0', 64), 1, now(), 'indexed', now() FROM rag.collections WHERE name = 'manuals'
"""


@dataclass
class Program:
    """A Python service of the platform as a process, started from its specification."""

    spec: ServiceSpec
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for file in self.spec.files:
            (self.folder / file.name).write_text(file.content)
        with self.log.open("ab") as log:
            command = [sys.executable, *self.spec.command[1:]]
            self.process = subprocess.Popen(command, stderr=log, stdout=log, stdin=subprocess.DEVNULL)
        [port] = self.spec.ports.values()
        url = f"http://127.0.0.1:{port}{self.spec.health.path}"
        wait_until(lambda: answers(url), what=lambda: self.log.read_text()[-3000:])

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@dataclass
class Stack:
    """Everything that runs, and how to ask it."""

    root: Path
    issuer: Issuer
    api_port: int
    programs: dict[str, Program] = field(default_factory=dict)
    engines: dict[str, Engine] = field(default_factory=dict)

    @property
    def secrets(self) -> dict[str, str]:
        return project_secrets(ProjectPaths(self.root, "default"))

    def endpoint(self, secret: str = "api_service_token") -> Endpoint:
        """The API's own, its operator logged in with the value of `secret`."""
        login = Login("ragops", secret, SecretStr(self.secrets[secret]))
        return Endpoint("api", "api", "1", "embedded", "127.0.0.1", self.api_port, logins={"operator": login})

    def api_spec(self, **settings: Any) -> ServiceSpec:
        inputs = ApiInputs(
            settings=ApiSettings.model_validate(
                {"port": self.api_port, "breakers": {"reset_seconds": RESET_SECONDS}, **settings}
            ),
            platform="test",
            qdrant=self.engines["qdrant"].endpoint,
            redis=self.engines["redis"].endpoint,
            database=self.engines["timescaledb"].endpoint,
            jwks_file=str(self.issuer.jwks),
            secrets=self.secrets,
        )
        return service_spec(inputs, Layout(str(self.root / "api/config"), str(self.root / "api/data"), "127.0.0.1"))

    def start(self) -> None:
        """Start the engines, fill them, start the API."""
        for name in ("timescaledb", "redis", "qdrant"):
            self.engines[name] = make_engine(self.root, name, free_port())
            supervisor.ensure_running(self.engines[name].spec)
        database = self.engines["timescaledb"].endpoint
        roles.prepare(database)
        with roles.log_in(database, "rag") as connection:
            schema.apply(connection, application_role="rag_app")
            connection.execute(_CONTENTS)
        self._fill_vectors()
        self.programs["api"] = Program(self.api_spec(), self.root / "api" / "config")
        self.programs["api"].start()

    def _fill_vectors(self) -> None:
        self.qdrant("PUT", "/collections/manuals", {"vectors": {"size": 384, "distance": "Cosine"}})
        points = [
            {
                "id": str(uuid.uuid5(uuid.NAMESPACE_URL, path)),
                "vector": HashingEmbedder().embed([text])[0],
                "payload": {"document_id": number, "path": path, "position": 0, "text": text, "collection": "manuals"},
            }
            for number, (path, text) in enumerate(TEXTS.items(), 1)
        ]
        self.qdrant("PUT", "/collections/manuals/points?wait=true", {"points": points})

    def close(self) -> None:
        """End everything."""
        for program in self.programs.values():
            if program.process and program.process.poll() is None:
                program.end(signal.SIGKILL)
        for engine in self.engines.values():
            with suppress(Exception):
                engine.kill()

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with roles.log_in(self.engines["timescaledb"].endpoint, "rag") as connection:
            cursor = connection.execute(statement, values or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def qdrant(self, method: str, path: str, body: Any = None) -> httpx.Response:
        url = f"http://127.0.0.1:{self.engines['qdrant'].endpoint.port}{path}"
        headers = {"api-key": self.secrets["qdrant_api_key"]}
        return httpx.request(method, url, json=body, headers=headers, timeout=10, trust_env=False).raise_for_status()

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        token = self.issuer.sign("tok_0123456789ab", iss="ragops/test")
        base = f"http://127.0.0.1:{self.api_port}"
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=base, headers=headers, timeout=15, trust_env=False) as client:
            yield client

    def breaker(self, name: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.api_port}/internal/breakers"
        headers = {"X-Service-Token": self.secrets["api_service_token"]}
        found = httpx.get(url, headers=headers, timeout=5, trust_env=False).raise_for_status().json()["breakers"]
        return next(breaker for breaker in found if breaker["dependency"] == name)


def ask(client: httpx.Client, query: str, path: str = "/api/v1/search") -> httpx.Response:
    return client.post(path, json={"collection": "manuals", "query": query})
