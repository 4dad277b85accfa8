"""Cooperative cancellation: each run has a token of its own, and all threads of the run share it.

A cancelled token stays cancelled. A thread that outlives its run keeps the token of that run, so that it ends at its
next step and cannot write into the next one.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from ragops.errors import InterruptedRunError

if TYPE_CHECKING:
    from collections.abc import Iterator


class CancelToken:
    """The order to end of one run; a run that was started inside another one ends with it."""

    def __init__(self, parent: CancelToken | None = None) -> None:
        self._event = threading.Event()
        self._children: list[CancelToken] = []
        self._lock = threading.Lock()
        self._parent = parent
        if parent is not None:
            parent._add(self)

    @property
    def is_cancelled(self) -> bool:
        """Return whether the run is to end."""
        return self._event.is_set()

    def cancel(self) -> None:
        """Have every thread of the run end at its next step; it cannot be taken back."""
        with self._lock:
            self._event.set()
            children = tuple(self._children)
        for child in children:
            child.cancel()

    def check(self) -> None:
        """Raise InterruptedRunError if the run is to end."""
        if self._event.is_set():
            raise InterruptedRunError("interrupted", "interrupted", "run the same command again to continue")

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds. Raises InterruptedRunError as soon as the run is to end."""
        self._event.wait(seconds)
        self.check()

    def close(self) -> None:
        """Detach the token from its parent: the run is over."""
        if self._parent is not None:
            self._parent._remove(self)

    def _add(self, child: CancelToken) -> None:
        with self._lock:
            self._children.append(child)
            cancelled = self._event.is_set()
        if cancelled:
            child.cancel()

    def _remove(self, child: CancelToken) -> None:
        with self._lock:
            self._children.remove(child)


_outside = CancelToken()  # of all that belongs to no run
_current: ContextVar[CancelToken] = ContextVar("ragops_cancel_token", default=_outside)


def current() -> CancelToken:
    """Return the token of the run that this thread works for."""
    return _current.get()


@contextmanager
def new_run(*, shielded: bool = False) -> Iterator[CancelToken]:
    """Start a run with a token of its own for the block; `shielded`: the run goes to its end if the outer one ends."""
    token = CancelToken(None if shielded else current())
    before = _current.set(token)
    try:
        yield token
    finally:
        _current.reset(before)
        token.close()


def check() -> None:
    """Raise InterruptedRunError if the run of this thread is to end."""
    current().check()


def sleep(seconds: float) -> None:
    """Wait so many seconds. Raises InterruptedRunError as soon as the run of this thread is to end."""
    current().sleep(seconds)
