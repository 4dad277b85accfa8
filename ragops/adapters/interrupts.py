"""Signals that ask a command to end, raised as KeyboardInterrupt in the main thread, at a place that loses none.

Two kinds of places lose one (CPython 3.11). While a module is imported, `type.__new__` makes a RuntimeError of whatever
`__set_name__` raises, which each enum has, and a half-imported module stays behind: a signal waits until the import is
over. In a finalizer or the callback of a weak reference, Python prints the exception and continues: it is raised again.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

# Sends a lost one again; a timer of the kernel, because a thread may not be started here: its lock may be taken.
AGAIN = signal.SIGALRM
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_IMPORT_SYSTEM = "<frozen importlib._bootstrap>"
_POLL = 0.02  # seconds between two looks at whether the import is over
_LONGEST_IMPORT = 10.0  # seconds; an import that hangs must not make the command immune

_postponed = 0


def install() -> None:
    """Raise KeyboardInterrupt for each of SIGNALS that the parent process did not have ignored, as nohup does."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)
    signal.signal(AGAIN, _handle)
    sys.unraisablehook = _raise_again


def ignore() -> None:
    """Ignore SIGNALS from now on: what the command was for is done, and only Python still ends."""
    while True:
        try:
            for number in (*SIGNALS, AGAIN):
                signal.signal(number, signal.SIG_IGN)
        except KeyboardInterrupt:  # one that came just before
            continue
        return


def is_caused_by_interrupt(error: BaseException) -> bool:
    """Return whether an exception is a KeyboardInterrupt, or stands for one that something else was made of."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        if isinstance(link, KeyboardInterrupt):
            return True
        seen.add(id(link))
        link = link.__cause__ or link.__context__
    return False


def _handle(_number: int, frame: FrameType | None) -> None:
    global _postponed
    if _is_importing(frame) and _postponed * _POLL < _LONGEST_IMPORT:
        _postponed += 1
        _send_later()
        return
    _postponed = 0
    signal.setitimer(signal.ITIMER_REAL, 0)  # one that was to be sent again is raised now
    raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT_SYSTEM:
            return True
        frame = frame.f_back
    return False


def _send_later() -> None:
    signal.setitimer(signal.ITIMER_REAL, _POLL)


def _raise_again(lost: sys.UnraisableHookArgs) -> None:
    """Raise the interrupt again that Python could not raise; print any other exception as Python does."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        _send_later()
    else:
        sys.__unraisablehook__(lost)
