"""Real Qdrant servers for tests: as processes of a binary on loopback, one or a cluster of them, else from the image.

The binary is what RAGOPS_TEST_QDRANT names (and RAGOPS_TEST_QDRANT_BEFORE for the minor version before it).
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import SecretStr

from ragops.adapters.docker.client import DockerHost
from ragops.errors import RagopsError
from ragops.services.contract import Capability, Endpoint, Login, Node
from ragops.services.qdrant.cluster.prepare import prepare
from ragops.services.qdrant.names import API_KEY_SECRET, IMAGE, SERVER_ENGINE
from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BINARY = "RAGOPS_TEST_QDRANT"
BINARY_BEFORE = "RAGOPS_TEST_QDRANT_BEFORE"
KEY = "the key of the tests"
# As it is when tests are collected: each of them runs without ragops' own variables.
_NAMED = {name: os.environ.get(name, "") for name in (BINARY, BINARY_BEFORE)}
_START_SECONDS = 90.0


def binary(variable: str = BINARY) -> Path:
    """The server that the variable names; skips the test without one."""
    named = _NAMED[variable]
    if not named:
        pytest.skip(f"not here: a Qdrant server ({variable} names no binary)")
    path = Path(named)
    assert path.is_file(), f"{variable}: there is no {named}"
    return path


class NoControl:
    """`Control` of servers that no runtime started: it can only be asked."""

    local_data = None

    def is_running(self) -> bool:
        return True

    def free_bytes(self) -> int | None:
        return None


@dataclass
class Servers:
    """Processes of one binary, counted from 1; what each stores is in `folder`, `environment` is added to all."""

    program: Path
    folder: Path
    nodes: int = 1
    environment: dict[str, str] = field(default_factory=dict)
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def numbers(self) -> range:
        return range(1, self.nodes + 1)

    def home(self, number: int) -> Path:
        return self.folder / f"node-{number}"

    def url(self, number: int = 1) -> str:
        raise NotImplementedError

    def wait(self, number: int) -> None:
        """Return when the node answers."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url(number)}/healthz", trust_env=False, timeout=5).status_code == 200:
                    return
            assert self.processes[number].poll() is None, self.log(number)
            assert time.monotonic() < deadline, self.log(number)
            time.sleep(0.05)

    def send(self, number: int, what: signal.Signals) -> None:
        self.processes[number].send_signal(what)

    def log(self, number: int) -> str:
        return (self.home(number) / "log").read_text(errors="replace")[-4000:]


@dataclass
class Cluster(Servers):
    """Nodes on loopback, each with ports of its own."""

    def __post_init__(self) -> None:
        self.ports = {number: free_ports(3) for number in self.numbers}

    def url(self, number: int = 1) -> str:
        return f"http://127.0.0.1:{self.ports[number][0]}"

    def grpc_url(self, number: int = 1) -> str:
        return f"http://127.0.0.1:{self.ports[number][1]}"

    @property
    def endpoint(self) -> Endpoint:
        login = Login("", API_KEY_SECRET, SecretStr(KEY))
        options = {
            "replication_factor": str(min(2, self.nodes)),
            "shard_number": str(2 * self.nodes),
        }
        return Endpoint(
            service="qdrant", engine=SERVER_ENGINE, version=self.version(), runtime="docker", host="127.0.0.1",
            port=self.ports[1][0], options=options, logins={"operator": login, "application": login},
            capabilities=frozenset({Capability.RESTART}),
            nodes=tuple(Node(f"qdrant-{number}", self.url(number), self.grpc_url(number)) for number in self.numbers),
        )  # fmt: skip

    def version(self) -> str:
        for number in self.numbers:
            with contextlib.suppress(httpx.HTTPError), self.http(number, seconds=5) as api:
                return str(api.get("/").json()["version"])
        raise AssertionError("no node answers")

    def up(self) -> Cluster:
        for number in self.numbers:
            self.start(number)
        prepare(self.endpoint)
        return self

    def start(self, number: int, program: Path | None = None, **environment: str) -> None:
        """Start a node on its data; returns when it answers."""
        home = self.home(number)
        home.mkdir(parents=True, exist_ok=True)
        rest, grpc, peer = self.ports[number]
        values = {
            "LOG_LEVEL": "INFO,actix_web::middleware::logger=WARN", "TELEMETRY_DISABLED": "true",
            "CLUSTER__ENABLED": "true", "CLUSTER__P2P__PORT": str(peer), "SERVICE__HOST": "127.0.0.1",
            "SERVICE__HTTP_PORT": str(rest), "SERVICE__GRPC_PORT": str(grpc), "SERVICE__API_KEY": KEY,
            "SERVICE__ENFORCE_INTERNAL_AUTH": "true", "STORAGE__STORAGE_PATH": str(home / "storage"),
            "STORAGE__SNAPSHOTS_PATH": str(home / "storage" / "snapshots"),
            "STORAGE__PERFORMANCE__MAX_SEARCH_THREADS": "1",
        }  # fmt: skip
        own = {f"QDRANT__{name}": value for name, value in {**values, **self.environment, **environment}.items()}
        command = [str(program or self.program), "--disable-telemetry", "--uri", f"http://127.0.0.1:{peer}"]
        others = [other for other in self.processes if other != number]
        if others and not (home / "storage" / "raft_state.json").exists():
            command += ["--bootstrap", f"http://127.0.0.1:{self.ports[others[0]][2]}"]
        with (home / "log").open("ab") as log:
            self.processes[number] = subprocess.Popen(
                command, cwd=home, stdout=log, stderr=log,
                env={**os.environ, **own, "QDRANT_INIT_FILE_PATH": str(home / "initialized")},
            )  # fmt: skip
        self.wait(number)

    def stop(self, number: int, what: signal.Signals = signal.SIGTERM) -> None:
        process = self.processes.pop(number, None)
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(what)
            process.wait(60)

    def down(self) -> None:
        for number in self.numbers:
            self.stop(number, signal.SIGKILL)

    def http(self, number: int = 1, seconds: float = 60) -> httpx.Client:
        return client(self.url(number), seconds)


