"""When a search that takes longer than most is asked of a second node as well.

Source of the method: Dean and Barroso, "The Tail at Scale" (2013): after the 95th percentile, which bounds its cost.
"""

from __future__ import annotations

from collections import deque

SHARE = 0.05  # of requests, at most
_WINDOW, _ENOUGH, _RENEWED_AFTER = 256, 64, 32  # answers
_PERCENTILE = 0.95
_SAVED = 10.0  # hedges that a quiet time saves up: a node that stalls is bridged at once
_LEAST_SECONDS = 0.002


class Hedging:
    """Watches how long answers take; `delay` is None until enough of them are known."""

    def __init__(self) -> None:
        self.delay: float | None = None
        self._seconds: deque[float] = deque(maxlen=_WINDOW)
        self._new = 0
        self._budget = 0.0

    def add(self, seconds: float) -> None:
        """Record an answer, which allows SHARE of a hedge."""
        self._budget = min(_SAVED, self._budget + SHARE)
        self._seconds.append(seconds)
        self._new += 1
        if self._new >= _RENEWED_AFTER and len(self._seconds) >= _ENOUGH:
            self._new = 0
            self.delay = max(_LEAST_SECONDS, sorted(self._seconds)[int(_PERCENTILE * len(self._seconds))])

    def take(self) -> bool:
        """Return whether another node may be asked now, and count it."""
        if self._budget < 1:
            return False
        self._budget -= 1
        return True
