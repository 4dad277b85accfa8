"""Child processes that end with this one, however it ends."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_WRAPPER = Path(__file__).with_name("exec_with_parent.py")


def spawn(arguments: Sequence[str], environment: Mapping[str, str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own; the kernel kills it when this process dies.

    `options` are those of `subprocess.Popen`. A Ctrl-C in a terminal does not reach the program: its caller ends it.
    Raises OSError if the program is missing or cannot be executed.
    """
    program = _find(arguments[0], environment)
    command = [program, *arguments[1:]]
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", str(_WRAPPER), str(os.getpid()), *command]
    return _spawner.call(lambda: subprocess.Popen(command, env=dict(environment), process_group=0, **options))


def _find(program: str, environment: Mapping[str, str]) -> str:
    found = shutil.which(program, path=environment.get("PATH", os.defpath))
    if found is None:
        if Path(program).exists():
            raise PermissionError(13, os.strerror(13), program)
        raise FileNotFoundError(2, os.strerror(2), program)
    return os.path.abspath(found)  # noqa: PTH100  a symbolic link keeps its name: some programs act by it


class _Spawner:
    """The one thread that starts children.

    The death signal of Linux is sent when the thread that started a child ends, not its process: this one never ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._pid = 0

    def call(self, work: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """Run `work` in the thread; raises what it raises."""
        result: Future[subprocess.Popen[bytes]] = Future()
        with self._lock:
            if self._pid != os.getpid():  # a fork keeps no threads
                self._pid, self._calls = os.getpid(), queue.SimpleQueue()
                threading.Thread(target=self._run, args=(self._calls,), name="ragops-spawn", daemon=True).start()
            self._calls.put((result, work))
        try:
            return result.result()
        except BaseException:
            result.add_done_callback(_end_unclaimed)  # an interrupt came before the caller had it
            raise

    @staticmethod
    def _run(calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]]) -> None:
        while True:
            result, work = calls.get()
            try:
                result.set_result(work())
            except BaseException as error:
                result.set_exception(error)
            del result, work


def _end_unclaimed(result: Future[subprocess.Popen[bytes]]) -> None:
    if result.exception() is None:
        result.result().kill()
        result.result().wait(10)


_spawner = _Spawner()
