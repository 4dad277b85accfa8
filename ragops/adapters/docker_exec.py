"""Commands and files inside containers."""

from __future__ import annotations

import io
import shutil
import tarfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ragops.adapters.docker_api import DockerApi
from ragops.adapters.docker_archive import packed, unpacked
from ragops.adapters.docker_errors import NotFoundError, timed_out
from ragops.adapters.docker_stream import Conversation, Tail
from ragops.adapters.docker_values import ExecResult
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ragops.adapters.docker_archive import Entry
    from ragops.adapters.docker_stream import Sink, Source

_LIMIT = 60.0
_KEPT = 4 << 20  # of the output of a command whose output is kept in memory
_SAID = 64 << 10
_END_WAIT = 10.0


class DockerExec(DockerApi):
    """The part of `DockerHost` about what is inside a container."""

    def exec(
        self, name: str, argv: Sequence[str], *, input: bytes | None = None, user: str = "",
        env: Mapping[str, str] | None = None, limit: float = _LIMIT,
    ) -> ExecResult:  # fmt: skip
        """Run a command in the running container, at most `limit` seconds; a code other than 0 is no error here.

        Keeps the last 4 MiB of output. Raises RagopsError (docker_timeout): what was started may then still run.
        """
        out = Tail(_KEPT)
        source = None if input is None else io.BytesIO(input)
        done = self.exec_stream(name, argv, source=source, target=out, user=user, env=env, limit=limit)
        return ExecResult(done.code, bytes(out.data), done.stderr)

    def exec_stream(
        self, name: str, argv: Sequence[str], *, source: Source | None = None, target: Sink | None = None,
        user: str = "", env: Mapping[str, str] | None = None, limit: float = _LIMIT,
    ) -> ExecResult:  # fmt: skip
        """Like `exec` with any amount of input and output: from `source`, to `target`, in bounded memory.

        The result has the last 64 KiB of stderr and no stdout.
        """
        doing = f"run {argv[0]} in {name}"
        said = Tail(_SAID)
        with self.translating(doing):
            started = self.api.exec_create(
                name, list(argv), stdin=source is not None, user=user, environment=dict(env or {}),
            )  # fmt: skip
            conversation = Conversation(self.api.exec_start(started["Id"], socket=True))
            _hold(conversation, doing, source, target or Tail(0), said, limit)
            return ExecResult(self._code(started["Id"], doing), b"", bytes(said.data))

    def _code(self, exec_id: str, doing: str) -> int:
        """The exit code, which the engine may learn a moment after the output ended."""
        deadline = time.monotonic() + _END_WAIT
        while True:
            state: Mapping[str, Any] = self.api.exec_inspect(exec_id)
            if not state["Running"] and state["ExitCode"] is not None:
                return int(state["ExitCode"])
            if time.monotonic() > deadline:
                raise timed_out(doing, _END_WAIT)
            time.sleep(0.02)

    def put_archive(self, name: str, path: str, entries: Iterable[Entry]) -> None:
        """Write folders and files below the folder `path` of a container, started or not. Raises OSError.

        Through volumes too. In a container that is not running nobody sees half of it.
        """
        with packed(entries) as stream, self.translating(f"write to {path} in {name}"):
            self.api.put_archive(name, path, stream)  # type: ignore[arg-type]

    @contextmanager
    def get_archive(self, name: str, path: str) -> Iterator[tarfile.TarFile]:
        """A file or folder of a container as an archive that is read front to back; paths begin with its last name.

        Raises NotFoundError.
        """
        with self.translating(f"read {path} in {name}"):
            chunks, _ = self.api.get_archive(name, path, chunk_size=1 << 20)
            try:
                with unpacked(chunks) as archive:
                    yield archive
            except tarfile.TarError as error:
                raise RagopsError("docker_failed", f"{path} of {name} arrived broken: {error}") from error

    def get_file(self, name: str, path: str, target: Sink) -> None:
        """Copy one file of a container to `target`, in bounded memory. Raises NotFoundError."""
        with self.get_archive(name, path) as archive:
            for info in archive:
                if (stream := archive.extractfile(info)) is not None:
                    shutil.copyfileobj(stream, target, 1 << 20)  # type: ignore[misc]
                    return
        raise NotFoundError("docker_not_found", f"{path} in {name} is not a file", "")

    def run_once(
        self, name: str, image: str, argv: Sequence[str], *, mounts: Mapping[str, str] | None = None,
        user: str = "0:0", capabilities: Sequence[str] = (), input: bytes | None = None,
        env: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None, limit: float = _LIMIT,
    ) -> ExecResult:  # fmt: skip
        """Run `argv` in a short-lived container without a network; `mounts` are folders inside by volume.

        What a killed run left under the same `name` is awaited and removed first: never two at once. The image's
        entrypoint is not run. Raises RagopsError (docker_timeout).
        """
        doing, out, said = f"run {argv[0]} in {name}", Tail(_KEPT), Tail(_SAID)
        with self.created(
            name, image, argv=argv, mounts=mounts, user=user, capabilities=capabilities, stdin=input is not None,
            env=env, labels=labels,
        ), self.translating(doing):  # fmt: skip
            params = {"stdin": int(input is not None), "stdout": 1, "stderr": 1, "stream": 1}
            conversation = Conversation(self.api.attach_socket(name, params=params))
            try:
                self.api.start(name)
            except BaseException:
                conversation.close()
                raise
            source = None if input is None else io.BytesIO(input)
            _hold(conversation, doing, source, out, said, limit)
            code = int(self.api.wait(name, timeout=int(_END_WAIT))["StatusCode"])
        return ExecResult(code, bytes(out.data), bytes(said.data))

    @contextmanager
    def created(
        self, name: str, image: str, *, argv: Sequence[str] = ("none",), mounts: Mapping[str, str] | None = None,
        user: str = "0:0", capabilities: Sequence[str] = (), stdin: bool = False,
        env: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None,
    ) -> Iterator[None]:  # fmt: skip
        """A container without a network that is not started, gone at the block's end: a hold on files in volumes."""
        self._clear(name)
        host = {
            "NetworkMode": "none",
            "Binds": [f"{volume}:{target}" for volume, target in (mounts or {}).items()],
            "CapDrop": ["ALL"],
            "CapAdd": list(capabilities),
            "SecurityOpt": ["no-new-privileges"],
        }
        config = {
            "Image": image,
            "Entrypoint": list(argv),
            "Cmd": [],
            "User": user,
            "Env": [f"{key}={value}" for key, value in (env or {}).items()],
            "Labels": dict(labels or {}),
            "OpenStdin": stdin,
            "StdinOnce": stdin,
            "AttachStdin": stdin,
            "AttachStdout": True,
            "AttachStderr": True,
            "HostConfig": host,
        }
        with self.translating(f"create {name}"):
            self.api.create_container_from_config(config, name)
        try:
            yield
        finally:
            with self.translating(f"remove {name}"):
                self.api.remove_container(name, force=True, v=True)

    def _clear(self, name: str) -> None:
        try:
            with self.translating(f"remove {name}"):
                self.api.wait(name, timeout=int(_LIMIT)) if self._runs(name) else None
                self.api.remove_container(name, force=True, v=True)
        except NotFoundError:
            pass

    def _runs(self, name: str) -> bool:
        return bool(self.api.inspect_container(name)["State"]["Running"])


def _hold(conversation: Conversation, doing: str, source: Source | None, out: Sink, said: Sink, limit: float) -> None:
    try:
        conversation.hold(source, out, said, limit)
    except TimeoutError as error:
        raise timed_out(doing, limit) from error
