"""Three Qdrant servers in networks of their own, with the very environment that `ragops up` gives to containers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import SecretStr

from ragops.services.contract import Capability, Endpoint, Login, Node
from ragops.services.qdrant.cluster.prepare import prepare
from ragops.services.qdrant.names import API_KEY_SECRET, SERVER_ENGINE
from ragops.services.qdrant.node import GRPC_PORT, PEER_PORT, REST_PORT, STOP_GRACE, node_spec
from ragops.services.qdrant.settings import QdrantSettings, instance
from ragops.services.spec import Distribution, Layout
from tests.chaos import network
from tests.qdrant_processes import Servers

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "the key of the campaign"
COMPILER = shutil.which("cc")


@dataclass
class Nodes(Servers):
    """Processes of one server, each on an address of its own."""

    nodes: int = 3

    def url(self, number: int = 1) -> str:
        return f"http://{network.host(number)}:{REST_PORT}"

    def endpoint(self, placement: dict[str, str] | None = None, first: int = 1) -> Endpoint:
        """The endpoint with node `first` as the first that is asked."""
        login = Login("", API_KEY_SECRET, SecretStr(KEY))
        order = sorted(self.numbers, key=lambda number: (number - first) % self.nodes)
        nodes = [
            Node(instance(number), self.url(number), f"http://{network.host(number)}:{GRPC_PORT}") for number in order
        ]
        return Endpoint(
            service="qdrant", engine=SERVER_ENGINE, version=self.version(), runtime="docker", host=network.host(first),
            port=REST_PORT, options=placement or {}, logins={"operator": login, "application": login},
            capabilities=frozenset({Capability.RESTART}), nodes=tuple(nodes),
        )  # fmt: skip

    def version(self) -> str:
        done = subprocess.run([self.program, "--version"], capture_output=True, text=True, timeout=30, check=True)
        return done.stdout.split()[-1]

    def up(self) -> Nodes:
        network.build(self.numbers)
        for number in self.numbers:
            self.start(number)
        prepare(self.endpoint())
        return self

    def start(self, number: int, program: Path | None = None, **environment: str) -> None:
        """Start a node on its data; returns when it answers."""
        home = self.home(number)
        (home / "storage").mkdir(parents=True, exist_ok=True)
        layouts = [_layout(one, self.home(one)) for one in self.numbers]
        settings = QdrantSettings(nodes=self.nodes)
        spec = node_spec(settings, {API_KEY_SECRET: KEY}, layouts, number)
        own = {f"QDRANT__{name}": value for name, value in {**self.environment, **environment}.items()}
        command = [str(program or self.program), "--uri", f"http://{network.host(number)}:{PEER_PORT}"]
        if number != 1 and not (home / "storage" / "raft_state.json").exists():
            command += ["--bootstrap", f"http://{network.host(1)}:{PEER_PORT}"]
        values = {**os.environ, **spec.environment, "QDRANT__SERVICE__API_KEY": KEY, **own, **self._clock(home)}
        with (home / "log").open("ab") as log:
            self.processes[number] = subprocess.Popen(
                network.inside(number, *command), cwd=home, stdout=log, stderr=log, env=values
            )
        self.wait(number)

    def _clock(self, home: Path) -> dict[str, str]:
        """The variables that give a node a wall clock of its own, none where there is no C compiler."""
        library = self.folder / "clock_step.so"
        if COMPILER is None:
            return {}
        if not library.exists():
            source = Path(__file__).with_name("clock_step.c")
            subprocess.run([COMPILER, "-shared", "-fPIC", "-O2", "-o", library, source], timeout=60, check=True)
        if not (home / "clock").exists():
            self.set_clock(home, 0)
        return {"LD_PRELOAD": str(library), "CLOCK_STEP": str(home / "clock")}

    @staticmethod
    def set_clock(home: Path, seconds: int) -> None:
        """Have the node's wall clock run so far ahead, or behind; the monotonic one does not step."""
        with (home / "clock").open("r+b" if (home / "clock").exists() else "wb") as file:
            file.write(struct.pack("l", seconds))

    def stop(self, number: int, what: signal.Signals = signal.SIGKILL) -> None:
        """End a node; one that does not end by itself within its grace is killed, as Docker does."""
        process = self.processes.pop(number, None)
        if process is None:
            return
        process.send_signal(what)
        try:
            process.wait(STOP_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)

    def down(self) -> None:
        for number in self.numbers:
            self.stop(number)

    def failed_updates(self) -> int:
        """How often a node has written that another one did not take an update."""
        logs = (self.home(number) / "log" for number in self.numbers)
        return sum(log.read_bytes().count(b"Failed to update shard") for log in logs)

    @contextlib.contextmanager
    def http(self, number: int, seconds: float = 30) -> Iterator[httpx.Client]:
        with httpx.Client(
            base_url=self.url(number), headers={"api-key": KEY}, timeout=seconds, trust_env=False
        ) as client:
            yield client

    def raft(self) -> dict[int, dict[str, Any]]:
        """What every node that answers says of consensus: `term`, `leader`, `peer`."""
        found = {}
        for number in self.numbers:
            with contextlib.suppress(httpx.HTTPError, KeyError), self.http(number, 3) as api:
                status = api.get("/cluster").json()["result"]
                found[number] = {
                    "peer": status["peer_id"], "leader": status["raft_info"]["leader"],
                    "term": status["raft_info"]["term"],
                }  # fmt: skip
        return found

    def has_consensus(self, number: int) -> bool:
        """Whether the node takes part in consensus, as far as it says."""
        if self.processes[number].poll() is not None:
            return False
        try:
            with self.http(number, 5) as api:
                status = api.get("/cluster").json()["result"]["consensus_thread_status"]
        except (httpx.HTTPError, KeyError):
            return False
        return bool(status["consensus_thread_status"] == "working")

    def leader(self) -> int:
        """The number of the node that leads, 1 if no node says so."""
        return next((number for number, one in self.raft().items() if one["leader"] == one["peer"]), 1)

    def term(self) -> int:
        return max((one["term"] for one in self.raft().values()), default=0)


def _layout(number: int, home: Path) -> Layout:
    return Layout(
        distribution=Distribution.IMAGE, shares_filesystem=False, config_dir=str(home), data_dir=str(home / "storage"),
        listen="0.0.0.0", internal_host=network.host(number),
    )  # fmt: skip
