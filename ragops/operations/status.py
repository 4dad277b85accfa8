"""What runs and where, and how applications connect to it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ragops.adapters.logs import follow, read_tail
from ragops.errors import UsageError
from ragops.runtimes.observe import read_record, read_spec, state_of
from ragops.runtimes.process_spec import ProcessSpec
from ragops.runtimes.supervise import log_path
from ragops.services import SERVICES, by_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.operations.session import Session
    from ragops.services.contract import Endpoint

MASK = "********"


@dataclass(frozen=True)
class ServiceStatus:
    """One service as it is now; `uptime` in seconds and `memory` in bytes are 0 where it does not run."""

    service: str
    title: str
    version: str
    runtime: str
    state: str
    address: str
    pid: int
    uptime: float
    memory: int


@dataclass(frozen=True)
class PlatformStatus:
    """All services of an environment."""

    name: str
    environment: str
    services: tuple[ServiceStatus, ...]


def status(session: Session) -> PlatformStatus:
    """Look at every provisioned service's process."""
    settings, paths = session.project.settings, session.project.paths
    services = tuple(_one(endpoint) for endpoint in session.endpoints().values())
    return PlatformStatus(settings.name, paths.environment, services)


def _one(endpoint: Endpoint) -> ServiceStatus:
    run_dir = Path(endpoint.handle)
    props = read_spec(run_dir)
    state = state_of(run_dir, {endpoint.service: endpoint.port}, ProcessSpec.recorded_digests(props))
    record = read_record(run_dir)
    alive = record is not None and record.alive
    return ServiceStatus(
        service=endpoint.service,
        title=by_name(endpoint.service).title,
        version=endpoint.version,
        runtime=endpoint.runtime,
        state=state,
        address=f"{endpoint.host}:{endpoint.port}",
        pid=record.pid if record and alive else 0,
        uptime=max(0.0, time.time() - record.started) if record and alive else 0.0,
        memory=_memory(record.pid) if record and alive else 0,
    )


def _memory(pid: int) -> int:
    """Resident memory of a process and its children, in bytes; shared pages count for each of them."""
    try:
        process = psutil.Process(pid)
        return sum(item.memory_info().rss for item in (process, *process.children(recursive=True)))
    except psutil.Error:
        return 0


def outputs(session: Session, *, show_secrets: bool) -> dict[str, str]:
    """Connection settings of the application's login by environment variable; passwords masked unless asked for."""
    values: dict[str, str] = {}
    for name, endpoint in session.endpoints().items():
        login = endpoint.logins.get("application")
        password = login.password.get_secret_value() if login and show_secrets else MASK
        values |= by_name(name).outputs(endpoint, password)
    return values


def logs(session: Session, service: str, lines: int, *, following: bool) -> Iterator[str]:
    """The last `lines` lines of a service's log, then what is appended if `following`.

    Raises UsageError (unknown_service), MissingError (not_provisioned) where it never ran.
    """
    known = [item.name for item in SERVICES]
    if service not in known:
        raise UsageError("unknown_service", f"there is no service {service!r}", f"one of: {', '.join(known)}")
    path = log_path(session.project.paths.run_dir(service), service)
    if not path.exists():
        session.endpoints()  # raises before the first `up`
    last, position = read_tail(path, lines)
    yield from last
    if following:
        yield from follow(path, position)
