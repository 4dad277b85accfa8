"""`make pictures`: docs/panels-*.svg, panels of the dashboards of a real platform under load, with faults and alerts.

An embedded platform with exporters and a Prometheus with the rules of ragops; twelve minutes of questions, while the
repository is taken away, Qdrant killed, and Redis. The panels' own expressions are asked by range queries. Needs
`prometheus`, `node_exporter`, `redis_exporter`, `postgres_exporter`, `alertmanager` on PATH or in the folder that
RAGOPS_TEST_PROMETHEUS_BIN names, and matplotlib (`pip install --group pictures`). PNG=FOLDER draws for the eye there,
too; DATA=FILE keeps what was measured, and draws it again if the file is there.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml
from measure import run
from panel_drawing import Line, Picture, Span, draw

from ragops.config.secrets import load as load_secrets
from ragops.services.observability.dashboards import BOARDS
from ragops.services.observability.postgres_queries import render_queries
from tests.live_prometheus import Watched, program, watched
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ragops.services.observability.dashboards.model import Panel

RAGOPS = (sys.executable, "-m", "ragops")
DOCS = Path(__file__).parents[1] / "docs"
LABELS = {"platform": "docs", "environment": "default"}
STEP, RATE, ASKERS, COLLECTION = 5, 24, 4, "docs"
MINUTES = float(os.environ.get("MINUTES", "12"))
PICTURES = {
    "panels-platform": ("Overview, Qdrant, Redis", (
        ("ragops-overview", "Requests and failures"), ("ragops-overview", "Targets"),
        ("ragops-qdrant", "Requests"), ("ragops-redis", "Commands"))),
    "panels-api": ("API", (
        ("ragops-api", "Answers by status"), ("ragops-api", "95th percentile by route"),
        ("ragops-api", "Breakers"), ("ragops-api", "Cache hit rate"))),
    "panels-recovery": ("Recovery", (
        ("ragops-recovery", "In the repository"), ("ragops-recovery", "Health at the last check"))),
}  # fmt: skip


@dataclass
class Run:
    """A platform that is asked and broken; spans are in seconds since `began`."""

    folder: Path
    began: float = 0.0
    faults: list[Span] = field(default_factory=list)

    def ragops(self, *arguments: str, code: int = 0) -> str:
        return run([*RAGOPS, *arguments], self.folder, code).stdout

    @property
    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load((self.folder / "ragops.yaml").read_text())
        return found

    def until(self, minute: float) -> None:
        """Wait for a minute of the whole, of twelve."""
        time.sleep(max(0.0, self.began + minute * MINUTES * 60 / 12 - time.time()))

    def mend(self) -> None:
        """Bring back what does not run; a breaker may still be open when it looks."""
        subprocess.run([*RAGOPS, "up", "--yes"], cwd=self.folder, capture_output=True, timeout=300, check=False)

    @contextlib.contextmanager
    def fault(self, name: str) -> Iterator[None]:
        start = time.time() - self.began
        yield
        self.faults.append(Span(name, start, time.time() - self.began))

    def kill(self, service: str) -> None:
        rows = json.loads(self.ragops("status", "--json"))["services"]
        os.kill(next(int(row["ident"]) for row in rows if row["service"] == service), signal.SIGKILL)


def prepare(one: Run) -> str:
    """Start the platform with ragops's own documentation in it; returns a token."""
    one.ragops("init", "--name", LABELS["platform"])
    config = one.folder / "ragops.yaml"
    values = yaml.safe_load(re.sub(r"port: \d+", lambda _: f"port: {free_port()}", config.read_text()))
    section = {"port": free_port(), "envoy_port": free_port(), "program": program("prometheus")}
    values = {**values, "observability": section, "api": {**values["api"], "cache_seconds": 30}}
    limit = {"requests": 10 * RATE, "per": "second", "burst": 20 * RATE}
    config.write_text(yaml.safe_dump({**values, "gateway": {**values["gateway"], "rate_limit": limit}}))
    shutil.copytree(DOCS, one.folder / "texts", ignore=shutil.ignore_patterns("*.svg"))
    items = [{"name": COLLECTION, "directory": "texts", "fileTypes": ["md"]}]
    defaults = {"embeddingModel": "hashing-384-v1", "chunkSize": 800, "chunkOverlap": 100}
    (one.folder / "collections.json").write_text(json.dumps({"collections": items, "defaults": defaults}))
    for line in ("up --yes", "migrate up", "migrate json-to-db collections.json", f"ingest {COLLECTION}", "backup run"):
        one.ragops(*line.split())
    return str(json.loads(one.ragops("--json", "token", "issue", "website"))["token"])


def watch(one: Run, made: Watched) -> None:
    """Start the exporters and Prometheus."""
    secrets, settings = load_secrets(one.folder / ".ragops" / "secrets" / "default.json"), one.settings
    made.node_exporter()
    made.alertmanager()
    made.run("redis_exporter", "-web.listen-address={listen}", f"-redis.addr=redis://127.0.0.1:{settings['redis']['port']}",
             "-redis.user=ragops-monitor", job="redis", REDIS_PASSWORD=secrets["redis_monitor"])  # fmt: skip
    queries = made.folder / "queries.yaml"
    queries.write_text(render_queries(timescaledb=False))
    made.run("postgres_exporter", "--web.listen-address={listen}", f"--extend.query-path={queries}", job="postgres",
             instance="timescaledb", DATA_SOURCE_USER="rag_monitor", DATA_SOURCE_PASS=secrets["timescaledb_monitor"],
             DATA_SOURCE_URI=f"127.0.0.1:{settings['timescaledb']['port']}/rag?sslmode=disable")  # fmt: skip
    pages = json.loads(one.ragops("metrics", "targets"))
    made.discover(pages, {"qdrant": secrets["qdrant_api_key"]})
    made.start()


