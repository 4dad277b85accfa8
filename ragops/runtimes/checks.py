"""Checks of `ragops doctor` that pass unless something raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.config.paths import DEFAULT_ENVIRONMENT
from ragops.errors import MissingError, RagopsError
from ragops.services.contract import Check, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.config.load import Project


def run_check(name: str, examine: Callable[[], str]) -> Check:
    """Return a check with the text that `examine` returns; down, with message and hint, if it raises RagopsError."""
    try:
        return Check(name, Status.OK, examine())
    except RagopsError as error:
        return Check(name, Status.DOWN, error.message, error.hint)


def port_taken(service: str, port: int, owner: str, config: str = "ragops.yaml") -> MissingError:
    """Return the error for a port that `owner` listens on; `config` is the name of the file that sets another one."""
    what = f"cannot start {service}: port {port} is taken by {owner}"
    return MissingError("port_taken", what, f"stop it, or give {service} another port in {config}")


def config_name(project: Project) -> str:
    """Return the name of the file that changes the settings of the project's environment alone."""
    path, environment = project.config, project.paths.environment
    return path.name if environment == DEFAULT_ENVIRONMENT else f"{path.stem}.{environment}{path.suffix}"
