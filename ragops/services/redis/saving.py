"""A fresh BGSAVE, whose file we have from its first byte on where its folder is of this machine."""

from __future__ import annotations

import contextlib
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from ragops.adapters import interrupt
from ragops.adapters.files import link
from ragops.errors import RagopsError
from ragops.services.redis.line import info
from ragops.services.redis.scratch import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    import redis

    from ragops.services.control import Control

_LIMIT = 3600.0
_TEMPORARY = re.compile(r"temp-\d+\.rdb")  # of the process that saves, renamed when it is whole


class Save:
    """One save, the engine's own, begun with `begin` and waited for with `finish`."""

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

    def finish(self, target: Path) -> None:
        """Wait for it; its file is `target` then, and grows there meanwhile where that can be.

        Raises RagopsError (redis_save_failed, redis_timeout).
        """
        wait_for(lambda: self._linked(target) or self._is_over(), _LIMIT, "the save did not end")
        wait_for(self._is_over, _LIMIT, "the save did not end")
        if not target.exists():
            name = cast("dict[str, str]", self._client.config_get("dbfilename"))["dbfilename"]
            self._control.get_data_file(name, target)

    def _linked(self, target: Path) -> bool:
        """A second name for the file that is being written: it stays ours whatever the engine does with its own."""
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
                interrupt.sleep(0.2)
            else:
                return

    def _is_over(self) -> bool:
        """Whether it has ended. Raises RagopsError (redis_save_failed) where it went wrong."""
        state = self._state()
        if state["rdb_bgsave_in_progress"]:
            return False
        if state["rdb_last_bgsave_status"] != "ok":
            what = "redis could not write its RDB file (rdb_last_bgsave_status is not ok)"
            hint = "see why with `ragops logs redis`; a full disk is the usual reason"
            raise RagopsError("redis_save_failed", what, hint)
        return int(state["rdb_saves"]) > self._saves_before

    def _state(self) -> dict[str, int | str]:
        return info(self._client, "persistence")
