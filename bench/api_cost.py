"""`make bench-api`, second part: processor time of a request in each component, before and after, in turn.

The engines are real. Vectors come from a real cluster of three if RAGOPS_TEST_QDRANT names a server, else from a gRPC
server that answers at once (bench/qdrant_stub.py). `BEFORE` is the commit that today's code is measured against;
SEARCHES, ROUNDS, POINTS, KINDS and SIDES make a run shorter.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import psutil
from measure import passages, publish, ratios, spread

sys.path.insert(0, str(Path(__file__).parent.parent))

from ragops.adapters.qdrant.addresses import Address
from ragops.adapters.qdrant.client import Client, Point, VectorParams
from ragops.adapters.qdrant.sparse import WordModel
from ragops.embedding.hashing import HashingEmbedder
from ragops.runtimes.embedded.processes import supervisor
from ragops.runtimes.embedded.processes.state import read_record
from ragops.services.timescaledb import roles
from ragops.services.timescaledb.schema import migrations as schema
from tests.contract.gateway.envoy_engine import EnvoyGateway
from tests.contract.gateway.upstream import Signer
from tests.engines import Engine, make_engine
from tests.ports import free_port
from tests.qdrant_processes import BINARY, KEY, cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HERE = Path(__file__).parent
BEFORE = os.environ.get("BEFORE", "d687a60")
ROUNDS, SEARCHES = int(os.environ.get("ROUNDS", "3")), int(os.environ.get("SEARCHES", "3000"))
WANTED = os.environ.get("KINDS", "cached,distinct").split(",")
SIDES = os.environ.get("SIDES", "before,after").split(",")
WORKERS = os.environ.get("WORKERS", "1")
AT_ONCE, COLLECTION, KID, PLATFORM = 16, "descriptions", "tok_0123456789ab", "contract"
POINTS, REPEATED = int(os.environ.get("POINTS", "20000")), 50
COMPONENTS = ("API", "Valkey", "PostgreSQL", "Qdrant", "gateway")
_CONTENTS = """
    INSERT INTO rag.embedding_models (name, provider) VALUES ('hashing-384-v1', 'ragops');
    INSERT INTO rag.collections (name, directory, embedding_model, chunk_size, chunk_overlap, file_types)
        VALUES ('descriptions', '/data', 'hashing-384-v1', 800, 0, '{md}')
"""
# An API of the commit before has none of these, though they are installed here.
_PLAIN = """
import runpy, sys
for name in ("uvloop", "httptools", "hiredis"):
    sys.modules[name] = None
