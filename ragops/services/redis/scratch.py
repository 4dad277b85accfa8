"""A throw-away server that reads an RDB file with the engine itself, away from the live one."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ragops.adapters import redis_client
from ragops.adapters.child import die_with_parent
from ragops.adapters.files import explain_os_error
from ragops.adapters.logs import tail
from ragops.adapters.scratch import scratch_folder
from ragops.errors import IntegrityError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import redis

AOF_FOLDER = "appendonlydir"
_START_LIMIT = 30.0
_LOAD_LIMIT = 3600.0
_STOP_GRACE = 30.0
_POLL = 0.05


class ScratchServer:
    """The running server; `folder` is its data folder."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self._process = process
        self.client: redis.Redis = redis_client.connect_socket(str(folder / "socket"))

    def wait_loaded(self) -> None:
        """Wait until the file is read. Raises IntegrityError (rdb_unreadable) where the engine gives up on it."""
        started = time.monotonic()
        while True:
            if self._process.poll() is not None:
                said = "\n".join(f"  {line}" for line in tail(self.folder / "log", 6))
                what = f"the engine cannot read the RDB file:\n{said}"
                raise IntegrityError("rdb_unreadable", what, "use another recovery point: `ragops backup list`")
            waited = time.monotonic() - started
            answers, loading = self._loading()
            if answers and not loading:
                return
            if waited > (_LOAD_LIMIT if answers else _START_LIMIT):
                raise RagopsError("rdb_slow", f"the RDB file was not read within {waited:.0f} s", "is the disk busy?")
            time.sleep(_POLL)

    def _loading(self) -> tuple[bool, bool]:
        """Whether it answers, and whether it still reads."""
        try:
            with redis_client.translated():
                return True, bool(info(self.client, "persistence")["loading"])
        except RagopsError as error:
            return error.code == "redis_loading", True

    def write_aof(self) -> dict[str, Path]:
        """Let the engine write its append-only files, end it; returns them by their path inside a data folder."""
        with redis_client.translated("the scratch server"):
            self.client.config_set("appendonly", "yes")
            wait_for(self._rewritten, _LOAD_LIMIT, "the append-only file was not written")
            if info(self.client, "persistence")["aof_last_bgrewrite_status"] != "ok":
                raise RagopsError("aof_not_written", "the append-only file could not be written", "free some space")
        self._process.terminate()
        self._process.wait(_STOP_GRACE)
        return {f"{AOF_FOLDER}/{path.name}": path for path in sorted((self.folder / AOF_FOLDER).iterdir())}

    def _rewritten(self) -> bool:
        state = info(self.client, "persistence")
        return bool(
            state["aof_enabled"] and not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]
        )


@contextmanager
def opened(server: Sequence[str], rdb: Path) -> Iterator[ScratchServer]:
    """Load `rdb` into a scratch server that is gone when the block ends.

    It poses as a replica, because a primary drops at load what has expired since the file was written: so the counts
    are those of the file, whenever it is read. Its primary is a port that we hold and nobody listens on.
    Raises IntegrityError (rdb_unreadable), MissingError (disk_full).
    """
    try:
        with socket.socket() as nobody, scratch_folder() as folder:
            nobody.bind(("127.0.0.1", 0))
            (folder / "dump.rdb").symlink_to(rdb.absolute())
            process = _start(server, folder, nobody.getsockname()[1])
            try:
                scratch = ScratchServer(folder, process)
                scratch.wait_loaded()
                yield scratch
            finally:
                process.kill()
                process.wait(_STOP_GRACE)
    except OSError as error:
        raise explain_os_error(error, f"open {rdb} in a scratch server") from error


def _start(server: Sequence[str], folder: Path, dead_port: int) -> subprocess.Popen[bytes]:
    """Reachable by its Unix socket alone, in a folder that only we may enter."""
    config = folder / "scratch.conf"
    lines = [
        "port 0",
        f"unixsocket {folder}/socket",
        "unixsocketperm 600",
        f"dir {folder}",
        "dbfilename dump.rdb",
        'save ""',
        "appendonly no",
        f"appenddirname {AOF_FOLDER}",
        "aof-use-rdb-preamble yes",
        "maxmemory 0",
        "databases 65536",
        f"replicaof 127.0.0.1 {dead_port}",
        "replica-read-only yes",
        "daemonize no",
    ]
    config.write_text("\n".join(lines) + "\n")
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [*server, str(config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            preexec_fn=die_with_parent,
        )


def info(client: redis.Redis, section: str) -> dict[str, Any]:
    """A section of INFO."""
    values: dict[str, Any] = client.info(section)
    return values


def counts_of(client: redis.Redis) -> dict[str, int]:
    """Keys in all, and by database keys and those of them that expire."""
    databases = info(client, "keyspace")
    counts = {"keys": sum(values["keys"] for values in databases.values())}
    for name, values in databases.items():
        counts[f"{name}.keys"] = values["keys"]
        counts[f"{name}.expires"] = values["expires"]
    return counts


def wait_for(condition: Callable[[], bool], seconds: float, failure: str) -> None:
    """Poll until `condition()`; RagopsError (redis_timeout) with `failure` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RagopsError("redis_timeout", f"{failure} within {seconds:.0f} s", "is its disk busy or full?")
        time.sleep(_POLL)
