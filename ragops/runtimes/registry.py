"""The one list of runtimes."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ragops.errors import UsageError
from ragops.runtimes.docker.facts import FACTS as DOCKER
from ragops.runtimes.embedded.facts import FACTS as EMBEDDED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ragops.config.load import Project
    from ragops.runtimes.contract import RuntimeHost, RuntimeImages
    from ragops.runtimes.facts import RuntimeFacts
    from ragops.services.contract import Check

DEFAULT = EMBEDDED.name


@dataclass(frozen=True)
class RegisteredRuntime:
    """A runtime: its facts, and what imports the rest of it when it is called.

    `open_host` returns the host of a project. `open_images` returns its images, those that need no project if that is
    None; None if the runtime has none. `check_machine` returns doctor's checks of a machine on which there is no
    project yet, in a folder.
    """

    facts: RuntimeFacts
    open_host: Callable[[Project], RuntimeHost]
    open_images: Callable[[Project | None], RuntimeImages] | None = None
    check_machine: Callable[[Path], tuple[Check, ...]] = lambda _folder: ()


def _call(target: str, *given: Any) -> Any:
    """Import `module:object`, below this package, and call it: only the runtime that is used is imported."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module, __package__), name)(*given)


_RUNTIMES = {
    EMBEDDED.name: RegisteredRuntime(
        EMBEDDED,
        partial(_call, ".embedded.host:EmbeddedRuntimeHost"),
        check_machine=partial(_call, ".embedded.host:check_machine"),
    ),
    DOCKER.name: RegisteredRuntime(
        DOCKER, partial(_call, ".docker.host:DockerRuntimeHost"), partial(_call, ".docker.images.store:ImageStore")
    ),
}


def names() -> tuple[str, ...]:
    """Return the names that `runtime:` may have in ragops.yaml."""
    return tuple(_RUNTIMES)


def find(name: str) -> RegisteredRuntime:
    """Return the runtime of that name. Raises UsageError (unknown_runtime)."""
    if name not in _RUNTIMES:
        raise UsageError("unknown_runtime", f"there is no runtime {name!r}", f"one of: {', '.join(names())}")
    return _RUNTIMES[name]


def facts(name: str) -> RuntimeFacts:
    """Return the facts about the runtime of that name. Raises UsageError (unknown_runtime)."""
    return find(name).facts


def host_of(project: Project) -> RuntimeHost:
    """Return the host of the runtime that ragops.yaml names."""
    return find(project.settings.runtime).open_host(project)


def images_of(project: Project | None) -> RuntimeImages | None:
    """Return the images of the project's runtime, without a project those of the first runtime that has any.

    None if the runtime has none.
    """
    found = [find(project.settings.runtime)] if project else _RUNTIMES.values()
    return next((runtime.open_images(project) for runtime in found if runtime.open_images), None)