def client(url: str, seconds: float = 60) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"api-key": KEY}, timeout=seconds, trust_env=False)


@contextlib.contextmanager
def cluster(nodes: int = 1, program: Path | None = None, **environment: str) -> Iterator[Cluster]:
    """Nodes that are up, gone when the block ends."""
    program = program or binary()
    folder = Path(tempfile.mkdtemp(prefix="ragops-test-"))
    made = Cluster(program, folder, nodes, environment)
    try:
        yield made.up()
    finally:
        made.down()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Container:
    """One server from the pinned image."""

    address: str
    release: str

    def url(self, number: int = 1) -> str:
        return self.address

    def http(self, number: int = 1, seconds: float = 60) -> httpx.Client:
        return client(self.address, seconds)

    @property
    def endpoint(self) -> Endpoint:
        login = Login("", API_KEY_SECRET, SecretStr(KEY))
        return Endpoint(
            service="qdrant", engine=SERVER_ENGINE, version=self.release, runtime="docker", host="127.0.0.1",
            port=int(self.address.rpartition(":")[2]), nodes=(Node("qdrant-1", self.address),),
            logins={"operator": login, "application": login}, capabilities=frozenset({Capability.RESTART}),
        )  # fmt: skip


@contextlib.contextmanager
def server() -> Iterator[Cluster | Container]:
    """One node: of the binary, else of the image; skips the test where neither is here."""
    if _NAMED[BINARY]:
        with cluster() as made:
            yield made
        return
    with container() as made:
        yield made


@contextlib.contextmanager
def container() -> Iterator[Container]:
    """One node of the pinned image; skips the test where Docker or the image is not here."""
    docker = DockerHost()
    try:
        image = docker.image_id(IMAGE)
    except RagopsError as error:
        pytest.skip(f"not here: a Qdrant server ({BINARY} names no binary, no Docker engine: {error.message})")
    if image is None:
        pytest.skip(f"not here: a Qdrant server ({BINARY} names no binary, Docker has no image {IMAGE})")
    name, (port,) = f"ragops-test-{random.randrange(16**8):08x}", free_ports(1)
    config = {
        "Image": image,
        "Cmd": ["./qdrant", "--uri", "http://127.0.0.1:6335"],
        "Env": [f"QDRANT__SERVICE__API_KEY={KEY}", "QDRANT__CLUSTER__ENABLED=true", "QDRANT__TELEMETRY_DISABLED=true"],
        "ExposedPorts": {"6333/tcp": {}},
        "HostConfig": {"PortBindings": {"6333/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}},
    }
    docker.create(name, config)
    try:
        docker.start(name)
        made = Container(f"http://127.0.0.1:{port}", IMAGE.rpartition(":v")[2])
        _wait_ready(made, docker, name)
        yield made
    finally:
        docker.remove(name, force=True)


def _wait_ready(made: Container, docker: DockerHost, name: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError), made.http(seconds=5) as api:
            if api.get("/readyz").status_code == 200:
                return
        assert docker.container(name).state.running, "\n".join(docker.logs(name, 50))
        time.sleep(0.2)
    raise AssertionError("\n".join(["the server of the image does not become ready", *docker.logs(name, 50)]))


# --- what tests do with them -----------------------------------------------------------------------------------------


def done(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return response.json()["result"]


def ask(api: httpx.Client, method: str, path: str, body: object = None) -> Any:
    """A change of the catalogue, asked for again where it got lost between leaders, as ragops asks for it."""
    for _ in range(3):
        made = api.request(method, path, params={"timeout": "15"}, json=body)
        if made.status_code != 500 or "consensus operation commit failed" not in made.text:
            break
    return made.json().get("result") if made.status_code in (404, 409) else done(made)


def fill(api: httpx.Client, name: str, points: int, *, size: int = 8, **more: Any) -> None:
    """A collection with `points` points whose vectors and payloads follow from their numbers."""
    ask(api, "PUT", f"/collections/{name}", {"vectors": {"size": size, "distance": "Cosine"}, **more})
    for start in range(0, points, 1000):
        rows = [point(number, size) for number in range(start, min(points, start + 1000))]
        done(api.put(f"/collections/{name}/points", params={"wait": "true"}, json={"points": rows}))


def point(number: int, size: int) -> dict[str, Any]:
    dice = random.Random(number)
    vector = [dice.uniform(-1, 1) for _ in range(size)]
    return {"id": number, "vector": vector, "payload": {"n": number, "g": f"g{number % 7}"}}


def drop_all(api: httpx.Client) -> None:
    for item in done(api.get("/collections"))["collections"]:
        ask(api, "DELETE", f"/collections/{item['name'].replace('%', '%25')}")


def users_names(names: Sequence[str]) -> list[str]:
    return sorted(name for name in names if not name.startswith("ragops-"))
