"""`make bench-observability`: what metrics and traces cost the API for a request, and Prometheus the machine.

First the API on real engines with metrics, without any, and with spans sent to a collector, in turn, so that the ratio
holds on a busy machine. Then a whole platform with its service `observability`, idle and at RATE requests/s: embedded
that is the `prometheus` of this machine, with RUNTIME=docker all its containers.
ROUNDS, SEARCHES, KINDS, SECONDS and PARTS=api,platform make a run shorter; DRAFT=1 prints without writing.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["SIDES"] = "after"  # api_cost measures two commits, this one
import api_cost
import load
from load_processes import Services, Usage
from measure import passages, publish, ratios, run, spread

from ragops.adapters.prometheus_api import PrometheusClient, PrometheusError
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ragops.adapters.qdrant.addresses import Address

PARTS = os.environ.get("PARTS", "api,platform").split(",")
RATE, SECONDS = int(os.environ.get("RATE", "500")), int(os.environ.get("SECONDS", "60"))
SIDES, KINDS = ("without metrics", "metrics", "metrics and spans"), api_cost.WANTED
_MIB = 1 << 20
_WITHOUT = """
import runpy, sys
class Nothing:
    def labels(self, *_): return self
    def inc(self, *_): pass
    observe = set = inc
import ragops.api.metrics as metrics
for name in ("Counter", "Gauge", "Histogram"):
    setattr(metrics, name, lambda *_, **__: Nothing())
