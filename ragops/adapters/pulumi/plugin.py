"""The Pulumi engine's plugin for Docker: finding it, and letting the engine fetch it."""

from __future__ import annotations

import os
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters import subprocess_tool
from ragops.adapters.pulumi.pins import PLUGIN_SHA256
from ragops.errors import MissingError, RagopsError

if TYPE_CHECKING:
    from ragops.adapters.pulumi.install import Engine

_BINARY = "pulumi-resource-docker"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_SECONDS = 900.0  # a download of 30 MB over a slow line


def version() -> str:
    """Return the one version that fits: that of the library with its resource types."""
    return metadata.version("pulumi-docker")


def find() -> Path | None:
    """Return the plugin's program, None if it is not installed; the engine prefers one on PATH."""
    if on_path := shutil.which(_BINARY):
        return Path(on_path)
    program = _folder() / _BINARY
    return program if os.access(program, os.X_OK) else None


def require() -> Path:
    """Return the program as `find`. Raises MissingError (plugin_missing) with a hint."""
    found = find()
    if found is None:
        raise MissingError("plugin_missing", f"the Pulumi plugin for Docker {version()} is not installed", hint())
    return found


def install(engine: Engine) -> None:
    """Have the engine download it. Raises MissingError (plugin_missing) if it cannot."""
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        subprocess_tool.run_tool(install_arguments(engine.path), environment, _SECONDS)
    except RagopsError as error:
        what = f"cannot download the Pulumi plugin for Docker {version()}: {_last_line(error.message)}"
        raise MissingError("plugin_missing", what, hint()) from error
    require()


def install_arguments(engine: Path) -> tuple[str, ...]:
    """Return the arguments that download it."""
    pinned = PLUGIN_SHA256.get(_platform_name(), "")
    checksum = ("--checksum", pinned) if pinned else ()
    return (str(engine), "plugin", "install", "resource", "docker", f"v{version()}", *checksum)


def _platform_name() -> str:
    """Return the platform in the names of the plugin's archives, such as linux-amd64."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}-{_MACHINES.get(machine, machine)}"


def hint() -> str:
    """Return the hint for its installation, with a network and without."""
    install_it = f"$(ragops engine path) plugin install resource docker v{version()}"
    return (
        f"`ragops up` downloads it if the network allows; else download it on another machine and run {install_it} "
        f"--file FILE.tar.gz, or put the program at {_folder() / _BINARY}"
    )


def _folder() -> Path:
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    return home / "plugins" / f"resource-docker-v{version()}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
