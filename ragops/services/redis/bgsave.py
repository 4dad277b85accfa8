"""A fresh BGSAVE, whose file is copied while the engine writes it, or shared if its folder is of this machine."""

from __future__ import annotations

import contextlib
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from ragops.adapters import cancellation
from ragops.adapters.files import link
from ragops.errors import RagopsError
from ragops.services.redis.scratch_client import info
from ragops.services.redis.scratch_server import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis

    from ragops.services.control import Control

_LIMIT = 3600.0
_TEMPORARY = re.compile(r"temp-\d+\.rdb")  # of the process that saves, renamed when it is whole

# Prints the file of the process that saves, in the folder $1, until that process is gone. An open file is read to its
# end whatever it is called by then. Runs where the engine does, with what every shell there has. On a signal it waits
# for the program that it runs: an orphan would fall to the engine, which is the container's first process.
_PRINT = """trap 'exit 143' TERM
cd "$1" || exit
while :; do
  for file in temp-*.rdb; do
    pid=${file#temp-}; pid=${pid%.rdb}
    case $(tr '\\0' ' ' 2>/dev/null < "/proc/$pid/cmdline") in *rdb-bgsave*)
      exec 3< "$file"
      while [ -e "/proc/$pid" ]; do cat <&3; sleep 0.05; done
      exec cat <&3
    esac
  done 2>/dev/null
  sleep 0.02
done"""


class _MissedError(Exception):
    """The save was over before its file was seen."""


class Bgsave:
    """One save, the engine's own, begun with `begin`; then its file is had by `follow_file`."""

    def __init__(self, client: redis.Redis, control: Control) -> None:
        self._client = client
        self._control = control
        self._saves_before = 0
        self._others: set[Path] = set()

    def begin(self) -> datetime:
        """Start it, after any that runs; returns when. Raises RagopsError (redis_timeout)."""
        wait_for(lambda: not self._state()["rdb_bgsave_in_progress"], _LIMIT, "a running save did not end")
        self._saves_before = int(self._state()["rdb_saves"])
        self._others = self._temporaries()
        instant = datetime.now(tz=UTC)
        self._start()
        return instant

    @contextlib.contextmanager
    def follow_file(self, target: Path) -> Iterator[Callable[[], None]]:
        """Inside the block `target` grows at its end, or is not there yet; what is yielded waits until it is whole.

        That raises RagopsError (redis_save_failed, redis_timeout).
        """
        if self._control.local_data is not None:
            wait_for(lambda: self._link(target) or self._is_over(), _LIMIT, "the save did not end")
        else:
            with contextlib.suppress(_MissedError), self._print(target) as finish:
                yield finish
                return
        yield lambda: self._finish(target)

    @contextlib.contextmanager
    def _print(self, target: Path) -> Iterator[Callable[[], None]]:
        """Follow the file by a process next to the engine. Raises _MissedError if the file did not appear in time."""
        command = ("sh", "-c", _PRINT, "sh", self._config("dir"))
        try:
            with self._control.run_to_file(command, target, _LIMIT) as printed:
                self._wait_for_first(target)

                def finish() -> None:
                    wait_for(self._is_over, _LIMIT, "the save did not end")
                    printed()

                yield finish
        except _MissedError:
            target.unlink()
            raise

    def _wait_for_first(self, target: Path) -> None:
        wait_for(lambda: target.stat().st_size > 0 or self._is_over(), _LIMIT, "the save did not end")
        if not target.stat().st_size:
            raise _MissedError

    def _finish(self, target: Path) -> None:
        wait_for(self._is_over, _LIMIT, "the save did not end")
        if not target.exists():
            self._control.get_data_file(self._config("dbfilename"), target)

    def _link(self, target: Path) -> bool:
        """Link the file that is being written: the second name stays ours whatever the engine does with its own."""
        new = self._temporaries() - self._others
        return len(new) == 1 and link(new.pop(), target)  # else it is copied, once it is whole

    def _temporaries(self) -> set[Path]:
        folder = self._control.local_data
        if folder is not None:
            with contextlib.suppress(OSError):
                return {path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name)}
        return set()

    def _start(self) -> None:
        """BGSAVE, again while the engine's own rewrite or save (its `save` rules) keeps it from starting."""
        import redis

        deadline = time.monotonic() + _LIMIT
        while True:
            try:
                self._client.bgsave(schedule=False)
            except redis.ResponseError as error:
                if "in progress" not in str(error) and "child process" not in str(error):
                    raise
                if time.monotonic() > deadline:
                    raise
                cancellation.sleep(0.2)
            else:
                return

    def _is_over(self) -> bool:
        """Whether it has ended. Raises RagopsError (redis_save_failed) if it went wrong."""
        state = self._state()
        if state["rdb_bgsave_in_progress"]:
            return False
        if state["rdb_last_bgsave_status"] != "ok":
            what = "redis could not write its RDB file (rdb_last_bgsave_status is not ok)"
            hint = "see why with `ragops logs redis`; a full disk is the usual reason"
            raise RagopsError("redis_save_failed", what, hint)
        return int(state["rdb_saves"]) > self._saves_before

    def _config(self, name: str) -> str:
        return cast("dict[str, str]", self._client.config_get(name))[name]

    def _state(self) -> dict[str, int | str]:
        return info(self._client, "persistence")
