"""Runs command lines of ragops in forks of itself, which die, wait or see another time at an exact point.

Points are counted by side effects: files opened for writing, renamed, removed or made durable, programs started, what
is sent to the engines. Only those count that touch the folder of the test. Reads `{"arguments": …}` a line, answers
with how the fork ended.
"""

from __future__ import annotations

import datetime
import gc
import itertools
import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_PATHS = {"os.rename": 2, "os.link": 2, "os.symlink": 2, "os.remove": 1, "os.rmdir": 1, "os.mkdir": 1, "os.truncate": 1}
_POLLS = ("INFO", "AUTH", "HELLO", "CLIENT", "PING", "SELECT")
_WAIT_SECONDS = 240.0
_MODULES = (
    "h2.connection", "httpcore", "jinja2", "qdrant_edge", "ragops.cli.main", "ragops.config.load",
    "httpx", "psycopg", "pyrage", "redis", "zstandard",
    "ragops.cli.app", "ragops.cli.backup", "ragops.cli.progress", "ragops.cli.points", "ragops.cli.restore",
    "ragops.cli.views", "ragops.operations.backup.commands", "ragops.operations.restore.live_platform",
    "ragops.operations.backup.create", "ragops.operations.backup.prune", "ragops.operations.data.cache",
    "ragops.operations.restore.restore", "ragops.operations.session", "ragops.adapters.storage.open",
    "ragops.runtimes.embedded.host", "ragops.services.qdrant.backup.backup", "ragops.services.redis.backup",
    "ragops.services.timescaledb.backup.backup",
)  # fmt: skip


class Points:
    """Counts effects. Before the one numbered `kill` the process dies; before one that matches `pause` it waits."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._folder = request["folder"]
        self._kill, self._pause = request.get("kill", 0), request.get("pause")
        self._nth = request.get("nth", 1)
        self._trace = os.open(request["trace"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._signals = Path(request["signals"])
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._dying = False
        self._waiting = 0

    def install(self) -> None:
        """From now on."""
        _count_requests(self.effect)
        sys.addaudithook(self._audited)

    def effect(self, what: str) -> None:
        """One side effect, about to happen."""
        if self._dying:
            return
        with self._lock:
            number = next(self._numbers)
            os.write(self._trace, f"{number} {what}\n".encode())
            if number == self._kill:
                self._dying = True
                os.kill(os.getpid(), signal.SIGKILL)
            waits = bool(self._pause and re.search(self._pause, what))
            if waits:
                self._nth -= 1
                waits = self._nth == 0
        if waits:
            self._wait()

    def _wait(self) -> None:
        """Say so, and go on when told to."""
        self._waiting = threading.get_ident()
        paused, go = self._signals / "paused", self._signals / "go"
        told = os.open(f"{paused}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(told, str(os.getpid()).encode())
        os.close(told)
        Path(f"{paused}.new").rename(paused)
        deadline = time.monotonic() + _WAIT_SECONDS
        while not go.exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        self._waiting = 0

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._dying or threading.get_ident() == self._waiting:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = flags & _WRITING or (isinstance(mode, str) and set(mode) & set("wax+"))
            if writes and self._ours(path):
                self.effect(f"open {self._short(path)}")
        elif event in _PATHS and any(self._ours(path) for path in arguments[: _PATHS[event]]):
            self.effect(f"{event} {' '.join(self._short(path) for path in arguments[: _PATHS[event]])}")
        elif event == "subprocess.Popen":
            self.effect(f"start {' '.join(map(str, arguments[1]))}".replace(self._folder, "."))

    def _ours(self, path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self._folder)

    def _short(self, path: Any) -> str:
        return str(os.fspath(path)).replace(f"{self._folder}/", "")


def _count_requests(effect: Any) -> None:
    """What reaches engines by ways that Python's audit does not see, and when files become durable."""
    import httpx
    import psycopg
    from redis.connection import AbstractConnection

    from ragops.services.redis.rdb import RdbStream

    def before(owner: Any, name: str, say: Any) -> None:
        original = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if (what := say(*arguments, **options)) is not None:
                effect(what)
            return original(*arguments, **options)

        setattr(owner, name, call)

    before(os, "fsync", lambda _descriptor: "fsync")
    before(psycopg.Connection, "execute", lambda _self, query, *_rest, **_options: f"sql {_sql(query)}")
    before(psycopg.Transaction, "__exit__", lambda _self, *_error: "sql end of transaction")
    before(httpx.Client, "send", lambda _self, request, **_options: _http(request))
    before(AbstractConnection, "send_command", lambda _self, *words, **_options: _redis(words))
    before(RdbStream, "_send", lambda _self, data: "redis SYNC" if data.startswith(b"SYNC") else None)


def _sql(query: Any) -> str:
    return " ".join(str(query).split())[:160]


def _http(request: Any) -> str | None:
    """Questions that are asked again until the answer is right would make every run another length."""
    path = request.url.path
    return f"http {request.method} {path}" if request.method != "GET" or "/snapshots/" in path else None


def _redis(words: tuple[Any, ...]) -> str | None:
    text = " ".join(str(word) for word in words)
    return None if text.upper().startswith(_POLLS) else f"redis {text}"


def _turn_clock(seconds: float) -> None:
    """Another time for all of ragops; the machine's stays as it is."""
    real, shift = time.time, datetime.timedelta(seconds=seconds)
    time.time = lambda: real() + seconds

    class Turned(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
            return datetime.datetime.now(tz) + shift

    for name, module in list(sys.modules.items()):
        if name.startswith("ragops") and getattr(module, "datetime", None) is datetime.datetime:
            module.datetime = Turned  # type: ignore[attr-defined]


def _become(request: dict[str, Any]) -> int:
    """One command line, in this fork."""
    from ragops.cli.main import run

    os.chdir(request["cwd"])
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(request["signals"]) / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = ["ragops", *request["arguments"]]
    if request.get("clock"):
        _turn_clock(request["clock"])
    Points(request).install()
    return int(run(request["arguments"]))


def _import_all() -> None:
    """Once for all forks. What starts threads is left out."""
    from importlib import import_module

    for name in _MODULES:
        import_module(name)


def main() -> int:
    """Until there is nothing more to do; a fork leaves by the same door where coverage has to be told."""
    _import_all()
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            code = _become(request)
            if "coverage" not in sys.modules:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
            return code
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
