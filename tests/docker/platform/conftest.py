"""The whole platform on Docker, run as a user runs it: one for most tests, kept whole between them.

Two things are asked of each test's end: that the platform is well again, and that no datum is lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import psycopg
import pytest
import redis
import yaml

from ragops.errors import RagopsError
from ragops.runtimes.docker.images.api_image import base_image
from ragops.runtimes.docker.names import INSTANCE, DockerNames
from ragops.services.api import IMAGE as API
from ragops.services.gateway import IMAGE as KONG
from ragops.services.qdrant.names import IMAGE as QDRANT
from ragops.services.redis import IMAGE as REDIS
from ragops.services.timescaledb import IMAGE as TIMESCALEDB
from tests.folders import let_everyone_pass
from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ragops.adapters.docker.client import DockerHost
    from ragops.adapters.docker.values import Container

IMAGES = (TIMESCALEDB, REDIS, QDRANT, KONG)
NODES = ("qdrant-1", "qdrant-2", "qdrant-3")
STORES = ("timescaledb", "redis", *NODES)
INSTANCES = (*STORES, "api", "gateway")
COLLECTION, WRITES, WRITES_DIMENSIONS = "texts", "writes", 4
TABLES = ("rag.collections", "rag.documents", "rag.chunks", "rag.schema_migrations")
QUESTIONS = ("how is a recovery point verified", "a node of the cluster is lost", "tokens and the gateway")
_UP_SECONDS = 600
_BLOCK = 22  # ports of a cluster of three, from its first to its last


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is here needs the whole platform, and the time that it takes to start."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.platform)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(1200))


@dataclass
class Whole:
    """A platform in a folder of its own, and the ways to look at it."""

    root: Path
    docker: DockerHost
    ragops: Any
    env: dict[str, str | None] = field(default_factory=dict)

    # --- the command line ---------------------------------------------------------------------------------------

    def run(self, *arguments: str, code: int | None = 0, timeout: float = _UP_SECONDS) -> Any:
        """One command as a user runs it; `code` is the exit code that it must have, None for any."""
        done = self.ragops(*arguments, cwd=self.root, env=self.env, timeout=timeout)
        assert code is None or done.code == code, f"{arguments}: {done.code}\n{done.out}\n{done.err}"
        return done

    def json(self, *arguments: str, code: int | None = 0) -> Any:
        return self.run("--json", *arguments, code=code).json()

    def up(self) -> dict[str, str]:
        """`up --yes`; what it changed, by resource."""
        return {change["resource"]: change["action"] for change in self.json("up", "--yes")["changes"]}

    def drift(self) -> dict[str, str]:
        """What `drift` says, by resource; its exit code has to fit."""
        done = self.run("--json", "drift", code=None)
        found = {item["resource"]: item["detail"] for item in done.json()["resources"]}
        assert done.code == (4 if found else 0), done.out + done.err
        return found

    def states(self) -> dict[str, str]:
        return {item["instance"]: item["state"] for item in self.json("status")["services"]}

    def faults(self) -> dict[str, str]:
        """What `health` says of the containers, by instance; exit 3 where there is anything, 0 where not."""
        done = self.run("--json", "health", code=None)
        probe = next((item for item in done.json()["probes"] if item["service"] == "runtime"), {"checks": []})
        return {check["name"]: check["detail"] for check in probe["checks"] if check["status"] != "ok"}

    def configure(self, **sections: Any) -> None:
        """Change keys of sections of ragops.yaml; None takes one out."""
        values = yaml.safe_load((self.root / "ragops.yaml").read_text())
        for name, changes in sections.items():
            section = {**values.get(name, {}), **changes}
            values[name] = {key: value for key, value in section.items() if value is not None}
        (self.root / "ragops.yaml").write_text(yaml.safe_dump(values, sort_keys=False))

    @property
    def settings(self) -> dict[str, Any]:
        return yaml.safe_load((self.root / "ragops.yaml").read_text())

    # --- Docker -------------------------------------------------------------------------------------------------

    @property
    def names(self) -> DockerNames:
        return DockerNames(self.settings["name"], "default")

    def name(self, instance: str) -> str:
        return self.names.container(instance)

    def container(self, instance: str) -> Container:
        found = self.docker.container(self.name(instance))
        assert found is not None, f"{instance} is gone"
        return found

    def inspect(self, instance: str) -> dict[str, Any]:
        return self.docker.api.inspect_container(self.name(instance))

    def ours(self) -> dict[str, list[str]]:
        """Names of everything in Docker that carries the platform's labels, or only its name."""
        mine, prefix = self.names.labels(), self.names.network
        containers = {one.name for one in self.docker.containers(mine)}
        volumes = {one.name for one in self.docker.volumes(mine)}
        networks = {one.name for one in self.docker.networks(mine)}
        containers |= {c["Names"][0][1:] for c in self.docker.api.containers(all=True, filters={"name": prefix})}
        volumes |= {v["Name"] for v in self.docker.api.volumes(filters={"name": prefix})["Volumes"] or ()}
        networks |= {n["Name"] for n in self.docker.api.networks(filters={"name": prefix})}
        return {"containers": sorted(containers), "volumes": sorted(volumes), "networks": sorted(networks)}

    def data_volumes(self) -> list[str]:
        return sorted(self.names.data_volume(instance) for instance in STORES)

    def assert_nothing_but_the_platform(self) -> None:
        """In Docker there is exactly what a platform consists of, and every container is its instance's."""
        found = self.ours()
        assert found["containers"] == sorted(map(self.name, INSTANCES))
        assert found["networks"] == [self.names.network]
        volumes = {*self.data_volumes(), *map(self.names.config_volume, INSTANCES)}
        volumes |= set(map(self.names.hot_volume, ("api", "gateway", "redis", "timescaledb")))
        assert set(found["volumes"]) == volumes
        for container in self.docker.containers(self.names.labels()):
            assert container.name == self.name(container.labels[INSTANCE])
            assert container.state.running
            assert not [mount for mount in container.mounts if mount.source not in volumes]

    # --- what it holds ------------------------------------------------------------------------------------------

    def outputs(self) -> dict[str, str]:
        return json.loads(self.run("outputs", "--format", "json", "--show-secrets").out)

    def contents(self) -> dict[str, Any]:
        """Everything that must not be lost, asked of the engines themselves."""
        values = self.outputs()
        return {**_rows(values["TIMESCALEDB_URL"]), "redis": _keys(values["REDIS_URL"]), **_points(values)}

    def answers(self, token: str) -> list[list[str]]:
        """What applications get through the gateway."""
        url = f"{self.outputs()['GATEWAY_URL']}/api/v1/search"
        found = []
        for question in QUESTIONS:
            body = {"query": question, "collection": COLLECTION, "limit": 5}
            answer = httpx.post(url, json=body, headers={"authorization": f"Bearer {token}"}, timeout=30)
            assert answer.status_code == 200, answer.text
            found.append([f"{one['id']} {one['score']:.6f}" for one in answer.json()["results"]])
        assert all(found)
        return found

    def settled(self) -> None:
        """Well in every respect: health, drift and plan have nothing to say."""
        wait_for(lambda: self.run("--json", "health", code=None).code == 0, 90, lambda: self.run("health", code=None))
        assert self.drift() == {}
        assert self.json("plan", "--exit-code")["changes"] == []

    def fill(self) -> None:
        """The schema, a collection of texts, cached answers, and a collection that tests write points into."""
        folder = self.root / "texts"
        folder.mkdir()
        for number, name in enumerate(sorted(Path(__file__).parents[3].glob("docs/*.md"))):
            (folder / f"{number}-{name.name}").write_text(name.read_text())
        (self.root / "collections-config.json").write_text(json.dumps(_collections()))
        for arguments in (("migrate", "up"), ("migrate", "json-to-db", "collections-config.json"), ("ingest",)):
            self.run(*arguments)
        values = self.outputs()
        client = redis.Redis.from_url(values["REDIS_URL"])
        client.mset({f"answer:{number}": f"cached answer {number}" for number in range(200)})
        client.close()
        config = {
            "vectors": {"size": WRITES_DIMENSIONS, "distance": "Dot"}, "shard_number": 6, "replication_factor": 2,
            "write_consistency_factor": 1,
        }  # fmt: skip
        made = httpx.put(f"{values['QDRANT_URL']}/collections/{WRITES}", json=config, headers=_key(values), timeout=60)
        assert made.status_code == 200, made.text

    def token(self) -> str:
        return str(self.json("token", "issue", f"t{uuid.uuid4().hex[:8]}")["token"])

    # --- the end ------------------------------------------------------------------------------------------------

    def remove(self) -> None:
        """Nothing of it stays, whatever it takes."""
        with contextlib.suppress(subprocess.TimeoutExpired, OSError):  # an interrupt takes the fork server's files
            self.run("down", "--purge-data", "--yes", code=None, timeout=180)
        prefix, api = self.names.network, self.docker.api
        for raw in api.containers(all=True, filters={"name": prefix}):
            with contextlib.suppress(RagopsError):
                self.docker.remove(raw["Id"], force=True)
        for raw in api.volumes(filters={"name": prefix})["Volumes"] or ():
            with contextlib.suppress(RagopsError):
                self.docker.remove_volume(raw["Name"])
        for raw in api.networks(filters={"name": prefix}):
            with contextlib.suppress(RagopsError):
                self.docker.remove_network(raw["Id"])


