"""`make bench-docker`: the platform in containers against the bare Automation API and `docker run`; the loss of a node."""

from __future__ import annotations

import json
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker
import httpx
from measure import Run, publish, ratios, run, spread, write_project

HERE = Path(__file__).parent
RAGOPS = [str(Path(sys.executable).with_name("ragops"))]
BARE = [sys.executable, str(HERE / "bare_up.py")]
FIRST_RUNS, RUNS, OUTAGE_SECONDS = 3, 5, 15
COLLECTION = "bench"
STAGES = (("timescaledb", "redis", "qdrant-1"), ("qdrant-2",), ("qdrant-3",), ("api",), ("gateway",))


# --- provisioning ------------------------------------------------------------------------------------------------


def project(folder: Path) -> dict[str, Any]:
    """A project for Docker without models, as small as it may be; its settings."""

    def change(values: dict[str, Any]) -> None:
        values["api"]["cache_seconds"] = 0
        values["gateway"]["rate_limit"] = {"requests": 100000, "per": "minute", "burst": 100000}
        for service in ("timescaledb", "qdrant"):
            values[service]["memory"] = "512mb"

    return write_project(folder, "docker", change)


def purge(folder: Path) -> None:
    run([*RAGOPS, "down", "--purge-data", "--yes"], folder)


def timed(command: list[str], folder: Path) -> float:
    return run(command, folder).wall


def docker_run(client: docker.DockerClient, made: dict[str, Any], network: str) -> float:
    """The very containers made as `docker run` makes them, in their order, each stage awaited; seconds.

    With the files that ragops has rendered and empty volumes of data: what a script of `docker run`s would have.
    """
    began = time.perf_counter()
    ident = client.api.create_network(network, driver="bridge")["Id"]
    for stage in STAGES:
        for instance in stage:
            raw = made[instance]
            endpoint = {network: {"Aliases": [instance]}}
            body = {**raw["Config"], "HostConfig": {**raw["HostConfig"], "NetworkMode": network}}
            name = raw["Name"].lstrip("/")
            for mount in raw["Mounts"]:
                client.api.create_volume(mount["Name"])
            client.api.create_container_from_config({**body, "NetworkingConfig": {"EndpointsConfig": endpoint}}, name)
            client.api.start(name)
        for instance in stage:
            await_health(client, made[instance])
    seconds = time.perf_counter() - began
    for instance in made:
        client.api.remove_container(made[instance]["Name"].lstrip("/"), force=True)
    client.api.remove_network(ident)
    return seconds


def await_health(client: docker.DockerClient, raw: dict[str, Any]) -> None:
    """Ask the container's own check until it passes, as often as ragops does."""
    deadline = time.monotonic() + 120
    while True:
        job = client.api.exec_create(raw["Name"].lstrip("/"), raw["Config"]["Healthcheck"]["Test"][1:])["Id"]
        client.api.exec_start(job)
        if client.api.exec_inspect(job)["ExitCode"] == 0:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"{raw['Name']} does not become healthy")
        time.sleep(0.1)


def containers(client: docker.DockerClient, name: str) -> dict[str, Any]:
    """What Docker knows of each container of the platform, by instance."""
    label: dict[str, Any] = {"label": f"io.ragops.platform={name}"}
    return {
        one.labels["io.ragops.instance"]: one.attrs
        for one in client.containers.list(all=True, filters=label)
        if "io.ragops.instance" in one.labels
    }


def first_ups(client: docker.DockerClient, folder: Path, name: str) -> tuple[list[float], list[float], list[float]]:
    """Each from nothing: ragops, the bare Automation API on the same stack, `docker run`; in turn."""
    ours, bare, scripts = [], [], []
    for _ in range(FIRST_RUNS):
        ours.append(timed([*RAGOPS, "up", "--yes"], folder))
        made = containers(client, name)
        for instance in made:
            client.api.remove_container(made[instance]["Name"].lstrip("/"), force=True)
        for volume in [mount["Name"] for raw in made.values() for mount in raw["Mounts"]]:
            if volume.endswith("-data"):
                client.api.remove_volume(volume)
        client.api.remove_network(f"{name}-default")
        scripts.append(docker_run(client, made, f"{name}-default"))
        purge(folder)
        bare.append(timed([*BARE, "first"], folder))
        purge(folder)
    return ours, bare, scripts