@contextlib.contextmanager
def asking(base: str, token: str) -> Iterator[None]:
    """Ask RATE questions a second, half of them asked before."""
    over = threading.Event()
    words = sorted(set(re.findall(r"[a-z]{5,}", (DOCS / "recovery.md").read_text().lower())))

    def ask(turn: int) -> None:
        draw_word = random.Random(turn)
        with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=10, trust_env=False) as client:
            while not over.wait(ASKERS / RATE):
                seldom = draw_word.choices(words, k=3)
                question = draw_word.choice(words[:20]) if draw_word.random() < 0.5 else " ".join(seldom)
                with contextlib.suppress(httpx.HTTPError):
                    client.post(f"{base}/api/v1/search", json={"query": question, "collection": COLLECTION, "limit": 5})

    askers = [threading.Thread(target=ask, args=(turn,), daemon=True) for turn in range(ASKERS)]
    for asker in askers:
        asker.start()
    try:
        yield
    finally:
        over.set()
        for asker in askers:
            asker.join(30)


def break_it(one: Run) -> None:
    """Take the repository away, kill Qdrant, kill Redis; and bring each back as its runbook says."""
    one.until(1)
    repository = one.folder / "backups"
    with one.fault("recovery points removed"):
        aside = repository.rename(one.folder / "aside")
        one.ragops("health", code=3)
        one.until(2)
        with one.fault("Qdrant killed"):
            one.kill("qdrant")
            one.until(2.5)
            one.ragops("health", code=3)
            one.until(4.5)
            one.mend()
        one.until(8.5)
        aside.rename(repository)
        one.ragops("backup", "run")
    one.until(9)
    with one.fault("Redis killed"):
        one.kill("redis")
        one.until(10.5)
        one.mend()
    one.until(12)


def lines_of(made: Watched, panel: Panel, one: Run) -> list[Line]:
    """What the panel's own expressions give for the whole time."""
    found = []
    for query in panel.queries:
        expr = query.promql.replace("$__rate_interval", "20s").replace("$instance", ".*")
        for name, value in LABELS.items():
            expr = expr.replace(f"${name}", value)
        found += [Line(_name(query.name, labels), points) for labels, points in _range(made, expr, one)]
    return [line for line in found if line.points]


def _name(template: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), template).strip()


def _range(made: Watched, expr: str, one: Run) -> Iterator[tuple[dict[str, str], tuple[tuple[float, float], ...]]]:
    answer = made.ask("query_range", query=expr, start=str(one.began), end=str(time.time()), step=str(STEP))
    for series in answer["result"]:
        points = ((at - one.began, float(value)) for at, value in series["values"])
        yield series["metric"], tuple((round(at), value) for at, value in points if not math.isnan(value))


def alerts_of(made: Watched, one: Run) -> list[Span]:
    """When each alert fired, the first one first."""
    expr = 'max by (alertname) (ALERTS{alertstate="firing", severity=~"critical|warning"})'
    spans = []
    for labels, points in _range(made, expr, one):
        times = [at for at, _ in points]
        starts = [at for before, at in zip([-1e9, *times], times, strict=False) if at - before > 2 * STEP]
        ends = [at for at, after in zip(times, [*times[1:], 1e9], strict=True) if after - at > 2 * STEP]
        spans += [Span(labels["alertname"], start, end + STEP) for start, end in zip(starts, ends, strict=True)]
    return sorted(spans, key=lambda span: span.start)


def measured(made: Watched, one: Run) -> dict[str, Picture]:
    """All pictures, by name."""
    seconds, alerts = time.time() - one.began, alerts_of(made, one)
    faults = sorted(one.faults, key=lambda span: span.start)
    every = {(board.uid, panel.title): panel for board in BOARDS for panel in board.panels}
    found = {}
    for name, (title, places) in PICTURES.items():
        panels = [(every[place], lines_of(made, every[place], one)) for place in places]
        found[name] = Picture(title, panels, faults, alerts, seconds)
    return found


def publish(pictures: Mapping[str, Picture]) -> None:
    for name, picture in pictures.items():
        draw(picture, target := DOCS / f"{name}.svg")
        print(f"{target.name}: {target.stat().st_size // 1000} kB")
        if folder := os.environ.get("PNG"):
            draw(picture, Path(folder) / f"{name}.png")


def measure() -> dict[str, Picture]:
    """Bring up the platform, break it, and ask for all panels."""
    folder = Path(tempfile.mkdtemp(prefix="ragops-pictures-"))
    folder.chmod(0o755)
    one = Run(folder / "platform")
    one.folder.mkdir()
    figures = one.folder / ".ragops" / "metrics" / "default"
    try:
        token = prepare(one)
        with watched(folder, labels=LABELS, textfiles=figures, factor=1) as made:
            watch(one, made)
            with asking(f"http://127.0.0.1:{one.settings['gateway']['port']}", token):
                time.sleep(10 * MINUTES)  # so that windows of five minutes hold something
                one.began = time.time()
                break_it(one)
            return measured(made, one)
    except pytest.skip.Exception as missing:
        raise SystemExit(str(missing)) from None
    finally:
        subprocess.run([*RAGOPS, "down", "--purge-data", "--yes"], cwd=one.folder, capture_output=True, timeout=300)
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    kept = Path(os.environ["DATA"]) if os.environ.get("DATA") else None
    if kept and kept.exists():
        publish(pickle.loads(kept.read_bytes()))
        return
    pictures = measure()
    if kept:
        kept.write_bytes(pickle.dumps(pictures))
    publish(pictures)


if __name__ == "__main__":
    main()
