"""Waits of tests: long ones, since other workers may have the processor; who waits for nothing loses nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
PATIENCE = 3


def wait_until(condition: Callable[[], T], seconds: float = 30, what: str | Callable[[], object] = "it") -> T:
    """Poll until `condition` is true and return its value; fails the test if it never is, with `what`."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not (value := condition()):
        if time.monotonic() >= deadline:
            shown = what if isinstance(what, str) else what()
            raise AssertionError(f"{shown} did not happen within {seconds * PATIENCE} s")
        time.sleep(0.01)
    return value
