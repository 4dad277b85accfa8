"""The Pulumi engine as a child that ragops interrupts, not the terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from typing import IO, TYPE_CHECKING

import psutil
from pulumi.automation import CommandResult, PulumiCommand
from pulumi.automation.errors import create_command_error
from semver import VersionInfo

from ragops.adapters import interrupts
from ragops.errors import InterruptedRunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_CANCEL_WAIT = 60.0
_UMASK = 0o077  # the state is for its owner alone


class InterruptibleCommand(PulumiCommand):
    """A PulumiCommand in a session of its own.

    Ctrl-C in a terminal reaches a whole process group at once, providers included, which then die in the middle of
    what they do. Here only ragops gets it and asks the engine to cancel: it finishes the running steps, saves its state
    and gives its lock back. A second Ctrl-C makes it stop at once.
    """

    def __init__(self, program: Path, version: str) -> None:
        # The base class would run `pulumi version` each time; the caller has checked it.
        self.command = str(program)
        self.version = VersionInfo.parse(version)

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], object] | None = None,
        on_error: Callable[[str], object] | None = None,
    ) -> CommandResult:
        """Run `pulumi ARGS`. Raises the Automation API's CommandError, or InterruptedRunError after a Ctrl-C."""
        with _counted_interrupts() as seen, subprocess.Popen(
            arguments(self.command, args),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=cwd, env=environment(additional_env), encoding="utf-8", errors="replace", start_new_session=True,
            umask=_UMASK,
        ) as process:  # fmt: skip
            stdout, stderr = _Reader(process.stdout, on_output), _Reader(process.stderr, on_error)
            _wait(process, seen)
            if process.returncode < 0:
                _end_session(process.pid)
            result = CommandResult(stdout.text(), stderr.text(), process.returncode)
        if seen:
            raise InterruptedRunError(
                "interrupted",
                "interrupted; what was under way was finished or cancelled, and the state was saved",
                "run the same command again to continue",
            )
        if result.code != 0:
            raise create_command_error(result)
        return result


def arguments(program: str, args: list[str]) -> list[str]:
    """Return the command line; the engine never asks: a prompt without a terminal would hang."""
    return [program, "--non-interactive", *args]


def environment(additional: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's environment with what the workspace adds."""
    return {**os.environ, **additional, "PULUMI_AUTOMATION_API": "true"}


class _Reader(threading.Thread):
    """Collects one output of the engine, line by line."""

    def __init__(self, stream: IO[str] | None, callback: Callable[[str], object] | None) -> None:
        super().__init__(daemon=True)
        self._stream, self._callback, self._lines = stream, callback, list[str]()
        self.start()

    def run(self) -> None:
        for line in self._stream or ():
            self._lines.append(line.rstrip())
            if self._callback:
                self._callback(line.rstrip())

    def text(self) -> str:
        self.join(timeout=5)
        return "\n".join(self._lines)


@contextlib.contextmanager
def _counted_interrupts() -> Iterator[list[int]]:
    """Signals that ask us to end, noted in a list while the engine runs.

    Raised as KeyboardInterrupt they are lost now and then: Python prints and forgets what is raised while it clears a
    weak reference, and gRPC's threads leave it many.
    """
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    before = {number: signal.getsignal(number) for number in (*interrupts.SIGNALS, interrupts.AGAIN)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, lambda got, _frame: seen.append(got))
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(process: subprocess.Popen[str], seen: list[int]) -> None:
    """Wait for the engine; pass each interrupt to it, and end it if it does not end."""
    passed_on, give_up = 0, float("inf")
    while True:
        try:
            process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            if len(seen) > passed_on:
                passed_on = len(seen)
                _signal(process, signal.SIGINT)
                give_up = time.monotonic() + _CANCEL_WAIT
            elif time.monotonic() > give_up:
                _signal(process, signal.SIGKILL)
        else:
            return


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _end_session(session: int) -> None:
    """End what a killed engine left: its plugins have process groups of their own and would run for minutes."""
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(process.pid) == session:
                process.kill()
