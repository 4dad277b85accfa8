"""Converters that wait for documents: child processes, started when needed and used for many files."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from ragops.adapters.spawn import spawn
from ragops.ingest.documents.converted import Converted, UnreadableError
from ragops.ingest.documents.frames import read_frame, write_frame

if TYPE_CHECKING:
    from collections.abc import Mapping


class Limits(NamedTuple):
    """Seconds of processor time and of waiting, bytes of memory, bytes of text as UTF-8.

    Each MiB of the file adds a second of processor time and 4 MiB of memory. Memory is address space, with Python and
    the libraries in it: 300 MiB before the first file.
    """

    processor_seconds: int = 30
    seconds: float = 180.0
    memory: int = 1536 << 20
    text: int = 128 << 20


_MOST = 4
# A process whose memory grew beyond this, or that did so many files, is not used again: libraries keep and leak some.
_GROWN, _MOST_FILES = 512 << 20, 500
_END_SECONDS = 5.0
_KEPT_VARIABLES = ("PATH", "HOME", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "LANG", "LC_ALL")


class Pool:
    """At most a few child processes; `convert` may be called by several threads."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._refused: dict[bytes, str] = {}
        self._places = threading.BoundedSemaphore(max(1, min(_MOST, os.cpu_count() or 1)))

    def convert(self, converter: str, name: str, data: bytes) -> Converted:
        """Return the text of a file. Raises UnreadableError with the reason if it has none, or costs too much."""
        with self._lock:
            if self._pid != os.getpid():  # a fork: the children are those of the other process
                self._reset()
            places = self._places
        named = sha256(f"{converter} {name}\0".encode(errors="replace"))
        named.update(data)
        key = named.digest()
        if key in self._refused:  # documents of a group are read again if one of them cannot be
            raise UnreadableError(self._refused[key])
        with places:
            child = self._take()
            try:
                found = child.convert(converter, name, data)
            except UnreadableError as error:
                self._put(child)
                if error.is_lasting:
                    self._refused[key] = str(error)
                raise
            except BaseException:
                child.kill()
                self._put(child)
                raise
            self._put(child)
            return found

    def close(self) -> None:
        """End all processes, also those at work for a thread of a run that ended; the next document starts new ones."""
        with self._lock:
            if self._pid != os.getpid():
                return
            idle, self._idle = self._idle, []
            self._refused.clear()
            for child in self._busy:
                child.kill()
        for child in idle:
            child.end()

    def _take(self) -> _Child:
        with self._lock:
            child = self._idle.pop() if self._idle else None
        child = child or _Child(self.limits)
        with self._lock:
            self._busy.add(child)
        return child

    def _put(self, child: _Child) -> None:
        with self._lock:
            self._busy.discard(child)
            if child.is_reusable:
                self._idle.append(child)
                return
        child.end()


class _Child:
    """One process; it is ended for good if a file costs more than the limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._files = 0
        self._is_late = self._is_killed = False
        self.is_reusable = True
        kept = {key: os.environ[key] for key in os.environ if key in _KEPT_VARIABLES or key.startswith("COVERAGE_")}
        environment = {**kept, "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1", "MALLOC_ARENA_MAX": "2"}
        arguments = [sys.executable, "-m", "ragops.ingest.documents.child"]
        pipes: Mapping[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        try:
            self._process = spawn(arguments, environment, cwd="/", **pipes)
        except OSError as error:
            raise UnreadableError(f"cannot start its converter: {error.strerror}", is_lasting=False) from error

    def convert(self, converter: str, name: str, data: bytes) -> Converted:
        """Raise UnreadableError if the file cannot be converted; `is_reusable` shows whether the process is left."""
        limits, streams = self._limits, self._process
        if streams.stdin is None or streams.stdout is None:
            raise UnreadableError("cannot reach its converter", is_lasting=False)
        memory, seconds = limits.memory + 4 * len(data), limits.processor_seconds + (len(data) >> 20)
        request = {**limits._asdict(), "memory": memory, "processor_seconds": seconds}
        request |= {"converter": converter, "name": name}
        timer = threading.Timer(limits.seconds, self._expire)
        timer.daemon = True
        timer.start()
        try:
            write_frame(streams.stdin, request, data)
            head, body = read_frame(streams.stdout, limits.text)
        except (OSError, EOFError) as error:
            raise UnreadableError(
                self._reason(memory, seconds), is_lasting=not (self._is_late or self._is_killed)
            ) from error
        finally:
            timer.cancel()
        self._files += 1
        self.is_reusable = not self._is_killed and self._files < _MOST_FILES and head.get("peak", _GROWN) < _GROWN
        if "reason" in head:
            raise UnreadableError(str(head["reason"]))
        return Converted(
            body.decode("utf-8", "replace"), {str(key): str(value) for key, value in head["metadata"].items()}
        )

    def kill(self) -> None:
        """End the process in the middle of its work: the thread that waits for it gets the reason."""
        self.is_reusable, self._is_killed = False, True
        self._process.kill()

    def _expire(self) -> None:
        self._is_late = True
        self._process.kill()

    def _reason(self, memory: int, seconds: int) -> str:
        """Return why the process ended, from how it did."""
        code = self.end()
        if self._is_killed:
            return "the run ended before it was converted"
        if self._is_late:
            return f"it takes longer than {self._limits.seconds:.0f} s to convert"
        if code == -signal.SIGXCPU:
            return f"it takes more than {seconds} s of processor time to convert"
        ended = signal.Signals(-code).name if code and code < 0 else f"exit code {code}"
        return f"its converter crashed ({ended}): damaged, or it needs more than {memory >> 20} MiB of memory"

    def end(self) -> int | None:
        """End the process if it is there still; return its exit code."""
        self.is_reusable = False
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if stream:
                    stream.close()
        try:
            # It ends by itself at the end of its input, and a crashed one has ended: its own code is the reason.
            return self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait(_END_SECONDS)


_pool = Pool()


def convert(converter: str, name: str, data: bytes) -> Converted:
    """Convert by the processes that all of this process share. Raises UnreadableError."""
    return _pool.convert(converter, name, data)


def close() -> None:
    """End the shared processes that wait for a document."""
    _pool.close()
