"""Time as the service sees it, in one place so that tests can move it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Clock:
    """`now` is the date, for what people and other machines state; `monotonic` are seconds, for everything measured."""

    now: Callable[[], datetime] = _now
    monotonic: Callable[[], float] = time.monotonic