sys.argv = ["ragops.api", sys.argv[1]]
runpy.run_module("ragops.api", run_name="__main__")
"""


# --- the API ---------------------------------------------------------------------------------------------------------


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes spans and keeps none."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@dataclass
class Bench(api_cost.Bench):
    """The same API three times, with more and less to observe it by."""

    ports: dict[str, int] = field(default_factory=lambda: {side: free_port() for side in SIDES})
    collector: str = ""
    meter: Any = api_cost.scheduled

    def program(self, side: str) -> list[str]:
        return ["-c", _WITHOUT] if side == SIDES[0] else ["-m", "ragops.api"]

    def config(self, side: str, addresses: Sequence[Address]) -> dict[str, Any]:
        tracing = {"tracing": {"endpoint": self.collector}} if side == SIDES[2] else {}
        patient = {"timeouts": {"qdrant": 60, "request": 120}}  # a busy machine is not what is measured
        return {**super().config(side, addresses), **tracing, **patient}


@contextlib.contextmanager
def collector() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def of_api() -> str:
    folder = Path(tempfile.mkdtemp(prefix="ragops-bench-"))
    folder.chmod(0o755)
    bench = Bench(folder, passages())
    found: dict[tuple[str, str], list[api_cost.Round]] = {}
    try:
        bench.start_engines()
        with api_cost.vector_store(bench) as addresses, collector() as bench.collector:
            for side in SIDES:
                bench.start_api(side, Path(__file__).parent.parent, addresses)
            questions = api_cost.Questions(bench.texts)
            make = {"cached": questions.cached, "distinct": questions.distinct}
            for number, kind in itertools.product(range(-1, api_cost.ROUNDS), KINDS):
                order = SIDES if number % 2 else SIDES[::-1]  # who is first has the warmer machine
                for side in order:
                    one = api_cost.measure(bench, side, make[kind](api_cost.SEARCHES))
                    print(f"{kind}, {side}: {one.cost['API']:.3f} ms", file=sys.stderr, flush=True)
                    if number >= 0:
                        found.setdefault((kind, side), []).append(one)
    finally:
        bench.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return _api_table(found, bench.version)


def _api_table(found: Mapping[tuple[str, str], list[api_cost.Round]], version: str) -> str:
    lines = [
        f"Processor time of the API for a search, ms; median (least-most) of {api_cost.ROUNDS} rounds of {api_cost.SEARCHES}"
        f" requests in turn, {api_cost.AT_ONCE} at once; {version}.",
        "",
        "| search | API | ms | of that without metrics |",
        "| --- | --- | --- | --- |",
    ]
    for (kind, side), rounds in found.items():
        own = [one.cost["API"] for one in rounds]
        base = [one.cost["API"] for one in found[kind, SIDES[0]]]
        lines.append(f"| {kind} | {side} | {spread(own, 3)} | {'' if side == SIDES[0] else ratios(own, base)} |")
    return "\n".join(lines)


# --- the platform ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phase:
    """What the observers used for `seconds`: seconds of processor time, and bytes of memory at the end."""

    name: str
    seconds: float
    rate: float
    used: Usage


def observers(folder: Path) -> Usage:
    """Return what Prometheus has used, in containers with all that belongs to it."""
    return Services(folder).usage()["observability"]


async def paced(base: str, token: str, bodies: Sequence[bytes], seconds: float) -> int:
    """Ask RATE questions a second, as far as the machine can; return how many were answered."""
    host, port = base.removeprefix("http://").split(":")
    head = f"POST /api/v1/search HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
    began, answered = time.monotonic(), 0

    def due() -> Iterator[bytes]:
        for number in itertools.count():
            if time.monotonic() > began + seconds:
                return
            yield requests[number % len(requests)]

    async def one(questions: Iterator[bytes], turn: int) -> None:
        nonlocal answered
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
        for number, question in enumerate(questions):
            wait = began + (number * api_cost.AT_ONCE + turn) / RATE - time.monotonic()
            await asyncio.sleep(max(0.0, wait))
            await api_cost.exchange(reader, writer, question)
            answered += 1
        writer.close()

    await asyncio.gather(*(one(due(), turn) for turn in range(api_cost.AT_ONCE)))
    return answered


def of_platform() -> str:
    folder = Path(tempfile.mkdtemp(prefix="ragops-load-"))
    folder.chmod(0o755)
    try:
        token = load.prepare(folder, observability=True)[0]
        values = json.loads(run([load.RAGOPS, "outputs", "--format", "json"], folder).stdout)
        bodies = [
            json.dumps({"query": f"{word} package", "collection": load.COLLECTION}).encode() for word in range(50)
        ]
        ask = lambda: asyncio.run(paced(values["API_URL"], token, bodies, SECONDS))  # noqa: E731
        phases = [phase("idle", folder, lambda: _wait(SECONDS)), phase(f"{RATE} requests/s wanted", folder, ask)]
        scrapes = scrape_seconds(values["PROMETHEUS_URL"])
    finally:
        subprocess.run([load.RAGOPS, "down", "--purge-data", "--yes"], cwd=folder, capture_output=True, timeout=300)
        shutil.rmtree(folder, ignore_errors=True)
    return _platform_table(phases, scrapes)


def phase(name: str, folder: Path, action: Any) -> Phase:
    before, began = observers(folder), time.monotonic()
    answered = action()
    seconds, after = time.monotonic() - began, observers(folder)
    return Phase(name, seconds, answered / seconds, Usage(after.cpu - before.cpu, after.memory))


def _wait(seconds: float) -> int:
    time.sleep(seconds)
    return 0


def scrape_seconds(url: str) -> dict[str, float]:
    """Return the longest scrape of each job in the last minutes, in seconds."""
    try:
        with PrometheusClient(url) as client:
            found = client.query("max by (job) (max_over_time(scrape_duration_seconds[5m]))", time.time())
    except PrometheusError as error:
        raise SystemExit(error.message) from None
    return {series.labels.get("job", ""): series.value for series in found}


def _platform_table(phases: Sequence[Phase], scrapes: Mapping[str, float]) -> str:
    what = "all containers of the service" if load.RUNTIME == "docker" else "Prometheus, a process of this machine"
    lines = [
        f"Service `observability` of a whole platform, runtime {load.RUNTIME}: {what}; {SECONDS} s each, a scrape every 15 s.",
        "",
        "| phase | requests/s | processor time, of a core | memory |",
        "| --- | --- | --- | --- |",
    ]
    for one in phases:
        share, memory = one.used.cpu / one.seconds, one.used.memory / _MIB
        lines.append(f"| {one.name} | {one.rate:.0f} | {share:.2%} | {memory:.0f} MiB |")
    longest = ", ".join(f"{job} {1000 * seconds:.1f} ms" for job, seconds in sorted(scrapes.items()))
    return "\n".join([*lines, "", f"Longest scrapes: {longest or 'none'}."])


def main() -> None:
    load_now = os.getloadavg()[0]
    head = (
        f"`make bench-observability` on {os.cpu_count()} cores (load {load_now:.0f}), Python {platform.python_version()},"
        f" {datetime.now(tz=UTC):%Y-%m-%d}."
    )
    parts = {"api": of_api, "platform": of_platform}
    text = "\n\n".join([head, *(parts[name]() for name in PARTS)])
    print(text) if os.environ.get("DRAFT") else publish("bench-observability", text)


if __name__ == "__main__":
    main()
