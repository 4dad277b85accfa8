"""The wait until API and gateway answer: a restore ends connections, which opens breakers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ragops.adapters import cancellation
from ragops.adapters.progress import Progress, ignore_progress
from ragops.errors import UnhealthyError
from ragops.operations.observe.health import check

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.operations.session import Session

SECONDS = 90.0  # a breaker that has opened tries again after 30 s by default
_DOOR = ("api", "gateway")
_SERVICES = ("timescaledb", *_DOOR)
_NOT_OURS = ("ollama", "chat", "tokens", "embedder", "certificate")  # what no restore touches
_PAUSE = 0.3
_LEAST = 3


def wait_for_answers(
    session: Session, seconds: float = SECONDS, on_progress: Callable[[Progress], None] = ignore_progress
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


def require_answers(session: Session, done: str, on_progress: Callable[[Progress], None] = ignore_progress) -> None:
    """Raise UnhealthyError (api_does_not_answer) if they do not answer in time; `done` is done all the same."""
    if faults := wait_for_answers(session, on_progress=on_progress):
        rows = "".join(f"\n  {fault}" for fault in faults)
        what = f"{done}, but the API does not answer through the gateway after {SECONDS:.0f} s:{rows}"
        raise UnhealthyError("api_does_not_answer", what, "`ragops health` says what it lacks, `ragops logs api` why")


def _faults(session: Session, services: list[str]) -> tuple[str, ...]:
    found = check(session, services).unsettled
    return tuple(
        f"{service}: {item.name}: {item.detail}"
        for service, item in found
        if service in _DOOR and not item.name.endswith(_NOT_OURS)
    )
