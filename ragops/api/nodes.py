"""The nodes of the vector store: whose turn it is, which ones are left out, and how they come back."""

from __future__ import annotations

import asyncio
import itertools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.api.logs import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from ragops.api.clock import Clock
    from ragops.api.metrics import Metrics

_LOG = logging.getLogger(__name__)
LEFT_OUT_SECONDS = 5.0


@dataclass
class Node:
    """One node; from `out_until` on, by the monotonic clock, it may be looked at again. None: it takes its turns."""

    url: str
    out_until: float | None = None
    looked_at: bool = False


class Nodes:
    """Hands out nodes in turn. One that failed is left out at once, and comes back only when a look at it went well.

    No request waits for that look, so that none is spent on finding out whether a dead node is still dead. `look`
    says whether a node answers; it must end by itself within a short time.
    """

    def __init__(
        self, urls: Sequence[str], look: Callable[[Node], Awaitable[bool]], clock: Clock, metrics: Metrics
    ) -> None:
        self._nodes = [Node(url.rstrip("/")) for url in urls]
        self._look = look
        self._clock = clock
        self._metrics = metrics
        self._turn = itertools.count()
        self._looks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._nodes)

    def in_turn(self) -> Iterator[Node]:
        """The nodes from the one whose turn it is, those that are left out last; round and round."""
        self._look_again()
        start = next(self._turn) % len(self._nodes)
        turn = self._nodes[start:] + self._nodes[:start]
        return itertools.cycle(sorted(turn, key=lambda node: node.out_until or 0.0))

    def leave_out(self, node: Node, reason: str) -> None:
        """It failed: no turns for some seconds, and none before it was seen well."""
        node.out_until = self._clock.monotonic() + LEFT_OUT_SECONDS
        self._metrics.node_failures.labels(node.url).inc()
        log(
            _LOG, logging.WARNING, "qdrant_node_failed", node=node.url, reason=reason, left_out_seconds=LEFT_OUT_SECONDS
        )

    def take_back(self, node: Node) -> None:
        """It answered."""
        if node.out_until is not None:
            node.out_until = None
            log(_LOG, logging.INFO, "qdrant_node_back", node=node.url)

    def left_out(self) -> list[str]:
        """The URLs of those that get no turns at the moment."""
        return [node.url for node in self._nodes if node.out_until is not None]

    async def close(self) -> None:
        """End the looks that are under way."""
        looks = list(self._looks)
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)

    def _look_again(self) -> None:
        now = self._clock.monotonic()
        for node in self._nodes:
            if node.out_until is not None and node.out_until <= now and not node.looked_at:
                node.looked_at = True
                task = asyncio.create_task(self._look_at(node))
                self._looks.add(task)
                task.add_done_callback(self._looks.discard)

    async def _look_at(self, node: Node) -> None:
        try:
            if await self._look(node):
                self.take_back(node)
            else:
                node.out_until = self._clock.monotonic() + LEFT_OUT_SECONDS
        finally:
            node.looked_at = False
