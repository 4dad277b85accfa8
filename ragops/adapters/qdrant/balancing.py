"""Balancing of requests over nodes, with ejection of nodes that fail and re-admission after a successful probe."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from ragops.adapters.qdrant.addresses import Address

EJECTED_SECONDS = 5.0
PROBE_SECONDS = 0.5
_HALF_LIFE = 5.0  # seconds after which what is known of a node counts half: one that was slow is tried again
_WEIGHT = 0.2  # of a new answer that was quicker than those before; a slower one counts at once
_LEAST_LATENCY = 1e-4
_MOST_SUBJECTS = 1000


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
    in_flight: int = 0
    _latency: dict[str, tuple[float, float]] = field(default_factory=dict)  # seconds, and when that was known

    def add(self, subject: str, seconds: float, now: float) -> None:
        """Record how long an answer took."""
        known = self._known(subject, now)
        if len(self._latency) >= _MOST_SUBJECTS:
            self._latency.clear()
        self._latency[subject] = max(seconds, known + _WEIGHT * (seconds - known)), now

    def cost(self, subject: str, now: float) -> float:
        """Return how long a request would take, as far as it can be known: the answers before, and what it is doing."""
        return max(_LEAST_LATENCY, self._known(subject, now)) * (self.in_flight + 1)

    def _known(self, subject: str, now: float) -> float:
        seconds, since = self._latency.get(subject, (0.0, now))
        return seconds * math.exp2((since - now) / _HALF_LIFE)


class Balancer:
    """Nodes in turn, each against another one. A node that failed is ejected, and re-admitted after a good probe.

    Of the one whose turn it is and a random other one, that which answers sooner is taken: "power of two choices" by a
    moving average of latency ("peak EWMA") and the requests under way. Latency is kept by subject, the collection: a
    node that has no replica of it asks another one, and so answers later.
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

    @property
    def has_choice(self) -> bool:
        """Whether more than one node gets requests."""
        return sum(node.ejected_until is None for node in self._nodes) > 1

    def in_turn(self, subject: str = "") -> Iterator[Node]:
        """Return the nodes from the one that is asked first, ejected ones last, without an end."""
        self._start_probes()
        start = next(self._turn) % len(self._nodes)
        turn = sorted(self._nodes[start:] + self._nodes[:start], key=lambda node: node.ejected_until or 0.0)
        choice = sum(node.ejected_until is None for node in turn)
        if choice > 1:
            now = self._monotonic()
            other = random.randrange(1, choice)  # noqa: S311  spreads requests, no secret
            if turn[other].cost(subject, now) < turn[0].cost(subject, now):
                turn[0], turn[other] = turn[other], turn[0]
        return itertools.cycle(turn)

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
