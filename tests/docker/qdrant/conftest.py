"""A real cluster of three Qdrant servers, in containers with the very arguments that the runtime gives to Pulumi."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import SecretStr

from ragops.errors import RagopsError
from ragops.runtimes.docker.containers import files as docker_files
from ragops.runtimes.docker.control import DockerControl
from ragops.runtimes.docker.names import DockerNames
from ragops.runtimes.docker.provision import args as docker_args
from ragops.runtimes.docker.runtime import CAPABILITIES
from ragops.services.contract import Login
from ragops.services.qdrant import node
from ragops.services.qdrant.cluster.prepare import prepare
from ragops.services.qdrant.component import cluster_endpoint
from ragops.services.qdrant.names import API_KEY_SECRET, IMAGE
from ragops.services.qdrant.settings import QdrantSettings, instance
from ragops.services.qdrant.shard_layout import least_copies
from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ragops.adapters.docker.client import DockerHost
    from ragops.services.contract import Endpoint
    from ragops.services.spec import ImageSpec, Layout, ServiceSpec

KEY = 'the-key-of-the-cluster\'s "tests": {x}'


class Runtime:
    """What components see of the Docker runtime."""

    name = "docker"
    capabilities = CAPABILITIES

    def __init__(self, names: DockerNames) -> None:
        self._names = names

    def layout(self, name: str, image: ImageSpec | None = None) -> Layout:
        assert image is not None
        return docker_args.layout(name, image)

    def runtime_id(self, name: str) -> str:
        return self._names.container(name)

    def run(self, spec: ServiceSpec, parent: Any) -> None:
        raise NotImplementedError


@dataclass
class Cluster:
    """Containers, volumes and a network of one cluster; nodes are counted from 1."""

    docker: DockerHost
    names: DockerNames
    settings: QdrantSettings
    image_id: str

    @property
    def numbers(self) -> range:
        return range(1, self.settings.nodes + 1)

    @property
    def layouts(self) -> list[Layout]:
        return [Runtime(self.names).layout(instance(number), node.image(self.settings)) for number in self.numbers]

    @property
    def endpoint(self) -> Endpoint:
        made = cluster_endpoint(self.settings, Runtime(self.names), self.layouts)
        login = Login("", API_KEY_SECRET, SecretStr(KEY))
        return replace(made, logins={"operator": login, "application": login})

    @property
    def control(self) -> DockerControl:
        return DockerControl(self.endpoint.runtime_id, self.docker)

    def spec(self, number: int) -> ServiceSpec:
        return node.node_spec(self.settings, {API_KEY_SECRET: KEY}, self.layouts, number)

    def container(self, number: int) -> str:
        return self.names.container(instance(number))

    def url(self, number: int) -> str:
        return f"http://127.0.0.1:{self.settings.rest_port(number)}"

    def up(self) -> Cluster:
        """As `ragops up`: one node after the other, then what prepares them."""
        self.docker.api.create_network(self.names.network, driver="bridge", labels=self.names.labels())
        for number in self.numbers:
            self.make(number)
        prepare(self.endpoint)
        return self

    def make(self, number: int, *, anew: bool = False) -> None:
        """The container anew, on its volume if there is one; returns when it is healthy."""
        if anew:
            self.remove(number)
        spec = self.spec(number)
        assert spec.image is not None
        args = docker_args.files_args(
            spec, spec.image, self.names, image_id=self.image_id, files=spec.files,
            volume=self.names.config_volume(spec.name),
        )  # fmt: skip
        docker_files.write(self.docker, docker_files.from_props(args))
        self.docker.create_volume(self.names.data_volume(spec.name), self.names.labels("qdrant", spec.name))
        self.docker.create(self.container(number), self.body(number))
        self.start(number)

    def body(self, number: int) -> dict[str, Any]:
        """The body of Docker's API for what the plugin is told."""
        spec = self.spec(number)
        assert spec.image is not None
        args = docker_args.container_args(spec, spec.image, self.names, image_id=self.image_id, network="")
        ports = {f"{port['internal']}/tcp": [{"HostIp": port["ip"], "HostPort": str(port["external"])}]
                 for port in args["ports"]}  # fmt: skip
        host = {
            "RestartPolicy": {"Name": args["restart"]},
            "NetworkMode": self.names.network,
            "PortBindings": ports,
            "Binds": [f"{volume['volume_name']}:{volume['container_path']}:{'ro' if volume['read_only'] else 'rw'}"
                      for volume in args["volumes"]],
            "ReadonlyRootfs": args["read_only"],
            "Tmpfs": args["tmpfs"],
            "CapDrop": args["capabilities"]["drops"],
            "SecurityOpt": args["security_opts"],
            "Memory": args.get("memory", 0) << 20,
            "MemorySwap": args.get("memory_swap", 0) << 20,
        }  # fmt: skip
        return {
            "Image": args["image"],
            "Hostname": args["hostname"],
            "Entrypoint": args["entrypoints"],
            "Cmd": args["command"],
            "Env": args["envs"],
            "User": args["user"],
            "StopSignal": args["stop_signal"],
            "StopTimeout": args["stop_timeout"],
            "Labels": {label["label"]: label["value"] for label in args["labels"]},
            "Healthcheck": {"Test": args["healthcheck"]["tests"], "Interval": 10**10, "Timeout": 5 * 10**9,
                            "StartPeriod": 180 * 10**9, "Retries": 3},
            "ExposedPorts": {port: {} for port in ports},
            "HostConfig": host,
            "NetworkingConfig": {"EndpointsConfig": {self.names.network: {"Aliases": [spec.name]}}},
        }  # fmt: skip

    def start(self, number: int, *, wait: bool = True) -> None:
        self.docker.start(self.container(number))
        if wait:
            self.docker.wait_healthy(self.container(number), 90)

    def kill(self, number: int) -> None:
        """As a machine that goes out; Docker does not start again what was killed by hand."""
        self.docker.api.kill(self.container(number))

    def remove(self, number: int, *, data: bool = False) -> None:
        self.docker.remove(self.container(number), force=True)
        if data:
            self.docker.remove_volume(self.names.data_volume(instance(number)))

    def http(self, number: int = 1, *, key: str = KEY) -> httpx.Client:
        headers = {"api-key": key} if key else {}
        return httpx.Client(base_url=self.url(number), headers=headers, timeout=60, trust_env=False)

    def data_file(self, name: str, file: str) -> str | None:
        """A file among the data of a node that does not run, as the host of the runtime finds it."""
        volume = self.names.data_volume(name)
        if self.docker.volume(volume) is None:
            return None
        command = ("cat", f"/data/current/{file}")
        done = self.docker.run_once(f"{volume}.look", self.image_id, command, mounts={volume: "/data"}, labels={})
        return done.text if done.code == 0 else None

    def log(self, number: int) -> str:
        return "\n".join(self.docker.logs(self.container(number), 1000))

    def fill(self, name: str, points: int, *, size: int = 8, **more: Any) -> None:
        """A collection with `points` points whose vectors and payloads follow from their numbers."""
        nodes = self.settings.nodes
        placement = {"shard_number": 2 * nodes, "replication_factor": min(2, nodes), **more}
        placement |= {"write_consistency_factor": least_copies(placement["replication_factor"])}
        with self.http() as api:
            body = {"vectors": {"size": size, "distance": "Cosine"}, **placement}
            # What a node passes on to a leader that is no more is never done: another try, as ragops makes it.
            for seconds in (15, 15, 60):
                made = api.put(f"/collections/{name}", params={"timeout": seconds}, json=body)
                if made.status_code != 500:
                    break
            assert made.status_code in (200, 409), made.text
            for start in range(0, points, 1000):
                rows = [point(number, size) for number in range(start, min(points, start + 1000))]
                done(api.put(f"/collections/{name}/points", params={"wait": "true"}, json={"points": rows}))


