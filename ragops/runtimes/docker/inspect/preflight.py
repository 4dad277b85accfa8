"""What would make `up` fail half-way on Docker, found before it starts anything."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters.docker.inspect import ContainerSummary, list_all_containers, read_engine_facts
from ragops.adapters.ports import port_owner
from ragops.errors import MissingError, UsageError
from ragops.runtimes.docker.names import PLATFORM, DockerNames
from ragops.runtimes.ports import config_name, port_taken
from ragops.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.adapters.docker.client import DockerHost
    from ragops.config.load import Project

MIN_FREE_BYTES = 1024 * 1024 * 1024  # below it engines begin to refuse writes before anybody looks


@dataclass(frozen=True)
class Free:
    """Free bytes where the engine keeps images and volumes (`folder`)."""

    folder: Path
    size: int


@dataclass(frozen=True)
class Port:
    """A port of this machine that a service is published on."""

    service: str
    number: int


def names_of(project: Project) -> DockerNames:
    """Return the names of everything of the project's environment."""
    return DockerNames(project.settings.name, project.paths.environment)


def is_local(docker: DockerHost) -> bool:
    """Whether the engine runs on this very machine."""
    return docker.url.startswith(("unix://", "/", "npipe://")) or bool(re.match(r"tcp://(127\.|localhost)", docker.url))


def refuse_what_cannot_start(docker: DockerHost, project: Project) -> None:
    """Raise MissingError (docker_missing, disk_full, port_taken), UsageError (name_taken)."""
    docker.version()
    refuse_full_disk(docker)
    containers = list_all_containers(docker)
    refuse_taken_names(docker, names_of(project), containers)
    for (service, _key), port in project.settings.ports().items():
        refuse_taken_port(docker, project, containers, Port(service, port))


def free_space(docker: DockerHost) -> Free | None:
    """Return the engine's data folder and how much is free there; None if that cannot be seen from here."""
    if not is_local(docker):
        return None
    folder = Path(read_engine_facts(docker).root_dir)
    try:
        return Free(folder, shutil.disk_usage(folder).free)
    except OSError:  # an engine in a virtual machine, or a folder that this user may not see
        return None


def refuse_full_disk(docker: DockerHost) -> None:
    """Raise MissingError (disk_full) where images and volumes would not fit."""
    found = free_space(docker)
    if found and found.size < MIN_FREE_BYTES:
        what = f"{found.size // 2**20} MiB are free in {found.folder}, where Docker keeps images and data"
        hint = f"free some of it (`docker system df` says what takes it); {MIN_FREE_BYTES // 2**20} MiB are needed"
        raise MissingError("disk_full", what, hint)


def refuse_taken_names(docker: DockerHost, names: DockerNames, containers: Sequence[ContainerSummary]) -> None:
    """Raise UsageError (name_taken) where somebody else's container or network is called as ours would be."""
    for container in containers:
        if PLATFORM not in container.labels and _would_be_ours(names, container.name):
            what = f"a container that ragops did not make is called {container.name}"
            raise UsageError("name_taken", what, f"remove it (`docker rm -f {container.name}`), or rename the platform")
    for network in docker.networks({}):
        if PLATFORM not in network.labels and network.name == names.network:
            what, other = f"a network that ragops did not make is called {network.name}", "or rename the platform"
            raise UsageError("name_taken", what, f"remove it (`docker network rm {network.name}`), {other}")


def _would_be_ours(names: DockerNames, name: str) -> bool:
    services = "|".join(service.name for service in SERVICES)
    return re.fullmatch(rf"{re.escape(names.network)}-({services})(-\d+)?", name) is not None


def refuse_taken_port(docker: DockerHost, project: Project, containers: Sequence[ContainerSummary], port: Port) -> None:
    """Raise MissingError (port_taken) if anything but our own container listens on the port."""
    ours = names_of(project).labels().items()
    for container in containers:
        if port.number in container.ports:
            if not ours <= container.labels.items():
                raise port_taken(port.service, port.number, f"the container {container.name}", config_name(project))
            return
    if is_local(docker) and (owner := port_owner(port.number)):
        raise port_taken(port.service, port.number, str(owner), config_name(project))
