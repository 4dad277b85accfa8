"""Tools as child processes of one run: with a time-out, ended with the run, their output quoted in errors."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, TYPE_CHECKING

from ragops.adapters import cancellation
from ragops.adapters.files import explain_os_error
from ragops.adapters.spawn import spawn
from ragops.errors import MissingError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_STOP_GRACE = 10.0
_POLL = 0.5
_QUOTED = 1500
_PIPE = 1 << 20  # the most that Linux gives without a privilege


def run_tool(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    limit: float,
    *,
    stdin: Path | None = None,
    name: str = "",
) -> None:
    """Run a tool to its end, at most `limit` seconds.

    It reads the file `stdin`; `name` is what errors call it. Raises MissingError (tool_missing, disk_full), RagopsError
    (tool_failed, tool_timeout) with its messages. Ended with SIGTERM if the run is interrupted.
    """
    with _reading(stdin) as source, _tool(arguments, environment, limit, name or _name(arguments), source, None):
        pass


def read_tool_output(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    limit: float,
    *,
    stdin: Path | None = None,
    name: str = "",
) -> str:
    """Return the output of a tool; raises as `run_tool` does."""
    with tempfile.TemporaryFile() as printed:
        with (
            _reading(stdin) as source,
            _tool(arguments, environment, limit, name or _name(arguments), source, printed),
        ):
            pass
        return _text(printed)


class ToolOutput:
    """The output of a running tool, as a stream that ends only if the tool ends well."""

    def __init__(self, process: subprocess.Popen[bytes], stderr: IO[bytes], limit: float, name: str) -> None:
        self._process = process
        self._stderr = stderr
        self._name = name
        self._limit = limit
        self._deadline = time.monotonic() + limit

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end; raises as `run_tool` does."""
        pipe = self._process.stdout
        if pipe is None:
            raise TypeError("a process with no pipe cannot be read")
        while not select.select((pipe,), (), (), _POLL)[0]:
            cancellation.check()
            if time.monotonic() > self._deadline:
                raise timeout_error(self._name, self._limit)
        if block := os.read(pipe.fileno(), size):
            return block
        _wait(self._process, max(_POLL, self._deadline - time.monotonic()), self._name)
        _check_exit(self._process, self._stderr, self._name)
        return b""


@contextlib.contextmanager
def streamed_tool(
    arguments: Sequence[str], environment: Mapping[str, str], limit: float, *, name: str = ""
) -> Iterator[ToolOutput]:
    """Start a tool without input and read its output; terminate it when the block ends.

    It may take `limit` seconds in all. Raises MissingError (tool_missing).
    """
    with tempfile.TemporaryFile() as stderr:
        process = _start(arguments, environment, None, subprocess.PIPE, stderr)
        try:
            if process.stdout is not None:
                _widen(process.stdout.fileno())
            yield ToolOutput(process, stderr, limit, name or _name(arguments))
        finally:
            _end(process)
            if process.stdout is not None:
                process.stdout.close()


class StdinProcess:
    """A running tool with a pipe to its stdin."""

    def __init__(
        self, process: subprocess.Popen[bytes], printed: IO[bytes], stderr: IO[bytes], limit: float, name: str
    ) -> None:
        self._process = process
        self._limit = limit
        self._printed = printed
        self._stderr = stderr
        self._name = name
        self._closed = threading.Event()

    def write(self, block: bytes) -> None:
        """Write a block of its input; `b""` ends the input. Blocks to a tool that has ended are dropped.

        Raises RagopsError (tool_timeout) if it does not take it within the limit.
        """
        pipe = self._process.stdin
        if pipe is None:
            raise TypeError("a process with no pipe cannot be fed")
        if block:
            self._give(pipe.fileno(), memoryview(block))
        else:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
            self._closed.set()

    def _give(self, pipe: int, block: memoryview) -> None:
        deadline = time.monotonic() + self._limit
        while block:
            _, ready, _ = select.select((), (pipe,), (), _POLL)
            if ready:
                try:
                    block = block[os.write(pipe, block) :]
                except BrokenPipeError:
                    return
            else:
                cancellation.check()
                if time.monotonic() > deadline:
                    raise timeout_error(self._name, self._limit)

    def output(self) -> str:
        """Return its output once its input and the tool have ended; raises as `run_tool` does."""
        while not self._closed.wait(_POLL):
            cancellation.check()
        _wait(self._process, self._limit, self._name)
        _check_exit(self._process, self._stderr, self._name)
        return _text(self._printed)


