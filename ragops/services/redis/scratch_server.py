"""A throw-away server that reads an RDB file with the engine itself, away from the live one."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ragops.adapters import cancellation
from ragops.adapters.files import explain_os_error
from ragops.adapters.logs import tail
from ragops.adapters.spawn import spawn
from ragops.adapters.temp_dirs import private_temp_dir
from ragops.adapters.wait import wait_until
from ragops.errors import IntegrityError, MissingError, RagopsError
from ragops.hints import OTHER_POINT
from ragops.services.redis.aof import FOLDER as AOF_FOLDER
from ragops.services.redis.modules import WITH_MODULES
from ragops.services.redis.scratch_client import keys_of, open_client, read_section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ragops.services.control import Control, Sandbox
    from ragops.services.redis.scratch_client import Ask

_WITH_MODULES = "redis"  # the engine whose image has modules
_RDB = "dump.rdb"
_CONFIG = "scratch.conf"
_START_LIMIT = 60.0
_LOAD_LIMIT = 3600.0
_STOP_GRACE = 30.0
_POLL = 0.02
_NO_SUCH_PROGRAM = (126, 127)  # what a shell, and Docker, end with


class ScratchServer:
    """The running server; `ours` is a folder of this machine for what belongs to it."""

    def __init__(self, sandbox: Sandbox, process: subprocess.Popen[bytes], ask: Ask, ours: Path) -> None:
        self._sandbox = sandbox
        self._process = process
        self._ask = ask
        self._ours = ours

    def wait_loaded(self) -> None:
        """Wait until the file is read. Raises IntegrityError (rdb_unreadable) if the engine gives up on it."""
        started = time.monotonic()
        while True:
            if (code := self._process.poll()) is not None:
                raise self._explain_end(code)
            waited = time.monotonic() - started
            answers, loading = self._read_loading()
            if answers and not loading:
                return
            if waited > (_LOAD_LIMIT if answers else _START_LIMIT):
                raise RagopsError("rdb_slow", f"cannot read the RDB file within {waited:.0f} s", "is the disk busy?")
            cancellation.sleep(_POLL)

    def _explain_end(self, code: int) -> RagopsError:
        if code in _NO_SUCH_PROGRAM:
            return MissingError(
                "engine_not_installed", "cannot read the RDB file: the engine that wrote it is not here"
            )
        log = "\n".join(f"  {line}" for line in tail(self._ours / "log", 6))
        what = f"cannot read the RDB file:\n{log}"
        return IntegrityError("rdb_unreadable", what, OTHER_POINT)

    def _read_loading(self) -> tuple[bool, bool]:
        """Whether it answers, and whether it still reads."""
        try:
            return True, bool(read_section(self._ask, "persistence")["loading"])
        except RagopsError as error:
            return error.code == "redis_loading", True

    def counts(self) -> dict[str, int]:
        """Return the counts of the file, as `keys_of` returns them."""
        return keys_of(read_section(self._ask, "keyspace"))

    def write_aof(self) -> dict[str, Path]:
        """Let the engine write its append-only files, end it; returns them by their path inside a data folder."""
        self._ask("CONFIG", "SET", "appendonly", "yes")
        wait_for(self._rewritten, _LOAD_LIMIT, "cannot write the append-only file")
        if read_section(self._ask, "persistence")["aof_last_bgrewrite_status"] != "ok":
            raise RagopsError(
                "aof_not_written", "cannot write the append-only file: the engine failed", "free some space"
            )
        self._ask("SHUTDOWN", "NOSAVE")
        self._process.wait(_STOP_GRACE)
        return {f"{AOF_FOLDER}/{name}": self._ours_of(name) for name in self._sandbox.names(AOF_FOLDER)}

    def write_rdb(self) -> Path:
        """Let the engine write all that it holds into one RDB file; returns where that lies on this machine."""
        saves = int(read_section(self._ask, "persistence")["rdb_saves"])
        self._ask("BGSAVE")
        wait_for(lambda: self._is_saved(saves), _LOAD_LIMIT, "cannot write the RDB file")
        if self._sandbox.local:
            return self._sandbox.local / _RDB
        self._sandbox.get(_RDB, self._ours / _RDB)
        return self._ours / _RDB

    def _is_saved(self, before: int) -> bool:
        state = read_section(self._ask, "persistence")
        if not state["rdb_bgsave_in_progress"] and state["rdb_last_bgsave_status"] != "ok":
            raise RagopsError("redis_save_failed", "cannot write the RDB file: the engine failed", "free some space")
        return not state["rdb_bgsave_in_progress"] and int(state["rdb_saves"]) > before

    def _ours_of(self, name: str) -> Path:
        """Where the append-only file lies on this machine, copied there if need be."""
        if self._sandbox.local:
            return self._sandbox.local / AOF_FOLDER / name
        self._sandbox.get(f"{AOF_FOLDER}/{name}", self._ours / name)
        return self._ours / name

    def _rewritten(self) -> bool:
        state = read_section(self._ask, "persistence")
        return bool(
            state["aof_enabled"] and not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]
        )


@contextmanager
def open_scratch_server(control: Control, engine: str, rdb: Path) -> Iterator[ScratchServer]:
    """Load `rdb` into a scratch server of `engine` that is gone when the block ends.

    It poses as a replica, because a primary drops at load what has expired since the file was written: so the counts
    are those of the file, whenever it is read. Its primary is a port that we hold and no server listens on.
    Raises IntegrityError (rdb_unreadable), MissingError (disk_full).
    """
    try:
        with private_temp_dir() as ours, control.sandbox() as sandbox:
            sandbox.put(rdb, _RDB)
            with run_scratch_server(sandbox, engine, ours) as scratch:
                yield scratch
    except OSError as error:
        raise explain_os_error(error, f"open {rdb} in a scratch server") from error


@contextmanager
def run_scratch_server(
    sandbox: Sandbox, engine: str, ours: Path, *, append_only: bool = False
) -> Iterator[ScratchServer]:
    """Start the server on the RDB or append-only files in `sandbox`. Raises as `open_scratch_server`, and OSError."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        config = ours / f"{_CONFIG}-{secrets.token_hex(4)}"
        config.write_text(_config(sandbox.folder, unused.getsockname()[1], append_only=append_only))
        sandbox.put(config, config.name)
        process = _start(_server(sandbox, engine, config.name), ours)
        try:
            scratch = ScratchServer(sandbox, process, open_client(sandbox), ours)
            scratch.wait_loaded()
            yield scratch
        finally:
            process.kill()
            process.wait(_STOP_GRACE)


