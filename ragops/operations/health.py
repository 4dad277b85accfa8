"""All probes at once, each with a deadline."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.services import SERVICES, by_name
from ragops.services.contract import Check, ProbeResult, Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from ragops.operations.session import Session

DEFAULT_TIMEOUT = 5.0


@dataclass(frozen=True)
class Health:
    """What every probe found; `seconds` is the time of all of them together."""

    probes: tuple[ProbeResult, ...]
    seconds: float

    @property
    def status(self) -> Status:
        """The worst of all."""
        order = list(Status)
        return max((probe.status for probe in self.probes), key=order.index, default=Status.OK)


def check(session: Session, services: Sequence[str] = (), timeout: float = DEFAULT_TIMEOUT) -> Health:
    """Probe the live services; never longer than `timeout` seconds and a moment."""
    endpoints = session.endpoints(services)
    started = time.monotonic()
    pool = ThreadPoolExecutor(max_workers=len(SERVICES), thread_name_prefix="probe")
    running = {name: pool.submit(by_name(name).probe, endpoint, timeout) for name, endpoint in endpoints.items()}
    deadline = started + timeout
    probes = tuple(_result(name, future, deadline, timeout) for name, future in running.items())
    pool.shutdown(wait=False, cancel_futures=True)
    return Health(probes, time.monotonic() - started)


def _result(name: str, future: Future[ProbeResult], deadline: float, timeout: float) -> ProbeResult:
    try:
        return future.result(timeout=max(0.0, deadline - time.monotonic()) + 0.1)
    except FutureTimeoutError:
        late = Check("deadline", Status.DOWN, f"no answer within {timeout:.0f} s", f"`ragops logs {name}`")
        return ProbeResult(name, (late,), timeout)
