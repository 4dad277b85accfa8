"""Free ports of 127.0.0.1: every worker of pytest-xdist draws from a range of its own and gives out no port twice."""

from __future__ import annotations

import contextlib
import os
import random
import socket

_FIRST, _SIZE, _RANGES = 12000, 2500, 8  # below the ports that outgoing connections are given
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_RANDOM = random.SystemRandom()  # a test may seed the other one
_given: set[int] = set()


def free_port() -> int:
    """A port that nothing listens on; the next one is left free, which a node of Qdrant has for gRPC."""
    return free_ports(2)[0]


def free_ports(count: int) -> tuple[int, ...]:
    """`count` ports in a row that nothing listens on: three for each node of a Qdrant cluster."""
    base = _FIRST + _SIZE * (_WORKER % _RANGES)
    for _ in range(10_000):
        first = _RANDOM.randrange(base, base + _SIZE - count)
        ports = tuple(range(first, first + count))
        if not _given.intersection(ports) and _are_free(ports):
            _given.update(ports)
            if len(_given) > _SIZE // 2:
                _given.clear()
            return ports
    raise AssertionError(f"no {count} free ports between {base} and {base + _SIZE}")


def _are_free(ports: tuple[int, ...]) -> bool:
    try:
        with contextlib.ExitStack() as stack:
            for port in ports:
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
    except OSError:
        return False
    return True
