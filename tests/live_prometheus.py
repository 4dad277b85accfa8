"""A real Prometheus with the alerts of a platform, on exporters and engines as processes of this machine.

Times of rules are shortened by one factor, so that an alert that takes minutes fires within seconds. Programs come from
PATH (Debian's names too), or from what RAGOPS_TEST_PROMETHEUS_BIN names: a folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from ragops.services.observability.rules import render_rules
from tests.ports import free_port
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

FACTOR = 60
LABELS = {"platform": "rag", "environment": "live"}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_YEAR = 365 * 86_400
_ALERTMANAGER = "route: {receiver: none}\nreceivers: [{name: none}]\n"
_PROGRAMS = ("node_exporter", "redis_exporter", "postgres_exporter", "alertmanager")
_DEBIAN = {name: f"prometheus-{name.replace('_', '-')}" for name in _PROGRAMS}


def program(name: str) -> str:
    """The path of a program of Prometheus' family; skips the test without it."""
    folder = os.environ.get("RAGOPS_TEST_PROMETHEUS_BIN", "")
    path = os.pathsep.join((folder, os.environ["PATH"])) if folder else None
    found = shutil.which(name, path=path) or shutil.which(_DEBIAN.get(name, name))
    if not found:
        pytest.skip(f"not here: {name} (Debian: {_DEBIAN.get(name, name)}; RAGOPS_TEST_PROMETHEUS_BIN names a folder)")
    return found


