"""What everything that ragops makes in Docker is called, and the labels by which it is found again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.runtimes.contract import ResourceDescription

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "io.ragops."
PLATFORM = f"{PREFIX}platform"
ENVIRONMENT = f"{PREFIX}environment"
SERVICE = f"{PREFIX}service"
INSTANCE = f"{PREFIX}instance"
CONFIG = f"{PREFIX}config"  # digest of the configuration that the container was made with
TEMPORARY = f"{PREFIX}temporary"  # what it is for: a container that outlives no command of ragops

# Inside a volume, so that the data can be renamed: a volume itself cannot.
DATA_FOLDER = "current"


def temporary(labels: Mapping[str, str], purpose: str) -> dict[str, str]:
    """Return the labels of a short-lived container for what has `labels`: of its environment, of no service."""
    return {name: labels[name] for name in (PLATFORM, ENVIRONMENT) if name in labels} | {TEMPORARY: purpose}


@dataclass(frozen=True)
class DockerNames:
    """Names of one environment of one platform."""

    platform: str
    environment: str

    @property
    def network(self) -> str:
        """The network of the environment; its services reach one another by their instances' names."""
        return f"{self.platform}-{self.environment}"

    def container(self, instance: str) -> str:
        """Return the name of the container of an instance."""
        return f"{self.network}-{instance}"

    def data_volume(self, instance: str) -> str:
        """Return the name of the volume of its data."""
        return f"{self.container(instance)}-data"

    def config_volume(self, instance: str) -> str:
        """Return the name of the volume of its rendered files, which can be made again at any time."""
        return f"{self.container(instance)}-config"

    def hot_volume(self, instance: str) -> str:
        """Return the name of the volume of its hot files, which can be made again at any time."""
        return f"{self.container(instance)}-hot"

    def labels(self, service: str = "", instance: str = "") -> dict[str, str]:
        """Return the labels of what belongs to the environment, to a service and to an instance of it."""
        found = {PLATFORM: self.platform, ENVIRONMENT: self.environment}
        found |= {SERVICE: service} if service else {}
        return found | ({INSTANCE: instance} if instance else {})


READY = "-ready"  # ends the name of the resource that waits until a container serves
_HIDDEN = frozenset({CONFIG, "container_id", "restarts"})  # the label is a digest of files whose change is shown
_OF_RUNNING = frozenset({"ports", "mustRun", "start"})  # a container that does not run seems to have lost these


def describe_resource(urn: str) -> ResourceDescription:
    """Return the description of the resource with this URN; the readiness of a container is shown as the container."""
    return ResourceDescription(urn.rpartition("::")[2].removesuffix(READY), _HIDDEN, _OF_RUNNING)


def resources_of(instance: str) -> tuple[str, ...]:
    """Return the names of what an instance is made of without its data: container, rendered files, readiness."""
    return (instance, f"{instance}-config", f"{instance}{READY}")