@contextlib.contextmanager
def piped_tool(
    arguments: Sequence[str], environment: Mapping[str, str], limit: float, *, name: str = ""
) -> Iterator[StdinProcess]:
    """Start a tool and feed its stdin; terminate it when the block ends.

    It may take `limit` seconds for each block that it is given, and as long again once it has all. Raises MissingError.
    """
    name = name or _name(arguments)
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as stderr:
        process = _start(arguments, environment, subprocess.PIPE, printed, stderr)
        try:
            if process.stdin is not None:
                os.set_blocking(process.stdin.fileno(), False)
                _widen(process.stdin.fileno())
            yield StdinProcess(process, printed, stderr, limit, name)
        finally:
            _end(process)
            if process.stdin is not None:
                process.stdin.close()


def _widen(pipe: int) -> None:
    """Enlarge the pipe if the system permits it, for fewer context switches."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)


@contextlib.contextmanager
def _tool(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    limit: float,
    name: str,
    stdin: IO[bytes] | None,
    stdout: IO[bytes] | None,
) -> Iterator[None]:
    with tempfile.TemporaryFile() as stderr:
        process = _start(arguments, environment, stdin, stdout, stderr)
        try:
            yield
            _wait(process, limit, name)
        finally:
            _end(process)
        _check_exit(process, stderr, name)


def _wait(process: subprocess.Popen[bytes], limit: float, name: str) -> None:
    """Wait until it ends. Raises InterruptedRunError, RagopsError (tool_timeout) after `limit` seconds."""
    deadline = time.monotonic() + limit
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(min(_POLL, limit))
            return
        cancellation.check()
        if time.monotonic() > deadline:
            raise timeout_error(name, limit)


@contextlib.contextmanager
def _reading(path: Path | None) -> Iterator[IO[bytes] | None]:
    if path is None:
        yield None
        return
    try:
        stream = path.open("rb")
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    with stream:
        yield stream


def _start(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    stdin: IO[bytes] | int | None,
    stdout: IO[bytes] | int | None,
    stderr: IO[bytes],
) -> subprocess.Popen[bytes]:
    try:
        return spawn(
            arguments,
            environment,
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout or subprocess.DEVNULL,
            stderr=stderr,
        )
    except OSError as error:
        raise MissingError(
            "tool_missing", f"cannot run {arguments[0]}: {error.strerror}", "run `ragops doctor`"
        ) from error


def timeout_error(name: str, limit: float) -> RagopsError:
    """Return the error of a tool that has exceeded its `limit` seconds."""
    return RagopsError("tool_timeout", f"{name} took over {limit:.0f} s", "is a disk busy?")


def _check_exit(process: subprocess.Popen[bytes], stderr: IO[bytes], name: str) -> None:
    if process.returncode != 0:
        raise _failed(name, process.returncode, _text(stderr).strip())


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


def killed_error(name: str, number: int) -> RagopsError:
    """Return the error of a tool that was ended by the signal `number`, which is no fault of its data."""
    hint = "was there too little memory? the kernel's log shows it (`dmesg`); run it again"
    return RagopsError("tool_killed", f"{name} was ended by signal {number}", hint)


def _failed(name: str, code: int, stderr: str) -> RagopsError:
    if code in (-signal.SIGKILL, -signal.SIGTERM):
        return killed_error(name, -code)
    if "No space left on device" in stderr:
        return MissingError("disk_full", f"{name}: no space left on the device", "free some space, then run it again")
    return RagopsError("tool_failed", f"{name} ended with {code}: {stderr[-_QUOTED:]}")


def _name(arguments: Sequence[str]) -> str:
    return arguments[0].rpartition("/")[2]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_GRACE)
