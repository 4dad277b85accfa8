"""Refuses requests that this process cannot answer in time, so that those it takes are answered soon.

Without it, requests that come faster than the processor allows make each answer later than the one before, until the
gateway's health check is late too: then the gateway refuses all of them, cached answers as well.
First new questions are refused, since each costs as much as ten that the cache answers, and a refusal half as much as
one of these; if that is not enough, all requests are.
Source of the method: Nichols and Jacobson, "Controlling Queue Delay" (2012): a burst may wait, a queue that stays may
not. Here the queue is that of the event loop, and its delay is how late a timer fires.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from ragops.api.problem import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from ragops.api.metrics import Metrics

TARGET_SECONDS, STANDING_SECONDS = 0.2, 1.0  # how late the loop may be, and for how long it may be later
MOST_SECONDS = 0.6  # from here on nothing is taken
# At once: more would wait longer than the store may take if it answers less than half as many in a second.
SEARCHES_OF_NODE = 64
_TICK_SECONDS = 0.05
_LONGEST_WAIT = 3  # seconds, in Retry-After: spread, so that those who were refused do not come back at once
_NEVER_REFUSED = ("/healthz", "/readyz", "/metrics", "/internal")


class LoopDelay:
    """How late the event loop of this process runs; `monotonic` returns seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._due = self._changed = monotonic()
        self._last = 0.0
        self._late = self._standing = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to measure, in the running loop."""
        self._due = self._changed = self._monotonic()
        self._tick()

    def stop(self) -> None:
        """Measure no longer."""
        if self._timer is not None:
            self._timer.cancel()

    def is_longer(self, seconds: float) -> bool:
        """Whether there is a queue that stays, and what is taken now would wait longer than that in it.

        Within one turn of the loop the delay grows with what was taken already, so each turn takes what it can do.
        """
        return self._standing and max(self._last, self._monotonic() - self._due) > seconds

    def _tick(self) -> None:
        now = self._monotonic()
        self.measure(now, now - self._due)
        self._due = now + _TICK_SECONDS
        self._timer = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)

    def measure(self, now: float, seconds: float) -> None:
        """Record that a timer fired `seconds` late; what has been so for STANDING_SECONDS is believed."""
        self._last = max(0.0, seconds)
        late = self._last > TARGET_SECONDS
        if late != self._late:
            self._late, self._changed = late, now
        elif now - self._changed >= STANDING_SECONDS:
            self._standing = late


class Overload:
    """Whether this process has more to do than it can, and how many requests it refused for that."""

    def __init__(self, monotonic: Callable[[], float], nodes: int, metrics: Metrics) -> None:
        self.delay = LoopDelay(monotonic)
        self._most_searches = nodes * SEARCHES_OF_NODE
        self._shed = metrics.shed

    def check(self, seconds: float, searches: int = 0) -> None:
        """Raise ApiError 503 (overloaded) if the loop runs later than that, or so many searches are under way."""
        if searches < self._most_searches and not self.delay.is_longer(seconds):
            return
        self._shed.inc()
        wait = random.randint(1, _LONGEST_WAIT)  # noqa: S311  spreads retries, no secret
        detail = f"more requests come than this service can answer; try again in {wait} s"
        raise ApiError(503, "overloaded", detail, headers={"Retry-After": str(wait)})


class LoadShedding:
    """Answers 503 `overloaded` while the loop runs far too late; what watches the service is always answered."""

    def __init__(self, app: ASGIApp, overload: Overload) -> None:
        self._app = app
        self._overload = overload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and not scope["path"].startswith(_NEVER_REFUSED):
            try:
                self._overload.check(MOST_SECONDS)
            except ApiError as error:
                return await error.response()(scope, receive, send)
        return await self._app(scope, receive, send)
