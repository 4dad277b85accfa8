"""Which `Machine` an environment is on: the one list of runtimes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ragops.config.load import Project
    from ragops.runtimes.contract import Machine


def _embedded(project: Project) -> Machine:
    from ragops.runtimes.embedded.host import EmbeddedMachine

    return EmbeddedMachine(project)


def _docker(project: Project) -> Machine:
    from ragops.runtimes.docker.host import DockerMachine

    return DockerMachine(project)


_MACHINES: Mapping[str, Callable[[Project], Machine]] = {"embedded": _embedded, "docker": _docker}


def machine_of(project: Project) -> Machine:
    """The machine of the runtime that ragops.yaml names."""
    return _MACHINES[project.settings.runtime](project)
