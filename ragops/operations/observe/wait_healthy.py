"""Wait until a platform is healthy after a change, and until API and gateway answer after a restore."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ragops.adapters import cancellation
from ragops.adapters.progress import Progress, ignore_progress
from ragops.errors import UnhealthyError
from ragops.operations.observe import consistency
from ragops.operations.observe.health import check
from ragops.services.contract import Status

if TYPE_CHECKING:
    from ragops.adapters.progress import OnProgress
    from ragops.operations.observe.health import Health
    from ragops.operations.session import Session


_SETTLE = 20.0  # seconds; a busy machine takes its time
SECONDS = 90.0  # a breaker that has opened tries again after 30 s by default
_DOOR = ("api", "gateway")
_SERVICES = ("timescaledb", *_DOOR)
_NOT_OURS = ("ollama", "openai", "chat", "tokens", "embedder", "certificate")  # what no restore touches
_PAUSE = 0.3
_LEAST = 3


def wait_settled(session: Session) -> Health:
    """Return the health once it is ok but for the schema, or after 20 s: breakers and Envoy check at intervals."""
    deadline = time.monotonic() + _SETTLE
    while True:
        health = check(session)
        moving = [service for service, _item in health.unsettled if service != "backup"]
        if not moving or time.monotonic() > deadline:
            return health
        time.sleep(0.5)


def require_healthy(session: Session, *, changed: bool) -> Health:
    """Return the health after `up`. Raises UnhealthyError (not_healthy) if a service is down, not if it is degraded."""
    health = wait_settled(session) if changed else check(session)
    down = [
        (probe.service, item)
        for probe in health.probes
        for item in probe.checks
        if item.status is Status.DOWN and probe.service != consistency.NAME  # services that run may lack data
    ]
    if down:
        what = "; ".join(f"{service}: {item.detail}" for service, item in down)
        service, first = down[0]
        raise UnhealthyError(
            "not_healthy", f"the platform is up but not healthy: {what}", first.hint or f"see `ragops logs {service}`"
        )
    return health


def wait_for_answers(
    session: Session, seconds: float = SECONDS, on_progress: OnProgress = ignore_progress
) -> tuple[str, ...]:
    """Wait until API and gateway answer several times in a row, so that every worker does.

    Returns their faults after `seconds`, nothing if they answer or the platform has neither. A missing schema is not
    waited for.
    """
    there = [name for name in _SERVICES if name in session.endpoints()]
    if not set(there) & set(_DOOR):
        return ()
    wanted = max(_LEAST, 2 * session.project.settings.api.workers)
    started, row, faults = time.monotonic(), 0, tuple[str, ...]()
    while row < wanted:
        faults = _faults(session, there)
        row = 0 if faults else row + 1
        if faults and time.monotonic() - started > seconds:
            return faults
        if faults:
            on_progress(Progress("api", f"waiting until it answers: {faults[0]}"))
            cancellation.sleep(_PAUSE)
    on_progress(Progress("api", "answers through the gateway", final=True))
    return ()


def require_answers(session: Session, done: str, on_progress: OnProgress = ignore_progress) -> None:
    """Raise UnhealthyError (api_does_not_answer) if they do not answer in time; `done` is done all the same."""
    if faults := wait_for_answers(session, on_progress=on_progress):
        rows = "".join(f"\n  {fault}" for fault in faults)
        what = f"{done}, but the API does not answer through the gateway after {SECONDS:.0f} s:{rows}"
        raise UnhealthyError("api_does_not_answer", what, "`ragops health` shows what it lacks, `ragops logs api` why")


def _faults(session: Session, services: list[str]) -> tuple[str, ...]:
    found = check(session, services).unsettled
    return tuple(
        f"{service}: {item.name}: {item.detail}"
        for service, item in found
        if service in _DOOR and item.name.removeprefix("breaker ").partition(" ")[0] not in _NOT_OURS
    )
