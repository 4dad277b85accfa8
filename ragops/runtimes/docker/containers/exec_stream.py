"""Programs in containers with threads of this process at their standard streams: no process stands between."""

from __future__ import annotations

import contextlib
import threading
import time
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING

from ragops.adapters import cancellation, subprocess_tool
from ragops.adapters.background import BackgroundTask
from ragops.adapters.docker.stream import BlockingReader, OpenStdin, RingBuffer
from ragops.adapters.files import create_private, explain_os_error
from ragops.errors import RagopsError
from ragops.runtimes.docker.containers.exec_proxy import LIMIT, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ragops.adapters.docker.client import DockerHost
    from ragops.adapters.docker.values import ExecResult
    from ragops.adapters.streams import ByteReader, ByteWriter

_POLL = 0.05
_GRACE = 10.0
_AHEAD = 2  # blocks that wait for the program
_KEPT = 64 << 10  # of what it prints
_KILLED = 137  # SIGKILL, as a shell and Docker say it


class StdinProcess:
    """A program that runs in a container and takes its input as it comes."""

    def __init__(self, host: DockerHost, container: str, command: Sequence[str], limit: float) -> None:
        self._name, self._limit = command[0], limit
        self._input, self._printed = _Blocks(), RingBuffer(_KEPT)
        self._has_all = threading.Event()
        self._talk = _begun(host, container, command, self._input, self._printed)

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
        return self._printed.data.decode(errors="replace")

    def end(self) -> None:
        """End its input, and wait a little for its end."""
        self._input.close()
        self._talk.wait(_GRACE)


@contextlib.contextmanager
def start_with_stdin(host: DockerHost, container: str, command: Sequence[str], limit: float) -> Iterator[StdinProcess]:
    """Run a program that is fed inside the block; its input ends with the block."""
    program = StdinProcess(host, container, command, limit)
    try:
        yield program
    finally:
        program.end()


@contextlib.contextmanager
def run_to_file(
    host: DockerHost, container: str, command: Sequence[str], target: Path, limit: float
) -> Iterator[Callable[[], None]]:
    """Run a program without input that prints into the new file `target`, and end it with the block.

    What is yielded waits for its end, `limit` seconds at most. Raises MissingError (disk_full), RagopsError.
    """
    source = OpenStdin()
    with contextlib.closing(_NewFile(target)) as file:
        talk = _begun(host, container, wrapped(list(command)), source, file)
        try:
            yield lambda: _wait(talk, command[0], limit)
        finally:
            source.close()
            talk.wait(_GRACE)


def _begun(
    host: DockerHost, container: str, command: Sequence[str], source: ByteReader, target: ByteWriter
) -> BackgroundTask[ExecResult]:
    return BackgroundTask(
        lambda: host.exec_stream(container, command, source=source, target=target, limit=LIMIT), "ragops-exec"
    )


def _wait(talk: BackgroundTask[ExecResult], name: str, limit: float) -> None:
    deadline = time.monotonic() + limit
    while not talk.wait(_POLL):
        cancellation.check()
        _refuse_after(deadline, name, limit)
    done = talk.result()
    if done.code == _KILLED:
        raise subprocess_tool.killed_error(name, done.code - 128)
    if done.code:
        raise RagopsError("tool_failed", f"{name} ended with {done.code}: {done.said}")


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


class _NewFile:
    """Ours alone, and without a buffer: others look at how it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._translate_errors():
            self._file = create_private(path, 0)

    def write(self, data: bytes, /) -> None:
        """Take all of it."""
        rest = memoryview(data)
        with self._translate_errors():
            while rest:
                rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        """Close it."""
        self._file.close()

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise explain_os_error(error, f"write {self._path}") from error
