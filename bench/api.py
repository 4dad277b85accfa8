"""`make bench-api`: ingest, then the rate of searches that the API holds alone and through the gateway. Loopback only, bounded."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from measure import publish, run, spread

HERE = Path(__file__).parent
SCRIPT = HERE.parent / "tests" / "load" / "search.js"
K6 = shutil.which("k6") or str(HERE.parent / ".tools" / "k6")
RAGOPS = str(Path(sys.executable).with_name("ragops"))
COLLECTION, INGESTS = "descriptions", 3
RATES, SECONDS, MOST_MILLISECONDS = (25, 50, 100, 150, 200, 300, 400, 600), 8, 500


@dataclass(frozen=True)
class Load:
    """What k6 saw at one rate."""

    rate: int
    requests: int
    failed: int
    dropped: int
    median: float
    p95: float
    p99: float

    @property
    def held(self) -> bool:
        return not self.failed and not self.dropped and self.p95 <= MOST_MILLISECONDS


def load(base: str, token: str, rate: int) -> Load:
    environment = {
        **os.environ,
        "BASE": base, "TOKEN": token, "COLLECTION": COLLECTION, "RATE": str(rate), "SECONDS": str(SECONDS),
        "K6_NO_USAGE_REPORT": "true",
    }  # fmt: skip
    command = [K6, "run", "--quiet", "--no-usage-report", str(SCRIPT)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS + 60, check=False)
    found = json.loads(done.stdout[done.stdout.index("{") :])
    times = found["milliseconds"]
    return Load(
        rate, found["requests"], found["failed"], found["dropped"], times["med"], times["p(95)"], times["p(99)"]
    )


def most_held(base: str, token: str) -> tuple[Load, Load]:
    """The highest rate that is held, and the first that is not (the last one tried, where all are)."""
    best = current = load(base, token, RATES[0])
    for rate in RATES[1:]:
        if not current.held:
            break
        best, current = current, load(base, token, rate)
    return (current, current) if current.held else (best, current)


def prepare(folder: Path) -> tuple[str, list[dict[str, object]]]:
    """A platform with real text in it; the token, and what ingest reported each time."""
    run([RAGOPS, "init", "--name", "bench"], folder)
    config = folder / "ragops.yaml"
    text = re.sub(
        r"(?m)^gateway:$", "gateway:\n  rate_limit: {requests: 100000, per: minute, burst: 100000}", config.read_text()
    )
    config.write_text(re.sub(r"(?m)^api:$", "api:\n  cache_seconds: 0", text))
    (folder / "texts").mkdir()
    for item in distributions():
        body = item.metadata["Description"] or ""
        if isinstance(body, str) and len(body) > 200:
            (folder / "texts" / f"{item.metadata['Name'].lower()}.md").write_text(body)
    defaults = {"embeddingModel": "hashing-384-v1", "chunkSize": 800, "chunkOverlap": 100}
    names = [f"{COLLECTION}{number or ''}" for number in range(INGESTS)]
    items = [{"name": name, "directory": "texts", "fileTypes": ["md"]} for name in names]
    (folder / "collections.json").write_text(json.dumps({"collections": items, "defaults": defaults}))
    for arguments in (["up", "--yes"], ["migrate", "up"], ["migrate", "json-to-db", "collections.json"]):
        run([RAGOPS, *arguments], folder)
    reports = [json.loads(run([RAGOPS, "--json", "ingest", name], folder).stdout)["collections"][0] for name in names]
    return str(json.loads(run([RAGOPS, "--json", "token", "issue", "bench"], folder).stdout)["token"]), reports


def rows(folder: Path, token: str) -> str:
    values = json.loads(run([RAGOPS, "outputs", "--format", "json"], folder).stdout)
    lines = []
    for name, base in (("the API alone", values["API_URL"]), ("through the gateway", values["GATEWAY_URL"])):
        held, above = most_held(base, token)
        for word, item in (("holds", held), ("next step", above)):
            lines.append(
                f"| {name}, {word} | {item.rate} | {item.requests} | {item.failed} | {item.dropped} |"
                f" {item.median:.1f} | {item.p95:.1f} | {item.p99:.1f} |"
            )
    return "\n".join(lines)


def ingest_text(reports: list[dict[str, Any]]) -> str:
    files = [float(one["added"]) / float(one["total_seconds"]) for one in reports]
    chunks = [float(one["chunks"]) / float(one["total_seconds"]) for one in reports]
    total = sum(float(one["total_seconds"]) for one in reports)
    stages = {stage: sum(float(one["seconds"][stage]) for one in reports) / total for stage in reports[0]["seconds"]}
    shares = ", ".join(f"{stage} {share:.0%}" for stage, share in stages.items())
    return (
        f"Ingest of {reports[0]['added']} documents into {reports[0]['chunks']} chunks, {INGESTS} times:"
        f" {spread(files, 0)} files/s, {spread(chunks, 0)} chunks/s. Where its time goes: {shares}."
    )


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="ragops-bench-"))
    folder.chmod(0o755)
    try:
        token, reports = prepare(folder)
        table = rows(folder, token)
    finally:
        subprocess.run([RAGOPS, "down", "--purge-data", "--yes"], cwd=folder, capture_output=True, timeout=120)
        shutil.rmtree(folder)
    machine = (
        f"{os.cpu_count()} cores shared with k6, Python {platform.python_version()}, {datetime.now(tz=UTC):%Y-%m-%d}"
    )
    head = "| what | rate, 1/s | requests | failed | not sent | p50, ms | p95, ms | p99, ms |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    words = f"`make bench-api` on {machine}. Distinct searches over {reports[0]['chunks']} chunks, no cache, {SECONDS} s a step;"
    bar = f"a rate is held when nothing fails, nothing is left unsent and p95 is at most {MOST_MILLISECONDS} ms."
    publish("bench-api", f"{words} {bar}\n\n{head}\n{table}\n\n{ingest_text(reports)}")


if __name__ == "__main__":
    main()
