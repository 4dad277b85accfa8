"""`make load`: a constant rate of questions through the gateway, most of them asked before, on a whole platform.

MODE=mixed (80% asked before), search (all distinct), query (whole answers), soak (20 minutes, memory), spike (ten times
the rate at once), stress (half to three times the rate), smoke (half a minute at 50 a second; prints, writes nothing).
RATE per second, SECONDS, CONSUMERS, RUNTIME=docker for Kong, Redis, Qdrant and TimescaleDB in containers, SETTINGS for
ragops.yaml (bench/measure.py). With CHECK=1, and always for smoke, it ends with 1 if a bar was not held. Bounded and on
loopback only: it loads nothing but the platform that it starts.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from load_processes import Services, Usage
from load_report import MOST_P95_MS, Outcome, missed, render
from measure import publish, run, write_project

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HERE = Path(__file__).parent
SCRIPTS = HERE.parent / "tests" / "load"
K6 = shutil.which("k6") or str(HERE.parent / ".tools" / "k6")
RAGOPS = str(Path(sys.executable).with_name("ragops"))
RUNTIME, MODE = os.environ.get("RUNTIME", "embedded"), os.environ.get("MODE", "mixed")
RATE = int(os.environ.get("RATE", "50" if MODE == "smoke" else "1000"))
SECONDS = int(os.environ.get("SECONDS", {"soak": "1200", "smoke": "30"}.get(MODE, "300")))
MOST_P95 = float(os.environ.get("MOST_P95", "250" if MODE == "smoke" else MOST_P95_MS))
CHECK = MODE == "smoke" or os.environ.get("CHECK") == "1"
CONSUMERS = int(os.environ.get("CONSUMERS", "4"))
WORKERS = int(os.environ.get("WORKERS", "1"))
COLLECTION, MODEL, NICE, SAMPLE_SECONDS = "descriptions", "hashing-384-v1", 5, 10


@dataclass(frozen=True)
class Sample:
    """What all services use at one time, and how busy the machine is."""

    at: float
    services: Mapping[str, Usage]
    busy: float


def prepare(folder: Path, observability: Any = False) -> list[str]:
    """Start a platform with real text in it; return a token for each consumer."""

    def change(values: dict[str, Any]) -> None:
        values["api"] |= {"workers": WORKERS, "cache_seconds": 600}
        values["gateway"] |= {"rate_limit": {"requests": RATE * 4, "per": "second", "burst": RATE * 8}}
        if observability:
            values["observability"] = observability

    write_project(folder, RUNTIME, change)
    (folder / "texts").mkdir()
    for item in distributions():
        body = item.metadata["Description"] or ""
        if isinstance(body, str) and len(body) > 200:
            (folder / "texts" / f"{item.metadata['Name'].lower()}.md").write_text(body)
    defaults = {"embeddingModel": MODEL, "chunkSize": 800, "chunkOverlap": 100}
    items = [{"name": COLLECTION, "directory": "texts", "fileTypes": ["md"]}]
    (folder / "collections.json").write_text(json.dumps({"collections": items, "defaults": defaults}))
    for arguments in (["up", "--yes"], ["migrate", "up"], ["migrate", "json-to-db", "collections.json"]):
        run([RAGOPS, *arguments], folder)
    run([RAGOPS, "ingest", COLLECTION], folder)
    issued = [run([RAGOPS, "--json", "token", "issue", f"load-{number}"], folder) for number in range(CONSUMERS)]
    return [str(json.loads(one.stdout)["token"]) for one in issued]


def load(base: str, tokens: list[str], services: Services) -> Outcome:
    """Run k6, niced, and watch what the services use meanwhile."""
    environment = {
        **os.environ,
        "BASE": base, "TOKENS": ",".join(tokens), "COLLECTION": COLLECTION, "RATE": str(RATE), "SECONDS": str(SECONDS),
        "K6_NO_USAGE_REPORT": "true", "MOST_P95": str(MOST_P95), "MOST_P99": str(4 * MOST_P95),
    }  # fmt: skip
    command = ["nice", "-n", str(NICE), K6, "run", "--quiet", "--no-usage-report", str(SCRIPTS / f"{MODE}.k6.js")]
    samples: list[Sample] = []
    with _watching(services, samples):
        before, started = os.times(), time.perf_counter()
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=SECONDS + 300, check=False
        )
        wall, after = time.perf_counter() - started, os.times()
    if "{" not in done.stdout:
        raise SystemExit(f"k6 ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    generator = after.children_user + after.children_system - before.children_user - before.children_system
    return Outcome(found, wall, generator, samples[0], samples[-1], tuple(samples))


@contextmanager
def _watching(services: Services, samples: list[Sample]) -> Iterator[None]:
    """Sample the services before, every ten seconds, and after."""
    over = threading.Event()

    def take() -> None:
        samples.append(Sample(time.monotonic(), services.usage(), psutil.cpu_percent() / 100))

    def watch() -> None:
        while not over.wait(SAMPLE_SECONDS):
            take()

    thread = threading.Thread(target=watch, daemon=True)
    psutil.cpu_percent()
    take()
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        take()


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="ragops-load-"))
    folder.chmod(0o755)
    try:
        tokens = prepare(folder)
        values = json.loads(run([RAGOPS, "outputs", "--format", "json"], folder).stdout)
        outcome = load(values["GATEWAY_URL"], tokens, Services(folder))
    finally:
        subprocess.run([RAGOPS, "down", "--purge-data", "--yes"], cwd=folder, capture_output=True, timeout=300)
        shutil.rmtree(folder, ignore_errors=True)
    cores = os.cpu_count() or 1
    head = (
        f"`make load` on {cores} cores shared with k6 (nice {NICE}), Python {platform.python_version()},"
        f" {datetime.now(tz=UTC):%Y-%m-%d}; runtime {RUNTIME}, MODE={MODE}, RATE={RATE}, SECONDS={SECONDS}."
    )
    text = render(head, outcome, RATE, cores, MOST_P95)
    if MODE == "smoke":
        print(text)
    else:
        publish(f"load-{MODE}" if RUNTIME == "embedded" else f"load-{MODE}-{RUNTIME}", text)
    if CHECK and (found := missed(outcome.found, RATE, MOST_P95)):
        raise SystemExit("bars that were not held: " + "; ".join(found))


if __name__ == "__main__":
    main()
