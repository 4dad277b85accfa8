"""Checks an RDB file with the engine's own tool: to its end and its checksum, in little memory, without a server."""

from __future__ import annotations

import contextlib
import re
import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

from ragops.adapters import cancellation
from ragops.adapters.background import BackgroundTask
from ragops.errors import IntegrityError, RagopsError
from ragops.hints import OTHER_POINT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.services.control import Control, StdinProcess

_LIMIT = 3600.0
_END_LIMIT = 60.0  # what takes longer is left to the next run to clear
_POLL = 0.02
_INPUT = "/dev/stdin"


class RdbCheck:
    """The engine's tool, which takes the file in blocks by `write`, the last one empty; it may still be starting.

    A thread of its own holds it: the kernel ends a child when the thread that has started it is gone.
    """

    def __init__(self, control: Control, tool: str) -> None:
        self._control = control
        self._name = tool
        self._tool: Future[StdinProcess] = Future()
        self._over = threading.Event()
        self._holding = BackgroundTask(self._hold, "ragops-rdb-check")

    def write(self, block: bytes) -> None:
        """Give it a block. Raises MissingError (engine_not_installed, disk_full), RagopsError (tool_timeout)."""
        self._wait_started().write(block)

    def counts(self) -> dict[str, int]:
        """How many `keys` the file holds, and how many of them have a time to live (`expires`); waits for its end.

        Raises IntegrityError (rdb_unreadable), and what `write` raises.
        """
        try:
            said = self._wait_started().output()
        except RagopsError as error:
            if error.code != "tool_failed":
                raise
            what = f"the engine cannot read the RDB file: {error.message}"
            raise IntegrityError("rdb_unreadable", what, OTHER_POINT) from error
        self._over.set()
        return counts_in(said)

    def end(self) -> None:
        """End it, and clear up behind it."""
        self._over.set()
        self._holding.wait(_END_LIMIT)

    def _hold(self) -> None:
        try:
            with self._control.sandbox() as sandbox, sandbox.start_with_stdin((self._name, _INPUT), _LIMIT) as tool:
                self._tool.set_result(tool)
                self._over.wait()
        except BaseException as error:
            if not self._tool.done():
                self._tool.set_exception(error)
            raise

    def _wait_started(self) -> StdinProcess:
        while not wait((self._tool,), _POLL).done:
            cancellation.check()
        return self._tool.result()


@contextlib.contextmanager
def start_check(control: Control, engine: str) -> Iterator[RdbCheck]:
    """Start a check that runs during the block."""
    made = RdbCheck(control, f"{engine}-check-rdb")
    try:
        yield made
    finally:
        made.end()


def counts_in(said: str) -> dict[str, int]:
    """Return the counts that the tool prints. Raises IntegrityError (rdb_unreadable) without them."""
    found = {kind: int(number) for number, kind in re.findall(r"^\[info\] (\d+) (keys|expires)\b", said, re.MULTILINE)}
    if "RDB looks OK" not in said or len(found) != 2:
        last = "; ".join(line for line in said.splitlines() if "ERROR" in line or "rror" in line) or "no verdict"
        raise IntegrityError("rdb_unreadable", f"the engine cannot read the RDB file: {last}", OTHER_POINT)
    return found