def point(number: int, size: int) -> dict[str, Any]:
    dice = random.Random(number)
    return {
        "id": number,
        "vector": [dice.uniform(-1, 1) for _ in range(size)],
        "payload": {"n": number, "g": f"g{number % 7}"},
    }


def done(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return response.json()["result"]


def free_base(nodes: int) -> int:
    """The first of all the ports that so many nodes are published on, three at least."""
    return free_ports(10 * max(nodes, 3))[0]


@pytest.fixture(scope="module")
def new_cluster(docker: DockerHost, image: Callable[[str], str], module_mine: Any) -> Iterator[Callable[..., Cluster]]:
    """A function that makes a cluster; more than one may be up at once."""
    image_id = image(IMAGE)

    def make(name: str = "a", **section: Any) -> Cluster:
        nodes = section.get("nodes", 3)
        settings = QdrantSettings(**{"port": free_base(nodes), "memory": "1gb", **section})
        return Cluster(docker, DockerNames(module_mine.name(name), "default"), settings, image_id)

    yield make


@pytest.fixture(scope="module")
def cluster(new_cluster: Callable[..., Cluster]) -> Cluster:
    """Three nodes that are up; whoever takes one away brings it back."""
    return new_cluster().up()


@pytest.fixture
def drop(cluster: Cluster) -> Iterator[None]:
    """No collection of the test is left, nor a node away."""
    yield
    for number in cluster.numbers:
        if cluster.docker.container(cluster.container(number)) is None:
            cluster.make(number)
        cluster.start(number)
    deadline = time.monotonic() + 120
    while not _cleared(cluster):
        assert time.monotonic() < deadline
        time.sleep(0.5)


def _cleared(cluster: Cluster) -> bool:
    try:
        with cluster.http() as api:
            for item in done(api.get("/collections"))["collections"]:
                if not item["name"].startswith("ragops-"):
                    done(api.delete(f"/collections/{item['name']}", params={"timeout": 10}))
    except (AssertionError, httpx.HTTPError, RagopsError):
        return False
    return True