def pairs_of(ours: list[str], theirs: list[str], folder: Path) -> tuple[list[float], list[float]]:
    run(ours, folder), run(theirs, folder)
    results: list[tuple[Run, Run]] = [(run(ours, folder), run(theirs, folder)) for _ in range(RUNS)]
    return [a.wall for a, _ in results], [b.wall for _, b in results]


def row(what: str, against: str, ours: list[float], theirs: list[float]) -> str:
    return f"| {what} | {against} | {spread(ours)} s | {spread(theirs)} s | {ratios(ours, theirs)} |"


# --- the loss of a node --------------------------------------------------------------------------------------------


@dataclass
class Load:
    """Searches through the gateway by two clients, points by one that goes on to the next node."""

    values: dict[str, str]
    token: str
    reads: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    refused: int = 0
    acknowledged: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def read(self) -> None:
        url = f"{self.values['GATEWAY_URL']}/api/v1/search"
        with httpx.Client(headers={"authorization": f"Bearer {self.token}"}, timeout=60) as client:
            while not self.ended.is_set():
                body = {"query": f"a question {random.random()}", "collection": COLLECTION, "limit": 5}
                began = time.perf_counter()
                try:
                    answer = client.post(url, json=body)
                    if answer.status_code != 200 or len(answer.json()["results"]) != 5:
                        self.failed.append(answer.text)
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))
                self.reads.append(time.perf_counter() - began)
                time.sleep(0.02)

    def write(self) -> None:
        """Points of their own ids; one that is refused is given to the next node until it is acknowledged."""
        urls, number = self.values["QDRANT_URLS"].split(","), 0
        with httpx.Client(headers={"api-key": self.values["QDRANT_API_KEY"]}, timeout=60) as client:
            while not self.ended.is_set():
                number += 1
                began = time.perf_counter()
                while not self.wrote(client, urls[0], number):
                    urls = [*urls[1:], urls[0]]
                    self.refused += 1
                self.writes.append(time.perf_counter() - began)
                self.acknowledged += 1
                time.sleep(0.02)

    @staticmethod
    def wrote(client: httpx.Client, url: str, number: int) -> bool:
        points = [{"id": number, "vector": [1.0, 0.0, 0.0, number % 97 + 0.5]}]
        try:
            done = client.put(f"{url}/collections/writes/points?wait=true", json={"points": points})
        except httpx.HTTPError:
            return False
        return done.status_code == 200


@dataclass(frozen=True)
class Loss:
    """What was seen while one node was away and came back; seconds."""

    node: str
    reads: int
    failed: int
    slowest_read: float
    writes: int
    refused: int
    slowest_write: float
    lost: int
    active_after: float


def fill(folder: Path) -> tuple[dict[str, str], str]:
    """Schema, a collection of texts, a collection for points; how to reach them, and a token."""
    (folder / "texts").mkdir()
    for path in sorted((HERE.parent / "docs").glob("*.md")):
        shutil.copy(path, folder / "texts")
    defaults = {"embeddingModel": "hashing-384-v1", "chunkSize": 400, "chunkOverlap": 50}
    items = [{"name": COLLECTION, "directory": "texts", "fileTypes": ["md"]}]
    (folder / "collections-config.json").write_text(json.dumps({"collections": items, "defaults": defaults}))
    for arguments in (["migrate", "up"], ["migrate", "json-to-db", "collections-config.json"], ["ingest"]):
        run([*RAGOPS, *arguments], folder)
    values = json.loads(run([*RAGOPS, "outputs", "--format", "json", "--show-secrets"], folder).stdout)
    made = httpx.put(
        f"{values['QDRANT_URL']}/collections/writes", headers={"api-key": values["QDRANT_API_KEY"]}, timeout=60,
        json={"vectors": {"size": 4, "distance": "Dot"}, "shard_number": 6, "replication_factor": 2},
    )  # fmt: skip
    made.raise_for_status()
    return values, str(json.loads(run([*RAGOPS, "--json", "token", "issue", "bench"], folder).stdout)["token"])


