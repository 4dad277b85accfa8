"""The stages of an ingestion: their durations, and progress while it runs."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STAGES = ("walk", "split", "embed", "upsert", "rows")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Progress:
    """How far a collection is: files of those that `stage` (compare, store) has to do, seconds since its start.

    Of the stage `check`, which compares both stores, `files` is a number of points, and `total` is not known.

    `left` predicts the seconds until the end, by the bytes that are done; None if there is no rate yet.
    """

    collection: str
    stage: str
    files: int
    total: int
    chunks: int
    seconds: float
    left: float | None = None


class StageTimes:
    """A stopwatch for each stage; what is not inside of one is not counted.

    StageTimes that overlap, in threads of their own, are counted each: their sum may be more than the whole time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.started = time.monotonic()
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @property
    def total(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Count the time of the block to `stage`."""
        began = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[stage] += time.monotonic() - began

    def each(self, stage: str, items: Iterable[_T]) -> Iterator[_T]:
        """Count to `stage` what making the items takes, not what is done with them."""
        iterator = iter(items)
        while True:
            with self.of(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item
