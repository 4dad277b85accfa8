"""Waiting for a condition, with a time-out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from ragops.adapters import cancellation

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


def wait_until(condition: Callable[[], _T], timeout: float, poll: float = 0.1) -> _T:
    """Return the first true value of `condition`, which is called every `poll` seconds.

    After `timeout` seconds its last value is returned, which is false. Raises InterruptedRunError if the run is
    cancelled, and what `condition` raises.
    """
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        cancellation.sleep(min(poll, left))
    return value
