"""What everything that ragops makes in Docker is called, and the labels by which it is found again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    """The labels of a short-lived container that works on what has `labels`: of its environment, of no service."""
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
        """The container of an instance."""
        return f"{self.network}-{instance}"

    def data_volume(self, instance: str) -> str:
        """The volume of its data."""
        return f"{self.container(instance)}-data"

    def config_volume(self, instance: str) -> str:
        """The volume of its rendered files; can be made anew at any time."""
        return f"{self.container(instance)}-config"

    def hot_volume(self, instance: str) -> str:
        """The volume of what it takes over without a restart; can be made anew at any time."""
        return f"{self.container(instance)}-hot"

    def labels(self, service: str = "", instance: str = "") -> dict[str, str]:
        """The labels of what belongs to the environment, to a service and to an instance of it."""
        found = {PLATFORM: self.platform, ENVIRONMENT: self.environment}
        found |= {SERVICE: service} if service else {}
        return found | ({INSTANCE: instance} if instance else {})