def _collections() -> dict[str, Any]:
    defaults = {"embeddingModel": "hashing-384-v1", "chunkSize": 400, "chunkOverlap": 50, "enabled": True}
    return {"collections": [{"name": COLLECTION, "directory": "texts", "fileTypes": ["md"]}], "defaults": defaults}


def _key(values: dict[str, str]) -> dict[str, str]:
    return {"api-key": values["QDRANT_API_KEY"]}


def _rows(url: str) -> dict[str, Any]:
    """The rows of every table as one text each, by table."""
    found = {}
    with psycopg.connect(url, connect_timeout=20) as connection:
        for table in TABLES:
            rows = connection.execute(f"SELECT t::text FROM {table} t ORDER BY 1").fetchall()
            found[table] = _digest(str(rows[0])) if len(rows) == 1 else (len(rows), _digest(str(rows)))
    return found


def _keys(url: str) -> dict[str, str]:
    client = redis.Redis.from_url(url, decode_responses=True, socket_timeout=20)
    try:
        return {key: str(client.get(key)) for key in client.scan_iter("answer:*")}
    finally:
        client.close()


def _points(values: dict[str, str]) -> dict[str, Any]:
    """Every point by its id, with payload and vector, of every collection."""
    found = {}
    with httpx.Client(base_url=values["QDRANT_URL"], headers=_key(values), timeout=60) as client:
        for item in client.get("/collections").json()["result"]["collections"]:
            points, offset = {}, None
            while True:
                body = {"limit": 1000, "offset": offset, "with_payload": True, "with_vector": True}
                answer = client.post(f"/collections/{item['name']}/points/scroll", json=body)
                assert answer.status_code == 200, answer.text
                page = answer.json()["result"]
                points |= {point["id"]: _digest(json.dumps(point, sort_keys=True)) for point in page["points"]}
                if (offset := page["next_page_offset"]) is None:
                    break
            found[f"qdrant {item['name']}"] = points
    return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def wait_for(condition: Callable[[], object], seconds: float, what: str | Callable[[], object]) -> None:
    """Poll `condition`; `what` names it, or tells how things are instead."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what() if callable(what) else what}"
        time.sleep(0.2)


# --- making one ------------------------------------------------------------------------------------------------------


def _free_block(length: int) -> int:
    """The first of so many free ports in a row."""
    return free_ports(length)[0]


def write_whole(root: Path, docker: DockerHost, ragops: Any, env: dict[str, str | None] | None = None) -> Whole:
    """A project for Docker as `init` writes it, on free ports, small, and without models."""
    name = f"ragopst{uuid.uuid4().hex[:6]}"
    done = ragops("init", str(root), "--name", name, "--runtime", "docker", cwd=root.parent)
    assert done.code == 0, done.err
    values = yaml.safe_load((root / "ragops.yaml").read_text())
    values.pop("ollama", None)
    values["observability"] = False  # seven containers more, which tests/docker/platform/test_observability.py has
    (root / "ragops.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    first, made = _free_block(_BLOCK + 5), Whole(root, docker, ragops, env or {})
    ports = iter(range(first + _BLOCK, first + _BLOCK + 5))
    made.configure(
        redis={"port": next(ports), "maxmemory": "64mb"},
        timescaledb={"port": next(ports), "memory": "512mb"},
        qdrant={"port": first, "memory": "512mb"},
        api={"port": next(ports), "memory": "512mb", "embedder": {"kind": "hashing"}, "cache_seconds": 0},
        gateway={
            "port": next(ports), "tls_port": next(ports), "memory": "512mb",
            "rate_limit": {"requests": 100000, "per": "minute", "burst": 100000},
        },
    )  # fmt: skip
    return made


@pytest.fixture(scope="session")
def needed(
    docker: DockerHost, plugin: Path, image: Callable[[str], str], ragops: Any, tmp_path_factory: Any
) -> DockerHost:
    """Engine, plugin and every image, or the test is skipped; the API's is made from the files that are here now."""
    for reference in (*IMAGES, base_image()):
        image(reference)
    done = ragops("images", "build", cwd=tmp_path_factory.mktemp("images"), timeout=_UP_SECONDS)
    assert done.code == 0, done.err
    return docker


