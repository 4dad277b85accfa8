"""Commands and files inside containers."""

from __future__ import annotations

import io
import shutil
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ragops.adapters.docker.api import DockerApi
from ragops.adapters.docker.archive import find_user, pack_tar
from ragops.adapters.docker.errors import NotFoundError, timeout_error
from ragops.adapters.docker.stream import ExecStream, RingBuffer
from ragops.adapters.docker.values import ExecResult
from ragops.adapters.wait import wait_until
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ragops.adapters.docker.archive import ArchiveEntry, User
    from ragops.adapters.streams import ByteReader, ByteWriter

LIMIT = 60.0
OUTPUT_LIMIT = 4 << 20  # of the output of a command whose output is kept in memory
STDERR_LIMIT = 64 << 10
_END_WAIT = 10.0


class DockerExec(DockerApi):
    """The part of `DockerHost` about what is inside a container."""

    def exec(self, name: str, argv: Sequence[str], *, input: bytes | None = None, limit: float = LIMIT) -> ExecResult:
        """Run a command in the running container, at most `limit` seconds; a code other than 0 is no error here.

        Keeps the last 4 MiB of output. Raises RagopsError (docker_timeout): what was started may then still run.
        """
        out = RingBuffer(OUTPUT_LIMIT)
        source = None if input is None else io.BytesIO(input)
        done = self.exec_stream(name, argv, source=source, target=out, limit=limit)
        return ExecResult(done.code, bytes(out.data), done.stderr)

    def exec_stream(
        self, name: str, argv: Sequence[str], *, source: ByteReader | None = None, target: ByteWriter | None = None,
        limit: float = LIMIT,
    ) -> ExecResult:  # fmt: skip
        """Like `exec` with any amount of input and output: from `source`, to `target`, in bounded memory.

        The result has the last 64 KiB of stderr and no stdout.
        """
        doing = f"run {argv[0]} in {name}"
        stderr = RingBuffer(STDERR_LIMIT)
        with self.translate_errors(doing):
            started = self.api.exec_create(name, list(argv), stdin=source is not None)
            conversation = ExecStream(self.api.exec_start(started["Id"], socket=True))
            run_exchange(conversation, doing, source, target or RingBuffer(0), stderr, limit)
            return ExecResult(self._code(started["Id"], doing), b"", bytes(stderr.data))

    def _code(self, exec_id: str, doing: str) -> int:
        """Return the exit code, which the engine may record a moment after the output ended."""

        def ended() -> tuple[int, ...]:
            state: Mapping[str, Any] = self.api.exec_inspect(exec_id)
            return () if state["Running"] or state["ExitCode"] is None else (int(state["ExitCode"]),)

        for code in wait_until(ended, _END_WAIT, 0.02):
            return code
        raise timeout_error(doing, _END_WAIT)

    def put_archive(self, name: str, path: str, entries: Iterable[ArchiveEntry]) -> None:
        """Write folders and files below the folder `path` of a container, started or not, through volumes too.

        Raises RagopsError (file_error, not_permitted) if a file of this machine cannot be read.
        """
        with self.translate_errors(f"write to {path} in {name}"):
            self.api.put_archive(name, path, pack_tar(entries))

    @contextmanager
    def get_archive(self, name: str, path: str) -> Iterator[tarfile.TarFile]:
        """Open a file or folder of a container as an archive, read front to back; paths begin with its last name.

        Raises NotFoundError.
        """
        with self.translate_errors(f"read {path} in {name}"):
            answer = self.get_stream(f"containers/{name}/archive", path=path)
            try:
                with answer, tarfile.open(fileobj=answer.raw, mode="r|", bufsize=1 << 20) as archive:
                    yield archive
            except tarfile.TarError as error:
                raise RagopsError("docker_failed", f"cannot read {path} in {name}: {error}") from error

    def get_file(self, name: str, path: str, target: ByteWriter) -> None:
        """Copy one file of a container to `target`, in bounded memory. Raises NotFoundError."""
        with self.get_archive(name, path) as archive:
            for info in archive:
                if (stream := archive.extractfile(info)) is not None:
                    shutil.copyfileobj(stream, target, 1 << 20)
                    return
        raise NotFoundError("docker_not_found", f"cannot read {path} in {name}: it is not a file", "")

    def read_file(self, name: str, path: str) -> bytes | None:
        """Return the content of one file of a container, None if there is none."""
        content = io.BytesIO()
        try:
            self.get_file(name, path, content)
        except NotFoundError:
            return None
        return content.getvalue()

    def user(self, name: str, user: str) -> User:
        """Return the ids of `user` (name or uid, with or without group) by the passwd file of a container.

        Raises RagopsError (user_unknown).
        """
        found = find_user((self.read_file(name, "/etc/passwd") or b"").decode(errors="replace"), user)
        if found is None:
            what = f"cannot write files for {user}: the image of {name} has no such user"
            raise RagopsError("user_unknown", what, "give the service the image that it was made for")
        return found


def run_exchange(
    conversation: ExecStream, doing: str, source: ByteReader | None, out: ByteWriter, stderr: ByteWriter, limit: float
) -> None:
    """Hold the conversation, a wait that is too long as RagopsError (docker_timeout)."""
    try:
        conversation.exchange(source, out, stderr, limit)
    except TimeoutError as error:
        raise timeout_error(doing, limit) from error
