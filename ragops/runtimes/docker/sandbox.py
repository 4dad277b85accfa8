"""A throw-away container with the programs of a service's image: no network, no data but what is put into it."""

from __future__ import annotations

import contextlib
import secrets
import socket
import tempfile
import threading
import time
from contextlib import contextmanager
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any

from ragops.adapters import cancellation, subprocess_tool
from ragops.adapters.background import BackgroundTask
from ragops.adapters.docker.client import ArchiveEntry
from ragops.adapters.docker.errors import NotFoundError
from ragops.adapters.docker.stream import BlockingReader
from ragops.adapters.files import create_private, explain_os_error
from ragops.adapters.process_identity import format_mark, is_mark_gone
from ragops.errors import MissingError, RagopsError
from ragops.runtimes.docker.containers import exec_proxy as docker_exec
from ragops.runtimes.docker.containers.data_volume import data_mount
from ragops.runtimes.docker.containers.exec_proxy import LIMIT
from ragops.runtimes.docker.names import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ragops.adapters.docker.client import DockerHost
    from ragops.adapters.docker.values import Container, ExecResult

_POLL = 0.05
_GRACE = 10.0
_AHEAD = 2  # blocks that wait for the program
_KILLED = 137  # SIGKILL, as a shell and Docker report it


class StdinProcess:
    """A program that runs in a container and takes its input as it comes."""

    def __init__(self, host: DockerHost, container: str, command: Sequence[str], limit: float) -> None:
        self._name, self._limit = command[0], limit
        self._input, self._printed = _Blocks(), tempfile.TemporaryFile()  # noqa: SIM115  closed by `end`
        self._has_all = threading.Event()
        self._talk: BackgroundTask[ExecResult] = BackgroundTask(
            lambda: host.exec_stream(container, command, source=self._input, target=self._printed, limit=LIMIT),
            "ragops-exec",
        )

    def write(self, block: bytes) -> None:
        """Give it some of its input, `b""` at the end. Raises RagopsError (tool_timeout)."""
        deadline = time.monotonic() + self._limit
        while not self._talk.is_done:  # one that has ended misses nothing
            with contextlib.suppress(Full):
                self._input.queue.put(block, timeout=_POLL)
                break
            cancellation.check()
            _refuse_after(deadline, self._name, self._limit)
        if not block:
            self._has_all.set()

    def output(self) -> str:
        """Return what it printed, once it has ended. Raises RagopsError (tool_failed, tool_timeout)."""
        while not self._has_all.wait(_POLL) and not self._talk.is_done:  # its limit is for what it does then
            cancellation.check()
        _wait(self._talk, self._name, self._limit)
        self._printed.seek(0)
        return self._printed.read().decode(errors="replace")

    def end(self) -> None:
        """End its input, and wait a little for its end."""
        self._input.close()
        self._talk.wait(_GRACE)
        self._printed.close()


@contextlib.contextmanager
def start_with_stdin(host: DockerHost, container: str, command: Sequence[str], limit: float) -> Iterator[StdinProcess]:
    """Run a program that is fed inside the block; its input ends with the block."""
    program = StdinProcess(host, container, command, limit)
    try:
        yield program
    finally:
        program.end()


def _wait(talk: BackgroundTask[ExecResult], name: str, limit: float) -> None:
    deadline = time.monotonic() + limit
    while not talk.wait(_POLL):
        cancellation.check()
        _refuse_after(deadline, name, limit)
    done = talk.result()
    if done.code == _KILLED:
        raise subprocess_tool.killed_error(name, done.code - 128)
    if done.code:
        raise RagopsError("tool_failed", f"{name} ended with {done.code}: {done.error_text}")


def _refuse_after(deadline: float, name: str, limit: float) -> None:
    if time.monotonic() > deadline:
        raise subprocess_tool.timeout_error(name, limit)


class _Blocks(BlockingReader):
    """What a program is to read next, put in by another thread."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: Queue[bytes] = Queue(_AHEAD)
        self._rest = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """Return some of it; nothing at the end."""
        while not self._rest and not self.over.is_set():
            with contextlib.suppress(Empty):
                self._rest = memoryview(self.queue.get(timeout=_POLL))
                if not self._rest:
                    self.close()
        block, self._rest = self._rest[:size], self._rest[size:]
        return bytes(block)


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

    def start_with_stdin(self, command: Sequence[str], limit: float) -> AbstractContextManager[StdinProcess]:
        """Run the image's program and feed it from a thread of ours."""
        return start_with_stdin(self._host, self._name, command, limit)

    def output(self, command: Sequence[str], limit: float) -> str:
        """Return what the image's program prints; without a process of ours between, for frequent calls."""
        done = self._host.exec(self._name, command, limit=limit)
        if done.code:
            raise RagopsError("tool_failed", f"{command[0]} ended with {done.code}: {done.error_text}")
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