@pytest.fixture
def fresh(needed: DockerHost, ragops: Any, workspace: Path) -> Iterator[Whole]:
    """A project that was never up."""
    made = write_whole(workspace / "project", needed, ragops)
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="session")
def shared(needed: DockerHost, ragops: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """The platform that most tests share, up and filled."""
    folder = tmp_path_factory.mktemp("whole")
    let_everyone_pass(folder)
    made = write_whole(folder / "project", needed, ragops)
    try:
        made.up()
        made.fill()
        yield made
    finally:
        made.remove()


@pytest.fixture
def whole(shared: Whole) -> Whole:
    """The shared platform, well; a test that left it otherwise costs the next one an `up`."""
    if shared.run("--json", "health", code=None).code != 0:
        shared.up()
        shared.settled()
    return shared


@pytest.fixture(scope="session")
def token(shared: Whole) -> str:
    """A token that opens the shared platform's gateway."""
    return shared.token()


@pytest.fixture
def kept(whole: Whole) -> Iterator[dict[str, Any]]:
    """What the platform held before the test, and holds after it."""
    before = whole.contents()
    assert len(before["redis"]) == 200
    assert len(before[f"qdrant {COLLECTION}"]) > 50
    yield before
    after = whole.contents()
    written = f"qdrant {WRITES}"
    assert before[written].items() <= after[written].items()
    assert {**after, written: 0} == {**before, written: 0}


@pytest.fixture(scope="session")
def images() -> tuple[str, ...]:
    return (*IMAGES, API, base_image())


@pytest.fixture(scope="session")
def make_whole() -> Callable[..., Whole]:
    return write_whole


@pytest.fixture(scope="session")
def instances() -> tuple[str, ...]:
    return INSTANCES


@pytest.fixture
def image_from(needed: DockerHost) -> Callable[..., contextlib.AbstractContextManager[str]]:
    """An image made from another one under another tag, with another id, and further instructions; gone at the end."""

    @contextlib.contextmanager
    def build(base: str, tag: str, instruction: str = "") -> Iterator[str]:
        reference = f"{tag}-ragopst{uuid.uuid4().hex[:6]}"  # its own: what a tag means is remembered
        steps = f"FROM {base}\nLABEL io.ragops.test={uuid.uuid4().hex}\n"
        steps += f"USER 0\n{instruction}\n" if instruction else ""
        for line in needed.api.build(fileobj=io.BytesIO(steps.encode()), tag=reference, rm=True, decode=True):
            assert "error" not in line, line
        try:
            yield reference
        finally:
            needed.api.remove_image(reference, force=True)

    return build


@pytest.fixture(scope="session", name="wait_for")
def _wait_for() -> Callable[..., None]:
    return wait_for


# --- load --------------------------------------------------------------------------------------------------------


@dataclass
class Load:
    """What applications ask and write meanwhile: searches through the gateway, points at any node that takes them."""

    whole: Whole
    token: str
    reads: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    acknowledged: set[int] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Load:
        values = self.whole.outputs()
        jobs = [*[(self._read, number) for number in range(2)], (self._write, random.randrange(1 << 30, 1 << 52))]
        self._threads = [threading.Thread(target=job, args=(values, number)) for job, number in jobs]
        for thread in self._threads:
            thread.start()
        wait_for(lambda: len(self.reads) > 20 and len(self.acknowledged) > 10, 60, "the load's begin")
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive()

    def goes_on(self, reads: int = 40, writes: int = 10, seconds: float = 120) -> None:
        """Return once so many more reads and writes were answered, well or not."""
        asked, wrote = self.asked + reads, len(self.acknowledged) + writes
        wait_for(lambda: self.asked >= asked and len(self.acknowledged) >= wrote, seconds, "more requests")

    @property
    def asked(self) -> int:
        return len(self.reads) + len(self.failed)

    def said(self) -> str:
        """In one line, for whoever reads the run."""
        return (
            f"{len(self.reads)} searches, {len(self.failed)} failed, slowest {max(self.reads):.2f} s; "
            f"{len(self.acknowledged)} writes acknowledged, {len(self.refused)} refused and repeated, "
            f"slowest {max(self.writes):.2f} s"
        )

    def _read(self, values: dict[str, str], number: int) -> None:
        headers = {"authorization": f"Bearer {self.token}"}
        with httpx.Client(base_url=values["GATEWAY_URL"], headers=headers, timeout=60) as client:
            while not self._stop.is_set():
                number += 2
                body = {"query": f"{QUESTIONS[number % 3]} {number}", "collection": COLLECTION, "limit": 3}
                began = time.monotonic()
                try:
                    answer = client.post("/api/v1/search", json=body)
                    good = answer.status_code == 200 and len(answer.json()["results"]) == 3
                    said = f"{answer.status_code} {answer.text[:200]}"
                except httpx.HTTPError as error:
                    good, said = False, repr(error)
                (self.reads if good else self.failed).append(time.monotonic() - began if good else said)  # type: ignore[arg-type]
                time.sleep(0.05)

    def _write(self, values: dict[str, str], number: int) -> None:
        """Each point until some node has acknowledged it: an application's own patience."""
        urls = values["QDRANT_URLS"].split(",")
        with httpx.Client(headers=_key(values), timeout=60) as client:
            while not self._stop.is_set():
                number += 1
                began = time.monotonic()
                while not self._wrote(client, urls[0], number) and not self._stop.is_set():
                    urls = [*urls[1:], urls[0]]
                    time.sleep(0.1)
                self.writes.append(time.monotonic() - began)
                time.sleep(0.05)

    def _wrote(self, client: httpx.Client, url: str, number: int) -> bool:
        point = {"id": number, "vector": [1.0, 0.0, 0.0, float(number % 97)], "payload": {"number": number}}
        try:
            done = client.put(f"{url}/collections/{WRITES}/points?wait=true", json={"points": [point]})
        except httpx.HTTPError as error:
            self.refused.append(repr(error))
            return False
        if done.status_code == 200 and done.json()["result"]["status"] == "completed":
            self.acknowledged.add(number)
            return True
        self.refused.append(f"{done.status_code} {done.text[:200]}")
        if done.status_code in (401, 403):  # as an application that is given the new key
            known = json.loads((self.whole.root / ".ragops" / "secrets" / "default.json").read_text())
            client.headers["api-key"] = known["qdrant_api_key"]
        return False

    def assert_nothing_lost(self) -> None:
        """No search failed; every acknowledged point is there, on each node's word, and every replica is active."""
        print(self.said())
        assert self.failed == []
        values = self.whole.outputs()
        for url in values["QDRANT_URLS"].split(","):
            assert self.acknowledged <= _points({**values, "QDRANT_URL": url})[f"qdrant {WRITES}"].keys(), url

    def assert_active(self) -> None:
        """Once what its end has left half-written is filled."""
        wait_for(lambda: replica_states(self.whole) == {"Active"}, 60, lambda: replica_states(self.whole))


def replica_states(whole: Whole) -> set[str]:
    """The states of all replicas of all collections, as every node has them."""
    values, found = whole.outputs(), set()
    with httpx.Client(headers=_key(values), timeout=30) as client:
        for url in values["QDRANT_URLS"].split(","):
            for name, replicas in ((COLLECTION, 3), (WRITES, 12)):  # one shard on every node; six in two copies
                shards = client.get(f"{url}/collections/{name}/cluster").json()["result"]
                assert len(shards["local_shards"]) + len(shards["remote_shards"]) == replicas
                found |= {shard["state"] for shard in (*shards["local_shards"], *shards["remote_shards"])}
    return found


@pytest.fixture(scope="session", name="load")
def _load() -> type[Load]:
    return Load


# --- commands that are ended half-way -------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def end_at() -> Callable[..., tuple[int, str]]:
    """Run a command up to a point and end it: by SIGKILL together with its engine and all, else as Ctrl-C does.

    Its exit code and what it said.
    """

    def run(whole: Whole, point: Callable[[], object], how: signal.Signals, *arguments: str) -> tuple[int, str]:
        process = whole.ragops.start(*arguments, cwd=whole.root, env=whole.env)
        reader_out: list[str] = []
        try:
            deadline = time.monotonic() + 300
            while not point():
                assert process.poll() is None, f"it was over before the point: {process.communicate()}"
                assert time.monotonic() < deadline, "the point was never reached"
                time.sleep(0.02)
            if how is signal.SIGKILL:
                _kill_all(process.pid)
            else:
                os.killpg(process.pid, how)
            out, err = process.communicate(timeout=180)
            reader_out += [out, err]
        finally:
            if process.poll() is None:
                _kill_all(process.pid)
                process.communicate(timeout=10)
        return process.returncode, "".join(reader_out)

    return run


def _kill_all(pid: int) -> None:
    """The command, its engine and the engine's plugins at one stroke, as a machine's loss of power would."""
    victim = psutil.Process(pid)
    for process in [victim, *victim.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            process.kill()
