"""Calls for the same thing that overlap are one call, whose result or error all callers get."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """The calls that run, by key. A call continues when a caller is cancelled: others may wait for it."""

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[T]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._running

    async def run(self, key: Hashable, function: Callable[[], Coroutine[object, object, T]]) -> T:
        """Return what the running call for `key` returns; begin it with `function` if there is none."""
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(function())
            task.add_done_callback(lambda ended: self._end(key, ended))
        return await asyncio.shield(task)

    def forget(self) -> None:
        """Have callers from now on begin calls of their own: what runs may have seen what was before a change."""
        self._running.clear()

    def _end(self, key: Hashable, task: asyncio.Task[T]) -> None:
        if self._running.get(key) is task:
            del self._running[key]
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain where all callers have left
