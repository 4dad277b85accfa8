"""What would make `up` fail half-way on Docker, found before it starts anything."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters.docker.inspect import ContainerSummary, list_all_containers
from ragops.adapters.ports import port_owner
from ragops.errors import MissingError, UsageError
from ragops.runtimes.checks import config_name, port_taken
from ragops.runtimes.docker.names import PLATFORM, DockerNames
from ragops.services import SERVICES
from ragops.units import size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.adapters.docker.client import DockerHost
    from ragops.config.load import Project

MIN_FREE_BYTES = 1024 * 1024 * 1024  # below it engines begin to refuse writes before anybody looks


def names_of(project: Project) -> DockerNames:
    """Return the names of everything of the project's environment."""
    return DockerNames(project.settings.name, project.paths.environment)


def is_local(docker: DockerHost) -> bool:
    """Whether the engine runs on this very machine."""
    return docker.url.startswith(("unix://", "/", "npipe://")) or bool(re.match(r"tcp://(127\.|localhost)", docker.url))


def refuse_what_cannot_start(docker: DockerHost, project: Project) -> None:
    """Raise MissingError (docker_missing, disk_full, port_taken), UsageError (name_taken)."""
    docker.engine()
    refuse_full_disk(docker)
    containers = list_all_containers(docker)
    refuse_taken_names(docker, names_of(project), containers)
    for (service, _key), port in project.settings.ports().items():
        refuse_taken_port(docker, project, containers, service, port)


def free_space(docker: DockerHost) -> tuple[Path, int] | None:
    """Return the engine's data folder and the bytes that are free there; None if that cannot be seen from here."""
    if not is_local(docker):
        return None
    folder = Path(docker.engine().root_dir)
    try:
        return folder, shutil.disk_usage(folder).free
    except OSError:  # an engine in a virtual machine, or a folder that this user may not see
        return None


def refuse_full_disk(docker: DockerHost) -> None:
    """Raise MissingError (disk_full) where images and volumes would not fit."""
    found = free_space(docker)
    if found and found[1] < MIN_FREE_BYTES:
        what = f"cannot start: {size(found[1])} are free in {found[0]}, where Docker keeps images and data"
        hint = f"free some of it (`docker system df` shows what takes it); {size(MIN_FREE_BYTES)} are needed"
        raise MissingError("disk_full", what, hint)


def refuse_taken_names(docker: DockerHost, names: DockerNames, containers: Sequence[ContainerSummary]) -> None:
    """Raise UsageError (name_taken) where somebody else's container or network is called as ours would be."""
    for container in containers:
        if PLATFORM not in container.labels and _would_be_ours(names, container.name):
            what = f"cannot use the name {container.name}: a container that ragops did not make has it"
            raise UsageError("name_taken", what, f"remove it (`docker rm -f {container.name}`), or rename the platform")
    for network in docker.networks({}):
        if PLATFORM not in network.labels and network.name == names.network:
            what, other = (
                f"cannot use the name {network.name}: a network that ragops did not make has it",
                "or rename the platform",
            )
            raise UsageError("name_taken", what, f"remove it (`docker network rm {network.name}`), {other}")


def _would_be_ours(names: DockerNames, name: str) -> bool:
    services = "|".join(name for service in SERVICES for name in service.instances or (service.name,))
    return re.fullmatch(rf"{re.escape(names.network)}-({services})(-\d+)?", name) is not None


def refuse_taken_port(
    docker: DockerHost, project: Project, containers: Sequence[ContainerSummary], service: str, port: int
) -> None:
    """Raise MissingError (port_taken) if anything but our own container listens on the port."""
    ours = names_of(project).labels().items()
    for container in containers:
        if port in container.ports:
            if not ours <= container.labels.items():
                raise port_taken(service, port, f"the container {container.name}", config_name(project))
            return
    if is_local(docker) and (owner := port_owner(port)):
        raise port_taken(service, port, str(owner), config_name(project))
