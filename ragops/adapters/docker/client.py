"""The Docker engine of this machine: frozen values out, RagopsErrors out.

The only door to docker-py, which is imported when the engine is first asked. Every call may raise MissingError
(docker_missing: no engine, no right to use it, or one too old, exit code 7), RagopsError (docker_failed,
docker_timeout), and NotFoundError if what it names is not there.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ragops.adapters.docker import values
from ragops.adapters.docker.api import label_filters
from ragops.adapters.docker.archive import ArchiveEntry, User, find_user
from ragops.adapters.docker.containers import DockerContainers
from ragops.adapters.docker.errors import NotFoundError
from ragops.adapters.docker.images import DockerImages, PullProgress
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Mapping


__all__ = ["ArchiveEntry", "DockerHost", "NotFoundError", "PullProgress", "User", "find_user"]


class DockerHost(DockerContainers, DockerImages):
    """One Docker engine: the one at `url`, else that of the docker command; `timeout` s a request."""

    def engine(self) -> values.Engine:
        """Return the engine's description of itself and its machine."""
        with self.translate_errors("inspect the Docker engine"):
            return values.engine(self.api.version(), self.api.info())

    # --- volumes and networks

    def volumes(self, labels: Mapping[str, str]) -> tuple[values.Volume, ...]:
        """Return all volumes with these labels, by name."""
        with self.translate_errors("list the volumes"):
            listed = self.api.volumes(filters={"label": label_filters(labels)})["Volumes"] or []
        return tuple(sorted((values.volume(raw) for raw in listed), key=lambda one: one.name))

    def volume(self, name: str) -> values.Volume | None:
        """Return one volume by name, None if there is none."""
        with suppress(NotFoundError), self.translate_errors(f"inspect the volume {name}"):
            return values.volume(self.api.inspect_volume(name))
        return None

    def create_volume(self, name: str, labels: Mapping[str, str]) -> values.Volume:
        """Return the volume `name`, created if there is none; one that exists keeps its own labels."""
        with self.translate_errors(f"create the volume {name}"):
            return values.volume(self.api.create_volume(name, labels=dict(labels)))

    def remove_volume(self, name: str) -> None:
        """Remove a volume with all that is in it; nothing to do without it.

        Raises RagopsError (volume_in_use) while a container, even a stopped one, has it.
        """
        try:
            with self.translate_errors(f"remove the volume {name}"):
                self.api.remove_volume(name)
        except NotFoundError:
            return
        except RagopsError as error:
            if error.code != "docker_conflict":
                raise
            hint = f"see which with `docker ps -a --filter volume={name}`"
            raise RagopsError("volume_in_use", f"cannot remove the volume {name}: a container uses it", hint) from error

    def networks(self, labels: Mapping[str, str]) -> tuple[values.Network, ...]:
        """Return all networks with these labels, by name."""
        with self.translate_errors("list the networks"):
            listed = self.api.networks(filters={"label": label_filters(labels)})
        return tuple(sorted((values.network(raw) for raw in listed), key=lambda one: one.name))

    def remove_network(self, name: str) -> None:
        """Remove a network; nothing to do without it. Raises RagopsError while containers are in it."""
        with suppress(NotFoundError), self.translate_errors(f"remove the network {name}"):
            self.api.remove_network(name)
