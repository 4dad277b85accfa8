"""What the containers of an environment were when `up` had made them: what later looks compare with."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  read when the file is
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ragops.adapters.docker.inspect import read_settings
from ragops.adapters.files import PUBLIC_MODE
from ragops.adapters.state_file import StateFile
from ragops.runtimes.docker.names import INSTANCE, SERVICE, TEMPORARY, DockerNames

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ragops.adapters.docker.client import DockerHost
    from ragops.adapters.docker.values import Container


@dataclass(frozen=True)
class Provisioned:
    """One container as it was provisioned; `reference` names its image, `settings` are `docker_inspect.settings_of`."""

    instance: str
    service: str
    id: str
    reference: str
    restarts: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """All containers of one environment, and its network by id."""

    containers: tuple[Provisioned, ...] = ()
    network: str = ""

    def of(self, service: str) -> tuple[Provisioned, ...]:
        """Return the containers of one service."""
        return tuple(item for item in self.containers if item.service == service)

    @property
    def known(self) -> frozenset[str]:
        """The ids of all that was provisioned whole."""
        return frozenset({self.network, *(item.id for item in self.containers)})


def record_file(path: Path) -> StateFile[Record]:
    """Return the file of the record; there is none before the first `up` went through."""
    return StateFile(path, Record, PUBLIC_MODE)


def capture(docker: DockerHost, names: DockerNames, references: Mapping[str, str]) -> Record:
    """Return the environment as it is now; `references` are names of images by their ids."""
    network = next((found.id for found in docker.networks(names.labels()) if found.name == names.network), "")
    return Record(tuple(_one(docker, found, references) for found in services(docker, names)), network)


def services(docker: DockerHost, names: DockerNames) -> tuple[Container, ...]:
    """Return the containers that are an instance of a service, not those that work for one command."""
    return tuple(found for found in docker.containers(names.labels()) if is_service(names, found))


def is_service(names: DockerNames, container: Container) -> bool:
    """Whether it is the container of an instance, by its label and its name."""
    instance = container.labels.get(INSTANCE, "")
    return bool(instance) and container.name == names.container(instance) and TEMPORARY not in container.labels


def by_instance(containers: Iterable[Container]) -> dict[str, Container]:
    """Return the containers by the instances that they are."""
    return {container.labels[INSTANCE]: container for container in containers}


def _one(docker: DockerHost, container: Container, references: Mapping[str, str]) -> Provisioned:
    return Provisioned(
        instance=container.labels[INSTANCE],
        service=container.labels.get(SERVICE, ""),
        id=container.id,
        reference=references.get(container.image_id, container.image),
        restarts=container.state.restarts,
        settings=read_settings(docker, container.id),
        volumes=tuple(sorted(mount.source for mount in container.mounts if mount.kind == "volume")),
    )
