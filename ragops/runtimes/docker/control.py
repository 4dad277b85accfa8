"""What day-2 operations may do to a service in a container: the `Control` protocol on Docker."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ragops.adapters.docker.client import DockerHost, NotFoundError
from ragops.adapters.files import create_private, explain_os_error
from ragops.errors import RagopsError
from ragops.runtimes.docker.containers import exec_proxy as docker_exec
from ragops.runtimes.docker.containers.data_volume import DataVolume, data_mount
from ragops.runtimes.docker.names import DATA_FOLDER, TEMPORARY
from ragops.runtimes.docker.sandbox import docker_sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ragops.adapters.docker.values import Container
    from ragops.services.control import DataFile, Sandbox
    from ragops.services.kept_data import Kept

_START_LIMIT = 300.0  # an engine may have to go through its logs first
_STOP_GRACE = 60.0  # where the container has none of its own


class DockerControl:
    """Control of the container `name`, whose data lie in the folder `current` of the one volume it may write."""

    def __init__(self, name: str, host: DockerHost | None = None) -> None:
        self._name = name
        self._host = host or DockerHost()

    def stop(self) -> None:
        """Stop it with its own signal and grace, and what `start` with more arguments made in its place."""
        self._remove_temporary()
        self._stop(self._name)

    def start(self, extra_args: Sequence[str] = ()) -> None:
        """Start it as it was provisioned and wait until it is healthy.

        With `extra_args` a copy of it is started in its place, which the next `start` or `stop` removes.
        """
        self._container()
        self._remove_temporary()
        if not extra_args:
            self._host.start(self._name)
            self._host.wait_healthy(self._name, _START_LIMIT)
            return
        self._stop(self._name)
        self._host.run_copy(self._name, self._temporary, extra_args, {TEMPORARY: "start"})
        self._host.wait_healthy(self._temporary, _START_LIMIT)

    def remove(self) -> None:
        """Stop the container and remove it; its volumes stay."""
        self.stop()
        self._host.remove(self._name, force=True)

    def is_running(self) -> bool:
        """Whether the container that was provisioned runs."""
        found = self._host.container(self._name)
        return found is not None and found.state.running

    def move_data_aside(self, label: str) -> str:
        """Rename the data folder, put an empty one in its place; returns VOLUME:FOLDER."""
        return self.swap_data({}, label)

    def swap_data(self, files: Mapping[str, Path], label: str) -> str:
        """Fill a folder next to the data with copies of `files`, then let it take their place."""
        return DataVolume(self._host, self._container()).replace(files, label)

    def rollback_data(self, aside: str) -> None:
        """Put the folder that was set aside in place again; what is there now keeps a name of its own."""
        DataVolume(self._host, self._container()).bring_back(aside)

    def list_kept(self) -> tuple[Kept, ...]:
        """List the folders next to the data, in the volume."""
        return DataVolume(self._host, self._container()).list_kept()

    def remove_aside(self, name: str) -> None:
        """Remove one of them for good."""
        DataVolume(self._host, self._container()).remove_aside(name)

    @property
    def local_data(self) -> Path | None:
        """Return None: a volume is the Docker engine's own."""
        return None

    def data_files(self) -> dict[str, DataFile]:
        """Return every file of the folder, as a short-lived container sees it."""
        return DataVolume(self._host, self._container()).files()

    def get_data_file(self, name: str, target: Path) -> None:
        """Copy the file `name` of the data folder."""
        source = f"{data_mount(self._container()).target}/{DATA_FOLDER}/{name}"
        try:
            with create_private(target) as copy:
                self._host.get_file(self._name, source, copy)
        except OSError as error:
            target.unlink(missing_ok=True)
            raise explain_os_error(error, f"copy {name} to {target}") from error
        except RagopsError:
            target.unlink(missing_ok=True)
            raise

    def free_bytes(self) -> int | None:
        """Return free space of the file system that holds the data, as the container sees it."""
        return DataVolume(self._host, self._container()).free_bytes()

    def tool(self, name: str) -> tuple[str, ...]:
        """Return the command line of the image's own tool, through a process of ours that stands for it."""
        return docker_exec.arguments(self._name, name)

    def sandbox(self) -> AbstractContextManager[Sandbox]:
        """Return a container of the same image away from this one."""
        return docker_sandbox(self._host, self._name)

    @property
    def _temporary(self) -> str:
        return f"{self._name}.temporary"

    def _container(self) -> Container:
        found = self._host.container(self._name)
        if found is None:
            raise RagopsError("not_provisioned", f"there is no container {self._name}", "run `ragops up`")
        return found

    def _remove_temporary(self) -> None:
        self._stop(self._temporary)
        self._host.remove(self._temporary, force=True)

    def _stop(self, name: str) -> None:
        found = self._host.container(name)
        if found is not None:
            with contextlib.suppress(NotFoundError):
                self._host.stop(name, found.stop_timeout or _STOP_GRACE)
