"""Which `RuntimeHost` an environment is on: the one list of runtimes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ragops.config.load import Project
    from ragops.runtimes.contract import RuntimeHost


def _embedded(project: Project) -> RuntimeHost:
    from ragops.runtimes.embedded.host import EmbeddedRuntimeHost

    return EmbeddedRuntimeHost(project)


def _docker(project: Project) -> RuntimeHost:
    from ragops.runtimes.docker.host import DockerRuntimeHost

    return DockerRuntimeHost(project)


_RUNTIMES: Mapping[str, Callable[[Project], RuntimeHost]] = {"embedded": _embedded, "docker": _docker}


def host_of(project: Project) -> RuntimeHost:
    """Return the host of the runtime that ragops.yaml names."""
    return _RUNTIMES[project.settings.runtime](project)
