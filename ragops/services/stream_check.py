"""An engine's own programs that read a part while it is stored, in a sandbox, without a file of it."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from ragops.adapters import cancellation
from ragops.adapters.background import BackgroundTask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ragops.services.control import Control, StdinProcess

_LIMIT = 3600.0  # seconds for a block of the input, and again for the rest of the work once all of it was read
_END_LIMIT = 60.0  # what takes longer is left to the next run to clear
_POLL = 0.02


class StreamCheck:
    """Programs that take the same input in blocks by `write`, the last one empty; they may still be starting."""

    def __init__(self, control: Control, commands: Sequence[Sequence[str]]) -> None:
        self._control = control
        self._commands = commands
        self._programs: list[StdinProcess] = []
        self._started, self._over = threading.Event(), threading.Event()
        self._holding = BackgroundTask(self._hold, "ragops-check")

    def write(self, block: bytes) -> None:
        """Give a block to each. Raises MissingError (engine_not_installed, disk_full), RagopsError (tool_timeout)."""
        for program in self._wait_started():
            program.write(block)

    def outputs(self) -> list[str]:
        """Return what each printed, once all have ended. Raises RagopsError (tool_failed), and as `write`."""
        return [program.output() for program in self._wait_started()]

    def end(self) -> None:
        """End them, and remove the sandbox."""
        self._over.set()
        self._holding.wait(_END_LIMIT)

    def _hold(self) -> None:
        with self._control.sandbox() as sandbox, contextlib.ExitStack() as running:
            for command in self._commands:
                self._programs.append(running.enter_context(sandbox.start_with_stdin(command, _LIMIT)))
            self._started.set()
            self._over.wait()

    def _wait_started(self) -> list[StdinProcess]:
        while not self._started.wait(_POLL):
            cancellation.check()
            if self._holding.is_done:
                self._holding.result()
        return self._programs


@contextlib.contextmanager
def start_check(control: Control, *commands: Sequence[str]) -> Iterator[StreamCheck]:
    """Start programs of the engine that run during the block."""
    check = StreamCheck(control, commands)
    try:
        yield check
    finally:
        check.end()
