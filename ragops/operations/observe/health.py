"""All probes at once, each with a deadline."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ragops.adapters.background import BackgroundTask
from ragops.errors import RagopsError
from ragops.operations.backup import point_condition
from ragops.operations.backup.point_condition import schema_lost
from ragops.operations.observe import backup_health, consistency
from ragops.operations.restore.repair import with_damage
from ragops.services import SERVICES, by_name
from ragops.services.contract import Check, ProbeResult, Status
from ragops.services.contract.probe import SCHEMA_MISSING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.operations.session import Session
    from ragops.services.contract import Endpoint

SCHEMA_GONE = "the rag schema is gone, which the last good recovery point has"
DEFAULT_TIMEOUT = 5.0
_RUNTIME = "runtime"


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

    @property
    def lacks_schema(self) -> bool:
        """Whether the database waits for its first migration."""
        return any(
            probe.service == "timescaledb" and _is_missing_schema(item)
            for probe in self.probes
            for item in probe.checks
        )

    @property
    def unsettled(self) -> tuple[tuple[str, Check], ...]:
        """Service and check of what is not ok, without what only follows from a schema that is missing."""
        return tuple(
            (probe.service, item)
            for probe in self.probes
            for item in probe.checks
            if item.status is not Status.OK and not (self.lacks_schema and _is_about_schema(probe.service, item))
        )


def _is_missing_schema(item: Check) -> bool:
    return item.code == SCHEMA_MISSING


def _is_about_schema(service: str, item: Check) -> bool:
    """Return whether it is that finding itself, or the API's about its tables."""
    return _is_missing_schema(item) or (service == "api" and item.name in ("database", "breaker database"))


def check(session: Session, services: Sequence[str] = (), timeout: float = DEFAULT_TIMEOUT) -> Health:
    """Probe the live services; never longer than `timeout` seconds and a moment."""
    endpoints = session.endpoints(services)
    started = time.monotonic()
    # In threads that the process does not wait for at its end: a server that accepts and never answers would hold it.
    running = {name: BackgroundTask(partial(_probe, one, timeout), f"probe-{name}") for name, one in endpoints.items()}
    if not services and consistency.can_compare(endpoints):
        running[consistency.NAME] = BackgroundTask(lambda: consistency.probe(endpoints, timeout), "probe-contents")
    if session.host.facts.manager:
        running[_RUNTIME] = BackgroundTask(lambda: _drift(session, services), "probe-runtime")
    backups = None if services else BackgroundTask(lambda: backup_health.probe(session), "probe-backup")
    deadline = started + timeout
    probes = tuple(_result(name, job, deadline, timeout) for name, job in running.items())
    probes = tuple(_with_restore_command(session, with_damage(session, probe)) for probe in probes)
    if not session.host.facts.manager:
        probes = _with_lost_data(session, probes)
    if backups:
        probes += (backup_health.result(backups, deadline),)
    return Health(probes, time.monotonic() - started)


def _probe(endpoint: Endpoint, timeout: float) -> ProbeResult:
    return by_name(endpoint.service).probe(endpoint, timeout)


def _with_restore_command(session: Session, probe: ProbeResult) -> ProbeResult:
    """Return the probe with the newest good recovery point in its hints, and a lost schema as down."""
    restore_command = point_condition.restore_command(session)
    if not restore_command or all(item.status is Status.OK for item in probe.checks):
        return probe
    checks = []
    for item in probe.checks:
        if _is_missing_schema(item) and schema_lost(point_condition.held(session), 0):
            item = replace(item, status=Status.DOWN, detail=SCHEMA_GONE, hint=f"run {restore_command}", code="")
        checks.append(replace(item, hint=item.hint.replace("ragops restore latest", restore_command.strip("`"))))
    return replace(probe, checks=tuple(checks))


def _with_lost_data(session: Session, probes: tuple[ProbeResult, ...]) -> tuple[ProbeResult, ...]:
    """Return the probes with lost data: a service keeps answering for a while if its folder is gone."""
    lost = {item.service: item.now for item in session.host.drift() if item.service}
    found = []
    for probe in probes:
        if words := lost.get(probe.service):
            status = Status.DOWN if by_name(probe.service).backup() else Status.DEGRADED
            check = Check("data", status, words, "mount the disk of the data, or put them back; then `ragops up`")
            probe = replace(probe, checks=(*probe.checks, check))
        found.append(probe)
    return tuple(found)


def _drift(session: Session, services: Sequence[str]) -> ProbeResult:
    """Whether the instances are those that were provisioned, as the program that runs them reports."""
    started, instances = time.monotonic(), session.host.facts.instances
    try:
        every = session.host.drift()
        found = [item for item in every if not services or item.resource.startswith(_instances(services))]
    except RagopsError as error:
        checks = [Check(instances, Status.DOWN, error.message, error.hint)]
    else:
        checks = [Check(item.resource, Status.DEGRADED, item.now, "`ragops up` repairs it") for item in found]
    fine = Check(instances, Status.OK, "as provisioned")
    return ProbeResult(_RUNTIME, tuple(checks) or (fine,), time.monotonic() - started)


def _instances(services: Sequence[str]) -> tuple[str, ...]:
    """Return what the names of the services' instances begin with."""
    return tuple(name for service in services for name in by_name(service).instances or (service,))


def _result(name: str, job: BackgroundTask[ProbeResult], deadline: float, timeout: float) -> ProbeResult:
    if job.wait(max(0.0, deadline - time.monotonic()) + 0.1):
        return job.result()
    hint = f"`ragops logs {name}`" if name in {service.name for service in SERVICES} else "`ragops doctor`"
    late = Check("deadline", Status.DOWN, f"no answer within {timeout:.0f} s", hint)
    return ProbeResult(name, (late,), timeout)
