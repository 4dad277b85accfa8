"""The error for a port of this machine that a service needs and another program has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.config.paths import DEFAULT_ENVIRONMENT
from ragops.errors import MissingError

if TYPE_CHECKING:
    from ragops.config.load import Project


def port_taken(service: str, port: int, owner: str, config: str = "ragops.yaml") -> MissingError:
    """Return the error for a port that `owner` listens on; `config` is the name of the file that sets another one."""
    what = f"cannot start {service}: port {port} is taken by {owner}"
    return MissingError("port_taken", what, f"stop it, or give {service} another port in {config}")


def config_name(project: Project) -> str:
    """Return the name of the file that changes the settings of the project's environment alone."""
    path, environment = project.config, project.paths.environment
    return path.name if environment == DEFAULT_ENVIRONMENT else f"{path.stem}.{environment}{path.suffix}"
