"""Programs in containers with threads of this process at their standard streams: no process stands between."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING

from ragops.adapters import cancellation, subprocess_tool
from ragops.adapters.background import BackgroundTask
from ragops.adapters.docker.stream import BlockingReader
from ragops.errors import RagopsError
from ragops.runtimes.docker.containers.exec_proxy import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ragops.adapters.docker.client import DockerHost
    from ragops.adapters.docker.values import ExecResult

_POLL = 0.05
_GRACE = 10.0
_AHEAD = 2  # blocks that wait for the program
_KILLED = 137  # SIGKILL, as a shell and Docker say it


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
