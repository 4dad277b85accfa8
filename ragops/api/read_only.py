"""Whether a backup holds the platform read-only: then nothing is written, and questions are answered all the same.

A write would wait behind the backup's locks until its own limit, fail, and in the end open a breaker that reads need.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ragops.api.clock import Clock
    from ragops.api.metrics import Metrics

CHANNEL = "ragops:read-only"  # a backup that holds the platform is subscribed to it in Redis
LOOK_SECONDS = 0.5


class ReadOnlyFlag:
    """Looked up when somebody would write, at most every LOOK_SECONDS; `look` never raises."""

    def __init__(self, look: Callable[[], Awaitable[bool]], clock: Clock, metrics: Metrics) -> None:
        self._look = look
        self._clock = clock
        self._metrics = metrics
        self._next = float("-inf")
        self._held = False

    async def now(self) -> bool:
        """Whether writes have to wait."""
        if self._clock.monotonic() >= self._next:
            self._next = self._clock.monotonic() + LOOK_SECONDS
            self._held = await self._look()
            self._metrics.read_only.set(self._held)
        return self._held

    async def over(self) -> None:
        """Wait until writes need not wait any more."""
        while await self.now():
            await asyncio.sleep(LOOK_SECONDS)