def shortened(text: str, factor: int = FACTOR, longest: int = _YEAR) -> str:
    """Rules whose `for`, windows and offsets are shorter by the factor; names, limits and ages stay.

    No `for` is longer than `longest` seconds.
    """

    def shorter(match: re.Match[str], longest: int = _YEAR) -> str:
        milliseconds = min(int(match[2]) * _SECONDS[match[3]] * 1000 // factor, longest * 1000)
        return f"{match[1]}{max(milliseconds, 1)}ms{match[4]}"

    text = re.sub(r"(\n\s+for: )(\d+)([smhd])(\n)", lambda match: shorter(match, longest), text)
    text = re.sub(r"(\[)(\d+)([smhd])(\])", shorter, text)
    return re.sub(r"( offset )(\d+)([smhd])(\b)", shorter, text)


@dataclass
class Watched:
    """Processes that end with the block, and a Prometheus that scrapes their pages.

    `labels` are those of the platform; `textfiles` is the folder of ragops's own figures. Times of rules are shorter by
    `factor`, and no alert waits for longer than `longest` seconds before it fires.
    """

    folder: Path
    labels: Mapping[str, str] = field(default_factory=lambda: dict(LABELS))
    textfiles: Path = field(kw_only=True)
    longest: int = field(default=_YEAR, kw_only=True)
    factor: int = field(default=FACTOR, kw_only=True)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    notified: str = ""

    def scrape(self, job: str, targets: Mapping[str, str], path: str = "/metrics", key: str = "") -> None:
        """Scrape these instances, by name; each with host and port."""
        own = [{"targets": [at], "labels": {**self.labels, "instance": name}} for name, at in targets.items()]
        made: dict[str, Any] = {"job_name": job, "metrics_path": path, "static_configs": own}
        if job == "node":
            made["honor_labels"] = True
        if key:
            made["authorization"] = {"type": "Bearer", "credentials": key}
        self.jobs.append(made)

    def discover(self, groups: Iterable[Mapping[str, Any]], keys: Mapping[str, str]) -> None:
        """Scrape what `ragops metrics targets` names, by its file; `keys` open the pages of a job."""
        for number, group in enumerate(groups):
            file = self.folder / f"targets-{number}.json"
            file.write_text(json.dumps([group]))
            made: dict[str, Any] = {"job_name": f"found-{number}", "file_sd_configs": [{"files": [str(file)]}]}
            if key := keys.get(group["labels"]["job"]):
                made["authorization"] = {"type": "Bearer", "credentials": key}
            self.jobs.append(made)

    def federate(self, address: str) -> None:
        """Take all series of another Prometheus, with their labels."""
        static = [{"targets": [address]}]
        match = {"match[]": ['{platform!=""}']}
        self.jobs.append(
            {
                "job_name": "federate",
                "honor_labels": True,
                "metrics_path": "/federate",
                "params": match,
                "static_configs": static,
            }
        )

    def run(self, name: str, *words: str, job: str = "", instance: str = "", **environment: str) -> None:
        """Start an exporter on a free port; `{listen}` in its words is where it listens."""
        listen = f"127.0.0.1:{free_port()}"
        command = [program(name), *(word.replace("{listen}", listen) for word in words)]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})
        wait_until(lambda: _answers(f"http://{listen}/metrics"), what=lambda: self.log(name))
        if job:
            self.scrape(job, {instance or job: listen})
        if job == "alertmanager":
            self.notified = listen

    def alertmanager(self) -> None:
        """Start one that notifies no one, which all alerts are handed to."""
        config = self.folder / "alertmanager.yml"
        config.write_text(_ALERTMANAGER)
        words = (f"--config.file={config}", f"--storage.path={self.folder}/alertmanager", "--cluster.listen-address=")
        self.run("alertmanager", "--web.listen-address={listen}", *words, job="alertmanager")

    def node_exporter(self) -> None:
        self.textfiles.mkdir(exist_ok=True)
        self.run(
            "node_exporter",
            "--web.listen-address={listen}",
            f"--collector.textfile.directory={self.textfiles}",
            job="node",
        )

    def figures(self, values: Mapping[str, float]) -> None:
        """What ragops writes for the textfile collector."""
        labels = ",".join(f'{key}="{value}"' for key, value in self.labels.items())
        lines = []
        for name, value in values.items():
            bare, _, more = name.partition("{")
            lines.append(f"{bare}{{{labels}{',' + more.rstrip('}') if more else ''}}} {value}\n")
        part = self.textfiles / "ragops.prom.part"
        part.write_text("".join(lines))
        part.rename(self.textfiles / "ragops.prom")

    def start(self) -> None:
        """Start Prometheus on all that was named."""
        if not any(job["job_name"] == "federate" for job in self.jobs):
            self.scrape("prometheus", {"prometheus": f"127.0.0.1:{self.port}"})
        rules = self.folder / "rules"
        rules.mkdir()
        for name, text in render_rules().items():
            (rules / name).write_text(shortened(text, self.factor, self.longest))
        # Two samples in a window of five minutes that lasts five seconds; a busy machine takes a second for a page.
        every = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
        content: dict[str, Any] = {"global": every, "rule_files": [f"{rules}/*.yml"], "scrape_configs": self.jobs}
        if self.notified:
            content["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [self.notified]}]}]}
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(content))
        command = [
            program("prometheus"), f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/data", f"--web.listen-address=127.0.0.1:{self.port}",
        ]  # fmt: skip
        with (self.folder / "prometheus.log").open("ab") as log:
            self.processes["prometheus"] = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(lambda: _answers(f"http://127.0.0.1:{self.port}/-/ready"), what=lambda: self.log("prometheus"))

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-3000:]

    def ask(self, path: str, **parameters: str) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}"
        answer = httpx.get(url, params=parameters, timeout=30, trust_env=False)
        assert answer.status_code == 200, (parameters, answer.text)
        return answer.json()["data"]

    def query(self, expr: str) -> list[dict[str, Any]]:
        return self.ask("query", query=expr)["result"]

    def firing(self) -> set[str]:
        """The alerts that fire, but for the one that always does."""
        alerts = self.ask("alerts")["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"} - {"Watchdog"}

    def wait_for(self, *wanted: str, seconds: float = 40) -> None:
        """Wait until these fire, and no others."""
        expected = set(wanted)
        wait_until(lambda: self.firing() == expected, seconds, lambda: f"{expected}: {self.firing()} fire, which")

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def watched(folder: Path, **more: Any) -> Iterator[Watched]:
    """One that ends with the block."""
    made = Watched(folder, **{"textfiles": folder / "textfiles", **more})
    try:
        yield made
    finally:
        made.close()
