"""The health of a platform after a change, once it has settled."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ragops.errors import UnhealthyError
from ragops.operations.observe import consistency
from ragops.operations.observe.health import check
from ragops.services.contract import Status

if TYPE_CHECKING:
    from ragops.operations.observe.health import Health
    from ragops.operations.session import Session

_SETTLE = 20.0  # seconds; a busy machine takes its time


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
