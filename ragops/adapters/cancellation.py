"""One word for all threads of a run: it is to end. Whoever waits in a thread waits here, or ends with its tool."""

from __future__ import annotations

import threading

from ragops.errors import InterruptedRunError

_ENDING = threading.Event()


def begin() -> None:
    """A new run: nobody has ended it yet."""
    _ENDING.clear()


def end() -> None:
    """Have every thread of the run end at its next step."""
    _ENDING.set()


def ending() -> bool:
    """Whether the run is to end."""
    return _ENDING.is_set()


def check() -> None:
    """Raise InterruptedRunError where the run is to end."""
    if _ENDING.is_set():
        raise InterruptedRunError("interrupted", "interrupted", "run the same command again to go on")


def sleep(seconds: float) -> None:
    """Wait so long, or until the run is to end. Raises InterruptedRunError then."""
    _ENDING.wait(seconds)
    check()
