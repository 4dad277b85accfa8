"""Single services from their own specifications in containers, without Pulumi: testcontainers and the official names."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from testcontainers.core.container import DockerContainer

from ragops.adapters.docker_client import DockerHost, Entry
from ragops.config.model import Settings
from ragops.runtimes.docker_names import DATA_FOLDER, DockerNames
from ragops.services import SERVICES
from ragops.services.contract import Capability, Endpoint, Login
from ragops.services.spec import ExecCheck, ImageSpec, Layout, ServiceSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRETS = {secret: f"{secret}-hunter2" for service in SERVICES for secret in service.secrets()}
CAPABILITIES = frozenset({Capability.RESTART, Capability.EXEC, Capability.READ_FILES})

# What a runtime does before it starts a service: its data lie in a folder of the volume, an image's init fills it once.
START = """
set -eu
data=$1; marker=$2; shift 2
if [ -n "$marker" ]; then
    if [ ! -e "$data/current/$marker" ]; then
        rm -rf "$data/current.new"; mkdir -m 700 "$data/current.new"
        sh -c "$RAGOPS_INIT"
        rm -rf "$data/current"; mv "$data/current.new" "$data/current"
    fi
else
    mkdir -p -m 700 "$data/current"
fi
exec "$@"
"""


class ImageRuntime:
    """The runtime that components see: it keeps what they hand to it."""

    name = "docker"
    capabilities = CAPABILITIES

    def __init__(self, names: DockerNames) -> None:
        self._names = names
        self.spec: ServiceSpec | None = None

    def layout(self, instance: str, image: ImageSpec | None = None) -> Layout:
        assert image is not None
        return Layout(image.config_dir, f"{image.mount}/{DATA_FOLDER}", "0.0.0.0", host=instance, in_image=True)

    def handle(self, instance: str) -> str:
        return self._names.container(instance)

    def run(self, spec: ServiceSpec, parent: Any) -> None:
        self.spec = spec


@dataclass
class Service:
    """One running container and what operations know of it."""

    docker: DockerHost
    name: str
    spec: ServiceSpec
    endpoint: Endpoint

    def health(self) -> str:
        container = self.docker.container(self.name)
        assert container is not None
        if container.state.status not in ("created", "running"):
            raise AssertionError("\n".join(self.docker.logs(self.name, 40)))
        return container.state.health

    def wait_healthy(self, seconds: float = 60) -> Service:
        deadline = time.monotonic() + seconds
        while self.health() != "healthy":
            assert time.monotonic() < deadline, "\n".join(self.docker.logs(self.name, 40))
            time.sleep(0.1)
        return self

    def sh(self, script: str) -> str:
        done = self.docker.exec(self.name, ["sh", "-c", script])
        assert done.code == 0, done.said
        return done.text


def _endpoint(component: Any, settings: Any, runtime: ImageRuntime, layout: Layout) -> Endpoint:
    """The endpoint that the component exports, its passwords put in as operations do."""
    endpoint = component.endpoint(settings, runtime, layout)
    logins = {
        role: Login(item.user, item.secret, SecretStr(SECRETS[item.secret])) for role, item in endpoint.logins.items()
    }
    return Endpoint(**{**endpoint.__dict__, "logins": logins})


@dataclass
class Starter:
    """Starts services in containers named after the test."""

    docker: DockerHost
    names: DockerNames
    image: Callable[[str], str]
    free_port: Callable[[], int]

    def __call__(self, name: str, **section: Any) -> Service:
        component = __import__(f"ragops.services.{name}.component", fromlist=["x"])
        settings = getattr(Settings.model_validate({"name": "test", name: {"port": self.free_port(), **section}}), name)
        runtime = ImageRuntime(self.names)
        image = component.image_spec(settings)
        self.image(image.reference)
        layout = runtime.layout(name, image)
        spec = component.service_spec(settings, SECRETS, layout)
        self._volumes(spec, name)
        self._container(spec, name).start()
        return Service(self.docker, self.names.container(name), spec, _endpoint(component, settings, runtime, layout))

    def _volumes(self, spec: ServiceSpec, name: str) -> None:
        image, labels = spec.image, self.names.labels(spec.service, name)
        data, config = self.names.data_volume(name), self.names.config_volume(name)
        for volume in (data, config):
            self.docker.create_volume(volume, labels)
        with self.docker.created(
            f"{self.names.container(name)}-files", image.reference, mounts={config: "/config"}
        ) as _:
            user = self.docker.user(f"{self.names.container(name)}-files", image.user)
            entries = [Entry(file.name, 0o400, user.uid, user.gid, file.content.encode()) for file in spec.files]
            self.docker.put_archive(f"{self.names.container(name)}-files", "/config", entries)

    def _container(self, spec: ServiceSpec, name: str) -> DockerContainer:
        image = spec.image
        init = spec.init
        fill = " ".join(init.command).replace("{data}", f"{image.mount}/current.new") if init else ""
        health = spec.health.command if isinstance(spec.health, ExecCheck) else ()
        container = DockerContainer(image.reference).with_name(self.names.container(name))
        container.with_command([image.mount, init.marker if init else "", *spec.command])
        container.with_volume_mapping(self.names.data_volume(name), image.mount, "rw")
        container.with_volume_mapping(self.names.config_volume(name), image.config_dir, "ro")
        container.ports = {spec.ports[key]: ("127.0.0.1", port) for key, port in spec.publish.items()}
        container.env = {**spec.environment, "RAGOPS_INIT": fill}
        container.tmpfs = dict.fromkeys(image.writable, "mode=1777")
        return container.with_kwargs(
            entrypoint=["sh", "-c", START, "sh"], user=image.user, read_only=True,
            cap_drop=["ALL"], security_opt=["no-new-privileges"],
            labels=self.names.labels(spec.service, name),
            stop_signal=spec.stop_signal, mem_limit=spec.memory or None, shm_size=spec.shm or None,
            healthcheck={"test": ["CMD", *health], "interval": 500_000_000, "timeout": 5_000_000_000, "retries": 100},
        )  # fmt: skip


@pytest.fixture(scope="module")
def start(docker: DockerHost, image: Callable[[str], str], module_mine: Any, free_port: Any) -> Iterator[Starter]:
    """A function that starts a service in a container, from its own specification."""
    return Starter(docker, DockerNames(module_mine.prefix, "default"), image, free_port)
