"""Single services in containers by their own specifications, without Pulumi: testcontainers, the official names."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from testcontainers.core.container import DockerContainer

from ragops.adapters.docker.client import ArchiveEntry
from ragops.config.model import Settings
from ragops.operations.session import Platform
from ragops.runtimes.docker.control import DockerControl
from ragops.runtimes.docker.names import DockerNames
from ragops.runtimes.docker.provision import args as docker_args
from ragops.runtimes.docker.provision.args import start_script
from ragops.services import SERVICES
from ragops.services.contract import Capability, Endpoint, Login
from ragops.services.spec import ExecCheck
from tests.backup_helpers import open_repositories
from tests.engines import Client

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ragops.adapters.docker.client import DockerHost
    from ragops.recovery.repositories import Repositories
    from ragops.services.spec import ImageSpec, Layout, ServiceSpec

SECRETS = {secret: f"{secret}-hunter2" for service in SERVICES for secret in service.secrets()}
SECOND = 1_000_000_000  # nanoseconds


class Runtime:
    """What components ask of a runtime, short of running anything."""

    name = "docker"
    capabilities = frozenset({Capability.RESTART, Capability.EXEC, Capability.READ_FILES})

    def __init__(self, names: DockerNames) -> None:
        self._names = names

    def layout(self, instance: str, image: ImageSpec | None = None) -> Layout:
        assert image is not None
        return docker_args.layout(instance, image)

    def runtime_id(self, instance: str) -> str:
        return self._names.container(instance)

    def run(self, spec: ServiceSpec, parent: Any) -> None:
        raise AssertionError("these tests start it themselves")


@dataclass
class Service(Client):
    """One running container and what operations know of it."""

    docker: DockerHost
    name: str
    spec: ServiceSpec
    endpoint: Endpoint

    @property
    def control(self) -> DockerControl:
        return DockerControl(self.name, self.docker)

    def sh(self, script: str) -> str:
        done = self.docker.exec(self.name, ["sh", "-c", script])
        assert done.code == 0, done.error_text
        return done.text

    def platform(self, config: Path) -> Platform:
        """A platform of this service alone, as backups and restores see it."""
        config.write_text("name: test\nruntime: docker\nobservability: off\n")
        return Platform("test", "docker", {self.endpoint.service: self.endpoint}, control_of, {config.name: config})


@dataclass
class Starter:
    """Starts services in containers named after the test."""

    docker: DockerHost
    names: DockerNames
    image: Callable[[str], str]
    free_port: Callable[[], int]

    def __call__(self, name: str, **section: Any) -> Service:
        component = importlib.import_module(f"ragops.services.{name}.component")
        settings = getattr(Settings.model_validate({"name": "test", name: {"port": self.free_port(), **section}}), name)
        runtime, image = Runtime(self.names), component.image_spec(settings)
        self.image(image.reference)
        layout = runtime.layout(name, image)
        spec = component.service_spec(settings, SECRETS, layout)
        self._files(spec, image)
        self._container(spec, image, layout.data_dir).start()
        container = self.names.container(name)
        self.docker.wait_healthy(container, 120)
        return Service(self.docker, container, spec, _logged_in(component.endpoint(settings, runtime, layout)))

    def _files(self, spec: ServiceSpec, image: ImageSpec) -> None:
        helper = f"{self.names.container(spec.name)}-files"
        for volume, files in self._volumes(spec):
            with self.docker.created(helper, image.reference, mounts={volume: "/config"}):
                user = self.docker.user(helper, image.user)
                entries = [ArchiveEntry(file.name, 0o400, user.uid, user.gid, file.content.encode()) for file in files]
                self.docker.put_archive(helper, "/config", entries)

    def _volumes(self, spec: ServiceSpec) -> list[tuple[str, Any]]:
        config = (self.names.config_volume(spec.name), spec.files)
        return [config, *([(self.names.hot_volume(spec.name), spec.hot)] if spec.hot else [])]

    def _container(self, spec: ServiceSpec, image: ImageSpec, data_dir: str) -> DockerContainer:
        assert isinstance(spec.health, ExecCheck)
        container = DockerContainer(image.reference).with_name(self.names.container(spec.name))
        container.with_command(list(spec.command))
        container.with_volume_mapping(self.names.data_volume(spec.name), image.mount, "rw")
        container.with_volume_mapping(self.names.config_volume(spec.name), image.config_dir, "ro")
        if spec.hot:
            container.with_volume_mapping(self.names.hot_volume(spec.name), image.hot_dir, "ro")
        container.ports = {spec.ports[key]: ("127.0.0.1", port) for key, port in spec.publish.items()}
        container.env = dict(spec.environment)
        container.tmpfs = dict.fromkeys(image.writable, "mode=1777,noexec,nosuid,nodev")
        return container.with_kwargs(
            entrypoint=["/bin/sh", "-c", start_script(data_dir, spec.init, spec.lock_files), "ragops"],
            user=image.user, read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges"],
            labels=self.names.labels(spec.service, spec.name), stop_signal=spec.stop_signal,
            mem_limit=spec.memory or None, shm_size=spec.shm or None,
            healthcheck={
                "test": ["CMD", *spec.health.command], "interval": SECOND, "timeout": 10 * SECOND, "retries": 3,
                "start_period": int(spec.start_timeout) * SECOND,
            },
        )  # fmt: skip


def _logged_in(endpoint: Endpoint) -> Endpoint:
    """The endpoint that the component exports, its passwords put in as operations do."""
    logins = {
        role: Login(login.user, login.secret, SecretStr(SECRETS[login.secret]))
        for role, login in endpoint.logins.items()
    }
    return replace(endpoint, logins=logins)


def control_of(endpoint: Endpoint) -> DockerControl:
    return DockerControl(endpoint.runtime_id)


@pytest.fixture(scope="module")
def start(docker: DockerHost, image: Callable[[str], str], module_mine: Any, free_port: Callable[[], int]) -> Starter:
    """A function that starts a service in a container, from its own specification."""
    return Starter(docker, DockerNames(module_mine.prefix, "default"), image, free_port)


@pytest.fixture
def repos(tmp_path: Path) -> Repositories:
    """One repository, not encrypted."""
    return open_repositories(tmp_path)
