"""Balancing of requests over nodes, with ejection of nodes that fail and re-admission after a successful probe."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from ragops.adapters.qdrant.addresses import Address

EJECTED_SECONDS = 5.0
PROBE_SECONDS = 0.5


class Observer(Protocol):
    """Receives the changes of a balancer."""

    def ejected(self, node: Address, reason: str) -> None:
        """Record that a node failed."""

    def readmitted(self, node: Address) -> None:
        """Record that a node that was ejected answers."""


@dataclass(eq=False)
class Node:
    """One node; `ejected_until`, by the monotonic clock, is the time of the next probe, None if it gets requests."""

    address: Address
    ejected_until: float | None = None
    is_probed: bool = False


class Balancer:
    """Nodes in turn. A node that failed is ejected at once and re-admitted after a probe that succeeded.

    No request waits for a probe, so that none is spent on a node that is still dead. `probe` returns whether a node
    answers, within about PROBE_SECONDS. `monotonic` is a clock in seconds.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        probe: Callable[[Address], Awaitable[bool]],
        monotonic: Callable[[], float],
        observer: Observer,
    ) -> None:
        self._nodes = [Node(address) for address in addresses]
        self._probe = probe
        self._monotonic = monotonic
        self._observer = observer
        self._turn = itertools.count()
        self._probes: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._nodes)

    def in_turn(self) -> Iterator[Node]:
        """Return the nodes from the one whose turn it is, ejected ones last, without an end."""
        self._start_probes()
        start = next(self._turn) % len(self._nodes)
        turn = self._nodes[start:] + self._nodes[:start]
        return itertools.cycle(sorted(turn, key=lambda node: node.ejected_until or 0.0))

    def eject(self, node: Node, reason: str) -> None:
        """Give a node that failed no requests for EJECTED_SECONDS, and none before a probe succeeded."""
        node.ejected_until = self._monotonic() + EJECTED_SECONDS
        self._observer.ejected(node.address, reason)

    def readmit(self, node: Node) -> None:
        """Give a node that answered its turns again."""
        if node.ejected_until is not None:
            node.ejected_until = None
            self._observer.readmitted(node.address)

    def ejected(self) -> list[Address]:
        """Return the nodes that get no requests at the moment."""
        return [node.address for node in self._nodes if node.ejected_until is not None]

    async def close(self) -> None:
        """End the probes that run."""
        probes = list(self._probes)
        for probe in probes:
            probe.cancel()
        await asyncio.gather(*probes, return_exceptions=True)

    def _start_probes(self) -> None:
        now = self._monotonic()
        for node in self._nodes:
            if node.ejected_until is not None and node.ejected_until <= now and not node.is_probed:
                node.is_probed = True
                task = asyncio.create_task(self._run_probe(node))
                self._probes.add(task)
                task.add_done_callback(self._probes.discard)

    async def _run_probe(self, node: Node) -> None:
        try:
            if await self._probe(node.address):
                self.readmit(node)
            else:
                node.ejected_until = self._monotonic() + EJECTED_SECONDS
        finally:
            node.is_probed = False
