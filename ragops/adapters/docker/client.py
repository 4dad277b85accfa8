"""The Docker engine of this machine: frozen values out, RagopsErrors out.

The only door to docker-py, which is imported when the engine is first asked. Every call may raise MissingError
(docker_missing: no engine, no right to use it, or one too old, exit code 7), RagopsError (docker_failed,
docker_timeout), and NotFoundError if what it names is not there.
"""

from __future__ import annotations

from ragops.adapters.docker import values
from ragops.adapters.docker.archive import ArchiveEntry, User, find_user
from ragops.adapters.docker.containers import DockerContainers
from ragops.adapters.docker.errors import NotFoundError
from ragops.adapters.docker.images import DockerImages
from ragops.adapters.docker.pull import PullProgress
from ragops.adapters.docker.volumes import DockerVolumes

__all__ = ["ArchiveEntry", "DockerHost", "NotFoundError", "PullProgress", "User", "find_user"]


class DockerHost(DockerContainers, DockerImages, DockerVolumes):
    """One Docker engine: the one at `url`, else that of the docker command; `timeout` s a request."""

    def engine(self) -> values.Engine:
        """Return the engine's description of itself and its machine."""
        with self.translate_errors("inspect the Docker engine"):
            return values.engine(self.api.version(), self.api.info())