sys.argv = ["ragops.api", sys.argv[1]]
runpy.run_module("ragops.api", run_name="__main__")
"""


# --- what runs -------------------------------------------------------------------------------------------------------


@dataclass
class Bench:
    """The engines and both APIs, in a folder that is gone at the end."""

    folder: Path
    texts: list[str]
    signer: Signer = field(default_factory=lambda: Signer(KID))
    engines: dict[str, Engine] = field(default_factory=dict)
    vectors: list[int] = field(default_factory=list)  # processes
    version: str = ""
    ports: dict[str, int] = field(default_factory=lambda: {side: free_port() for side in SIDES})
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    meter: Callable[[Sequence[int]], float] = field(default_factory=lambda: used)

    @property
    def token(self) -> str:
        return self.signer.token(f"ragops/{PLATFORM}", exp=int(time.time()) + 86_400)

    def start_engines(self) -> None:
        for name in ("timescaledb", "redis"):
            self.engines[name] = make_engine(self.folder, name, free_port())
            supervisor.ensure_running(self.engines[name].spec)
        database = self.engines["timescaledb"].endpoint
        roles.prepare(database)
        with roles.log_in(database, "rag") as connection:
            schema.apply(connection, application_role="rag_app")
            connection.execute(_CONTENTS)

    def start_api(self, side: str, code: Path, addresses: Sequence[Address]) -> None:
        home = self.folder / f"api-{side}"
        home.mkdir()
        files = {"qdrant.key": KEY, "jwks.json": json.dumps({"keys": [self.signer.jwk()]})}
        for name, service in (("redis.password", "redis"), ("database.password", "timescaledb")):
            files[name] = self.engines[service].endpoint.logins["application"].password.get_secret_value()
        for name, content in files.items():
            (home / name).write_text(content)
        (home / "api.json").write_text(json.dumps(self.config(side, addresses)))
        with (home / "log").open("wb") as log:
            self.processes[side] = subprocess.Popen(
                [sys.executable, *self.program(side), str(home / "api.json")],
                env={**os.environ, "PYTHONPATH": str(code)}, cwd=home, stdout=log, stderr=log,
            )  # fmt: skip
        self.wait(side, home)

    def program(self, side: str) -> list[str]:
        return ["-c", _PLAIN] if side == "before" else ["-m", "ragops.api"]

    def config(self, side: str, addresses: Sequence[Address]) -> dict[str, Any]:
        redis, database = self.engines["redis"].endpoint, self.engines["timescaledb"].endpoint
        login = database.logins["application"]
        return {
            "listen": {"port": self.ports[side]}, "platform": PLATFORM, "issuer": f"ragops/{PLATFORM}",
            "jwks_file": "jwks.json",
            "qdrant": {
                "urls": [one.url for one in addresses], "grpc_urls": [one.grpc_url for one in addresses],
                "api_key_file": "qdrant.key",
            },
            "redis": {
                "host": "127.0.0.1", "port": redis.port, "user": redis.logins["application"].user,
                "password_file": "redis.password",
            },
            "database": {
                "host": "127.0.0.1", "port": database.port, "dbname": "rag", "user": login.user,
                "password_file": "database.password",
            },
            "embedder": {"kind": "hashing", "dimensions": 384},
            "legacy": {"deprecated": "2026-01-01", "sunset": "2099-01-01"},
            "cache": {"seconds": 3600}, "workers": int(WORKERS),
        }  # fmt: skip

    def wait(self, side: str, home: Path) -> None:
        limit = time.monotonic() + 60
        while time.monotonic() < limit and self.processes[side].poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{self.ports[side]}/healthz", trust_env=False).status_code == 200:
                    return
            time.sleep(0.1)
        raise SystemExit((home / "log").read_text()[-3000:])

    def pids(self, side: str, gateway: EnvoyGateway | None) -> dict[str, list[int]]:
        found = {"API": [self.processes[side].pid], "Qdrant": self.vectors}
        for component, name in (("Valkey", "redis"), ("PostgreSQL", "timescaledb")):
            record = read_record(Path(self.engines[name].spec.run_dir))
            assert record is not None
            found[component] = [record.pid]
        if gateway is not None and gateway._process is not None:
            found["gateway"] = [gateway._process.pid]
        return found

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        for engine in self.engines.values():
            with contextlib.suppress(Exception):
                engine.kill()


@contextlib.contextmanager
def vector_store(bench: Bench) -> Iterator[list[Address]]:
    if os.environ.get(BINARY):
        with cluster(3, SERVICE__HTTP_KEEP_ALIVE_TIMEOUT_SEC="75") as made:
            bench.vectors = [process.pid for process in made.processes.values()]
            bench.version = f"Qdrant {made.version()}, three nodes, a shard of {POINTS} points with a copy on each"
            found = [Address(f"qdrant-{number}", made.url(number), made.grpc_url(number)) for number in made.numbers]
            fill(found, bench.texts)
            yield found
        return
    port = free_port()
    process = subprocess.Popen([sys.executable, str(HERE / "qdrant_stub.py"), str(port)])
    bench.vectors, bench.version = [process.pid], "a gRPC server that answers at once in place of Qdrant"
    try:
        yield [Address("stub", f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}")]
    finally:
        process.terminate()
        process.wait(10)


def fill(addresses: list[Address], texts: list[str]) -> None:
    embedder, words = HashingEmbedder(), WordModel()
    placement = {"shard_number": 1, "replication_factor": 3, "write_consistency_factor": 2}
    with Client(addresses, KEY, seconds=60) as client:
        client.create_collection(COLLECTION, VectorParams(384, "Cosine", sparse=True), placement)
        for start in range(0, POINTS, 250):
            points = []
            for number in range(start, start + 250):
                text = f"{number} {texts[number % len(texts)]}"
                payload = {"document_id": number, "path": f"{number}.md", "position": 0, "text": text,
                           "heading": "Usage / Options", "content_hash": "0" * 64}  # fmt: skip
                points.append(Point(UUID(int=number), embedder.embed([text])[0], payload, words.of_passage(text, 800)))
            client.upsert(COLLECTION, points)


@contextlib.contextmanager
def code_before() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ragops-before-"))
    git = ["git", "-C", str(HERE.parent), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), BEFORE], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


# --- processor time --------------------------------------------------------------------------------------------------


def used(pids: Sequence[int]) -> float:
    """Seconds of user and system time of processes, of their children and of those that have ended."""
    total = 0.0
    for pid in pids:
        root = psutil.Process(pid)
        times = root.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
        for child in root.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = child.cpu_times()
                total += times.user + times.system
    return total


def scheduled(pids: Sequence[int]) -> float:
    """Seconds that the threads of processes were scheduled, to the nanosecond: for processes whose threads live on."""
    paths = (path for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(path.read_text().split()[0]) for path in paths) / 1e9


@dataclass(frozen=True)
class Round:
    """Milliseconds of processor time for one request by component, and requests in a second."""

    cost: dict[str, float]
    rate: float


async def send(port: int, requests: Iterator[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for one in requests:
        await exchange(reader, writer, one)
    writer.close()


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"{head.decode()}{(await reader.read(500)).decode()}")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    assert length is not None
    await reader.readexactly(int(length[1]))


async def ask(port: int, requests: Sequence[bytes]) -> None:
    left = iter(requests)
    await asyncio.gather(*(send(port, left) for _ in range(AT_ONCE)))


def measure(bench: Bench, side: str, bodies: Sequence[bytes], gateway: EnvoyGateway | None = None) -> Round:
    port = gateway.inputs.settings.port if gateway else bench.ports[side]
    head = f"POST /api/v1/search HTTP/1.1\r\nHost: localhost:{port}\r\nAuthorization: Bearer {bench.token}\r\nContent-Type: application/json\r\n"
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
    pids = bench.pids(side, gateway)
    before, began = {name: bench.meter(of) for name, of in pids.items()}, time.perf_counter()
    asyncio.run(ask(port, requests))
    seconds = time.perf_counter() - began
    time.sleep(2.5)  # the query log of these requests is written behind them
    cost = {name: (bench.meter(of) - before[name]) * 1000 / len(bodies) for name, of in pids.items()}
    return Round(cost, len(bodies) / seconds)


class Questions:
    """Questions of three words out of the texts; `distinct` never asks one twice."""

    def __init__(self, texts: list[str]) -> None:
        self._dice = random.Random(7)
        self._words = sorted({word for text in texts for word in re.findall(r"[a-z]{5,10}", text)})
        self._number = 0
        self.asked: list[str] = []

    def cached(self, count: int) -> list[bytes]:
        return [_body(f"{self._words[number % REPEATED]} of a package") for number in range(count)]

    def distinct(self, count: int) -> list[bytes]:
        self._number += 1
        self.asked = [f"{' '.join(self._dice.sample(self._words, 3))} {self._number}x{one}" for one in range(count)]
        return [_body(question) for question in self.asked]


def _body(question: str) -> bytes:
    return json.dumps({"query": question, "collection": COLLECTION, "limit": 5}).encode()


def embedding_cost(questions: Sequence[str]) -> float:
    """Milliseconds of this process for the vector of one question, made as the API makes it."""
    embedder, before = HashingEmbedder(), time.process_time()
    for question in questions:
        embedder.embed([question])
    return (time.process_time() - before) * 1000 / len(questions)


# --- the table -------------------------------------------------------------------------------------------------------


def rounds(bench: Bench) -> tuple[dict[tuple[str, str], list[Round]], list[float]]:
    questions, found, embedding = Questions(bench.texts), {}, []
    make: dict[str, Callable[[int], list[bytes]]] = {"cached": questions.cached, "distinct": questions.distinct}
    for side in SIDES:
        for kind in WANTED:
            measure(bench, side, make[kind](max(200, REPEATED)))
    for _ in range(ROUNDS):
        for kind in WANTED:
            for side in SIDES:
                found.setdefault((kind, side), []).append(measure(bench, side, make[kind](SEARCHES)))
        if questions.asked:
            embedding.append(embedding_cost(questions.asked))
    return found, embedding


def through_gateway(bench: Bench) -> list[Round]:
    gateway = EnvoyGateway(
        bench.folder / "gateway", bench.ports[SIDES[-1]], bench.signer,
        rate_limit={"requests": 1_000_000, "per": "second", "burst": 1_000_000},
    )  # fmt: skip
    gateway.start()
    try:
        questions = Questions(bench.texts)
        return [measure(bench, SIDES[-1], questions.cached(SEARCHES), gateway) for _ in range(ROUNDS)]
    finally:
        gateway.stop()


def table(found: dict[tuple[str, str], list[Round]], embedding: list[float], version: str) -> str:
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {datetime.now(tz=UTC):%Y-%m-%d}"
    lines = [
        f"`make bench-api` on {machine}: processor time of one request in ms, {SEARCHES} requests a round, {AT_ONCE} at once, {WORKERS} worker;"
        f" median (least-most) of {ROUNDS} rounds, before ({BEFORE}) and after in turn; {version}; the load is not part of it.",
        "",
        f"| search | {' | '.join(COMPONENTS)} | API, of before | requests/s |",
        f"| --- {'| --- ' * (len(COMPONENTS) + 2)}|",
    ]
    for (kind, side), all_rounds in found.items():
        cells = [
            spread([one.cost[name] for one in all_rounds]) if name in all_rounds[0].cost else "" for name in COMPONENTS
        ]
        base = found.get((kind, "before"))
        own = [one.cost["API"] for one in all_rounds]
        ratio = ratios(own, [one.cost["API"] for one in base]) if base and side == "after" else ""
        rate = spread([one.rate for one in all_rounds], 0)
        lines.append(f"| {kind}, {side} | {' | '.join(cells)} | {ratio} | {rate} |")
    if embedding:
        lines += ["", f"The vector of a distinct question (hashing-384) is {spread(embedding)} ms of the API's time."]
    return "\n".join(lines)


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="ragops-bench-"))
    folder.chmod(0o755)
    bench = Bench(folder, passages())
    try:
        bench.start_engines()
        with vector_store(bench) as addresses, contextlib.ExitStack() as stack:
            for side in SIDES:
                code = stack.enter_context(code_before()) if side == "before" else HERE.parent
                bench.start_api(side, code, addresses)
            found, embedding = rounds(bench)
            if "cached" in WANTED:
                found["cached, through the gateway", SIDES[-1]] = through_gateway(bench)
        text = table(found, embedding, bench.version)
    finally:
        bench.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(text) if os.environ.get("DRAFT") else publish("bench-api-cost", text)


if __name__ == "__main__":
    main()
