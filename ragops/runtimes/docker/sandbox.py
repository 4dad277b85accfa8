"""A throw-away container with the programs of a service's image: no network, no data but what is put into it."""

from __future__ import annotations

import secrets
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ragops.adapters.docker.client import ArchiveEntry
from ragops.adapters.docker.errors import NotFoundError
from ragops.adapters.files import create_private, explain_os_error
from ragops.adapters.process_identity import format_mark, is_mark_gone
from ragops.errors import MissingError, RagopsError
from ragops.runtimes.docker.containers import exec_proxy as docker_exec
from ragops.runtimes.docker.containers import exec_stream
from ragops.runtimes.docker.containers.data_volume import data_mount
from ragops.runtimes.docker.names import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ragops.adapters.docker.client import DockerHost
    from ragops.adapters.docker.values import Container

SANDBOX = f"{PREFIX}bench"  # the label keeps its first name: an earlier release may have left one
OWNER = f"{PREFIX}owner"  # the process that it is for, as HOST:MARK
_LIFE = 24 * 3600  # seconds; then it ends by itself, if the run that made it was killed
_FOLDER = "sandbox"
_LIST_LIMIT = 60.0


class DockerSandbox:
    """The `Sandbox` protocol on the container `name`."""

    def __init__(self, host: DockerHost, name: str, mount: str, user: str) -> None:
        self.folder = f"{mount}/{_FOLDER}"
        self.local: Path | None = None
        self._host = host
        self._name = name
        self._user = host.user(name, user)
        host.put_archive(name, mount, [ArchiveEntry(_FOLDER, 0o700, self._user.uid, self._user.gid)])

    def tool(self, name: str) -> tuple[str, ...]:
        """Return the command line of the image's program, through a process of ours that stands for it."""
        return docker_exec.arguments(self._name, name)

    def start_with_stdin(
        self, command: Sequence[str], limit: float
    ) -> AbstractContextManager[exec_stream.StdinProcess]:
        """Run the image's program and feed it from a thread of ours."""
        return exec_stream.start_with_stdin(self._host, self._name, command, limit)

    def output(self, command: Sequence[str], limit: float) -> str:
        """Return what the image's program prints; without a process of ours between, for frequent calls."""
        done = self._host.exec(self._name, command, limit=limit)
        if done.code:
            raise RagopsError("tool_failed", f"{command[0]} ended with {done.code}: {done.said}")
        return done.text

    def put(self, source: Path, name: str, *, changing: bool = False) -> None:
        """Copy a file in, for the programs to read, and to write where `changing`."""
        ids = (self._user.uid, self._user.gid)
        above = [ArchiveEntry(folder, 0o700, *ids) for folder in (name.rpartition("/")[0],) if folder and changing]
        file = ArchiveEntry(name, 0o600 if changing else 0o400, *ids, source)
        self._host.put_archive(self._name, self.folder, [*above, file])

    def get(self, name: str, target: Path) -> None:
        """Copy a file out."""
        try:
            with create_private(target) as copy:
                self._host.get_file(self._name, f"{self.folder}/{name}", copy)
        except OSError as error:
            raise explain_os_error(error, f"copy {name} to {target}") from error

    def names(self, folder: str) -> tuple[str, ...]:
        """Return names of the files in a folder below."""
        return tuple(sorted(self.output(["ls", f"{self.folder}/{folder}"], _LIST_LIMIT).split()))


@contextmanager
def docker_sandbox(host: DockerHost, container: str) -> Iterator[DockerSandbox]:
    """Make a sandbox like `container`, running or not, until the block ends. Raises MissingError (not_provisioned)."""
    service = host.container(container)
    if service is None:
        raise MissingError("not_provisioned", f"there is no container {container}", "run `ragops up`")
    mount = data_mount(service).target
    _clear_leftovers(host, container)
    name = f"{container}-sandbox-{secrets.token_hex(4)}"
    host.create(name, _config(service, mount))
    try:
        host.start(name)
        yield DockerSandbox(host, name, mount, service.user)
    finally:
        host.remove(name, force=True)


def _config(service: Container, mount: str) -> dict[str, Any]:
    return {
        "Image": service.image_id,
        "Entrypoint": ["sleep"],
        "Cmd": [str(_LIFE)],
        "User": service.user,
        "Labels": {SANDBOX: service.name, OWNER: f"{socket.gethostname()}:{format_mark()}"},
        "Healthcheck": {"Test": ["NONE"]},
        "Volumes": {mount: {}},
        "HostConfig": {
            "NetworkMode": "none",
            "AutoRemove": True,
            "ReadonlyRootfs": True,
            "Tmpfs": {"/tmp": ""},  # noqa: S108  inside the container
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "LogConfig": {"Type": "none"},
        },
    }


def _clear_leftovers(host: DockerHost, container: str) -> None:
    """Remove the sandboxes of runs on this machine that were killed: they hold copies of data."""
    for sandbox in host.containers({SANDBOX: container}):
        machine, _, owner = sandbox.labels.get(OWNER, "").rpartition(":")
        made = sandbox.created.timestamp() if sandbox.created else None
        if machine == socket.gethostname() and is_mark_gone(owner, made):
            try:
                host.remove(sandbox.name, force=True)
            except NotFoundError:
                continue