def all_active(values: dict[str, str]) -> bool:
    """Whether every node says of every replica that it is active."""
    headers = {"api-key": values["QDRANT_API_KEY"]}
    try:
        for url in values["QDRANT_URLS"].split(","):
            for name in (COLLECTION, "writes"):
                found = httpx.get(f"{url}/collections/{name}/cluster", headers=headers, timeout=10).json()["result"]
                if any(shard["state"] != "Active" for shard in (*found["local_shards"], *found["remote_shards"])):
                    return False
    except (httpx.HTTPError, KeyError):
        return False
    return True


def lose(client: docker.DockerClient, values: dict[str, str], token: str, container: str, node: str) -> Loss:
    """Kill one node under load, start it again after a while, and wait until all is active."""
    load = Load(values, token)
    threads = [threading.Thread(target=job) for job in (load.read, load.read, load.write)]
    for thread in threads:
        thread.start()
    time.sleep(3)
    client.api.kill(container)
    time.sleep(OUTAGE_SECONDS)
    began = time.perf_counter()
    client.api.start(container)
    while not all_active(values):
        if time.perf_counter() - began > 300:
            raise SystemExit(f"{node} did not come back")
        time.sleep(0.1)
    active = time.perf_counter() - began
    load.ended.set()
    for thread in threads:
        thread.join()
    answer = httpx.post(
        f"{values['QDRANT_URL']}/collections/writes/points/count", json={"exact": True}, timeout=60,
        headers={"api-key": values["QDRANT_API_KEY"]},
    )  # fmt: skip
    lost = load.acknowledged - int(answer.json()["result"]["count"])
    return Loss(
        node, len(load.reads), len(load.failed), max(load.reads), load.acknowledged, load.refused, max(load.writes),
        max(0, lost), active,
    )  # fmt: skip


def losses(client: docker.DockerClient, folder: Path, name: str) -> str:
    values, token = fill(folder)
    found = [
        lose(client, values, token, f"{name}-default-{node}", node) for node in ("qdrant-1", "qdrant-2", "qdrant-3")
    ]
    return "\n".join(
        f"| `{one.node}` | {one.reads} | {one.failed} | {one.slowest_read:.2f} | {one.writes} | {one.refused} |"
        f" {one.slowest_write:.2f} | {one.lost} | {one.active_after:.1f} |"
        for one in found
    )


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="ragops-bench-"))
    folder.chmod(0o755)
    client = docker.from_env()
    try:
        name = project(folder)["name"]
        ours, bare, scripts = first_ups(client, folder, name)
        rows = [row("first `ragops up`, from nothing", "Automation API: up of the same stack", ours, bare)]
        rows.append(row("the same", "`docker run` of the same containers, with files that are there", ours, scripts))
        run([*RAGOPS, "up", "--yes"], folder)
        for what, against, mine, theirs in (
            ("second `ragops up`", "Automation API: refresh, then up", ["up", "--yes"], ["up"]),
            ("`ragops plan`", "Automation API: refresh, then preview", ["plan"], ["preview"]),
            ("`ragops drift`", "Automation API: refresh", ["drift"], ["refresh"]),
        ):
            rows.append(row(what, against, *pairs_of([*RAGOPS, *mine], [*BARE, *theirs], folder)))
        lost = losses(client, folder, name)
    finally:
        subprocess.run([*RAGOPS, "down", "--purge-data", "--yes"], cwd=folder, capture_output=True, timeout=300)
        shutil.rmtree(folder)
    publish("bench-docker", text(client, "\n".join(rows), lost))


def text(client: docker.DockerClient, rows: str, lost: str) -> str:
    engine = re.sub(r"\+.*", "", client.version()["Version"])
    machine = (
        f"{os.cpu_count()} cores, Docker {engine}, Python {platform.python_version()}, {datetime.now(tz=UTC):%Y-%m-%d}"
    )
    head = "| what | against | ragops | other | ratio, pair by pair |\n| --- | --- | --- | --- | --- |"
    words = f"`make bench-docker` on {machine}; wall time, median (least-most) of runs in turn. Seven containers: three nodes of Qdrant."
    loss = (
        "| node | searches | failed | slowest, s | writes | refused, repeated | slowest, s | acknowledged and lost | all `Active` after, s |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    under = f"A node killed under searches through the gateway and writes, {OUTAGE_SECONDS} s away, then started:"
    return f"{words}\n\n{head}\n{rows}\n\n{under}\n\n{loss}\n{lost}"


if __name__ == "__main__":
    main()
