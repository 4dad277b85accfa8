"""repair: the engine's own repair of damaged data, on a copy first; and the signs that it is due."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ragops.errors import RagopsError, UnhealthyError, UsageError
from ragops.services import refuse_unknown
from ragops.services.contract import Check, Status
from ragops.services.redis.backup import put_in_place
from ragops.services.redis.repair import Repaired, in_log, rescue
from ragops.services.redis.scratch_client import info, operator_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from ragops.operations.session import Session
    from ragops.services.contract import Endpoint, ProbeResult

_SECONDS = 10.0
_LOG_LINES = 200


@dataclass(frozen=True)
class RepairResult:
    """What a repair came to: `faults` of the data (none: nothing was to be done), what they were made from, their loss.

    `seconds` and `size` (bytes) are what was written after `instant` and is lost; `kept` states where the old data are.
    `changed` states whether anything was put in place.
    """

    service: str
    faults: tuple[str, ...]
    source: str = ""
    counts: Mapping[str, int] | None = None
    instant: datetime | None = None
    seconds: float = 0.0
    size: int = 0
    kept: str = ""
    changed: bool = False


def refuse_unrepairable(service: str) -> None:
    """Raise UsageError for a service that has no repair."""
    refuse_unknown([service])
    if service != "redis":
        hint = f"bring back a recovery point: `ragops restore latest --service {service}`"
        raise UsageError("not_repairable", f"cannot repair {service}: its engine has no repair of data", hint)


def repair(
    session: Session, confirm: Callable[[Repaired], None], *, dry_run: bool = False, service: str = "redis"
) -> RepairResult:
    """Make data that the engine reads from damaged ones, and put them in place once `confirm` returns.

    The damaged ones are kept aside. A run that was killed is completed by the next. Raises UsageError,
    MissingError (disk_full) before anything is done, IntegrityError (not_repairable), UnhealthyError (redis_loading).
    """
    refuse_unrepairable(service)
    endpoint = session.endpoint(service)
    with session.changing():
        if _serves(endpoint):
            return RepairResult(service, ())
        control = session.host.control(endpoint)
        control.stop()  # one that starts again and again would read the files
        with rescue(control, endpoint.engine) as found:
            result = RepairResult(
                service, found.faults, found.source, found.counts, found.instant, found.seconds, found.size
            )
            if dry_run:
                return result
            if not found.faults:
                control.start()
                return result
            confirm(found)
            kept = put_in_place(endpoint, control, found.rdb, found.counts, "before-repair")
    return replace(result, kept=kept, changed=True)


def _serves(endpoint: Endpoint) -> bool:
    """Whether it has read its data. Raises UnhealthyError (redis_loading) while it does."""
    try:
        with operator_client(endpoint, _SECONDS) as client:
            loading = bool(info(client, "persistence")["loading"])
    except RagopsError as error:
        if error.code == "redis_unreachable":
            return False
        raise
    if loading:
        what = "redis still reads its data: whether they are damaged is not known yet"
        raise UnhealthyError("redis_loading", what, "wait, then see `ragops health redis`")
    return True


# --- the signs that it is due -----------------------------------------------------------------------------------------


def damage(session: Session) -> str:
    """Return what the log of Redis reports of damaged data since its last start; empty if nothing."""
    try:
        found = session.host.read_log("redis", _LOG_LINES)
        return in_log([line.text for line in found.lines] if found else ())
    except RagopsError:
        return ""


@contextmanager
def explaining(session: Session) -> Iterator[None]:
    """Raise the way out (redis_damaged) if a service of the block does not start because of damaged data."""
    try:
        yield
    except RagopsError as error:
        found = damage(session) if error.code == "service_failed" else ""
        if not found:
            raise
        raise RagopsError("redis_damaged", _words(found), _hint(session), exit_code=error.exit_code) from error


def with_damage(session: Session, probe: ProbeResult) -> ProbeResult:
    """Return the probe of Redis, with the way out if it is down for damaged data."""
    if probe.service != "redis" or probe.status is not Status.DOWN:
        return probe
    found = damage(session)
    if not found:
        return probe
    checks = [item for item in probe.checks if item.name != "reachable"]
    return replace(probe, checks=(Check("data", Status.DOWN, _words(found), _hint(session)), *checks))


def _words(found: str) -> str:
    return f"redis does not start: its data are damaged ({found})"


def _hint(session: Session) -> str:
    name = session.project.paths.environment
    option = "" if name == "default" else f" --env {name}"
    return f"see what can be read, before anything is changed: `ragops repair redis{option}`"