def _server(sandbox: Sandbox, engine: str, name: str) -> list[str]:
    """Return the server of `engine`; Redis with the modules of its image, or it could not read their data."""
    config = f"{sandbox.folder}/{name}"
    if sandbox.local or engine != _WITH_MODULES:
        return [*sandbox.tool(f"{engine}-server"), config]
    return [*sandbox.tool("sh"), "-c", WITH_MODULES, engine, config]


def _config(folder: str, dead_port: int, *, append_only: bool = False) -> str:
    """Reachable by its Unix socket alone, in a folder that only we may enter."""
    lines = [
        "port 0",
        f"unixsocket {folder}/socket",
        "unixsocketperm 600",
        f"dir {folder}",
        f"dbfilename {_RDB}",
        'save ""',
        f"appendonly {'yes' if append_only else 'no'}",
        f"appenddirname {AOF_FOLDER}",
        "aof-use-rdb-preamble yes",
        "maxmemory 0",
        "databases 65536",
        f"replicaof 127.0.0.1 {dead_port}",
        "replica-read-only yes",
        "daemonize no",
    ]
    return "\n".join(lines) + "\n"


def _start(command: list[str], ours: Path) -> subprocess.Popen[bytes]:
    with (ours / "log").open("wb") as log:
        return spawn(
            command,
            {**os.environ, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=ours,
        )


def wait_for(condition: Callable[[], bool], seconds: float, failure: str) -> None:
    """Poll until `condition()`; RagopsError (redis_timeout) with `failure` after `seconds`."""
    if not wait_until(condition, seconds, _POLL):
        raise RagopsError("redis_timeout", f"{failure} within {seconds:.0f} s", "is its disk busy or full?")
