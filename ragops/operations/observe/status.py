"""What runs and where, and how applications connect to it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.services import SERVICES, by_name

if TYPE_CHECKING:
    from ragops.operations.session import Session
    from ragops.runtimes.contract import Instance
    from ragops.services.contract import Endpoint

MASK = "********"


@dataclass(frozen=True)
class ServiceStatus:
    """One instance of a service as it is now; `uptime` in seconds and `memory` in bytes are 0 if it does not run.

    `ident` is what its runtime knows it by: a pid, a container's id.
    """

    service: str
    instance: str
    title: str
    version: str
    runtime: str
    state: str
    address: str
    ident: str
    image: str
    uptime: float
    memory: int


@dataclass(frozen=True)
class PlatformStatus:
    """All services of an environment."""

    name: str
    environment: str
    services: tuple[ServiceStatus, ...]


def status(session: Session) -> PlatformStatus:
    """Look at everything that was provisioned."""
    settings, paths = session.project.settings, session.project.paths
    endpoints = tuple(session.endpoints().values())
    with ThreadPoolExecutor(max_workers=len(SERVICES)) as pool:  # Docker takes a second to report a container's memory
        observed = tuple(pool.map(session.host.observe, endpoints))
    services = tuple(
        _line(endpoint, instance) for endpoint, found in zip(endpoints, observed, strict=True) for instance in found
    )
    return PlatformStatus(settings.name, paths.environment, services)


def _line(endpoint: Endpoint, instance: Instance) -> ServiceStatus:
    service = by_name(endpoint.service)
    own = service.titles.get(endpoint.engine, endpoint.engine), endpoint.version
    title, version = service.instance_title(endpoint, instance.name) or own
    return ServiceStatus(
        service=endpoint.service,
        instance=instance.name,
        title=title,
        version=version,
        runtime=endpoint.runtime,
        state=instance.state,
        address=instance.address,
        ident=instance.ident,
        image=instance.image,
        uptime=instance.uptime,
        memory=instance.memory,
    )


def outputs(session: Session, *, show_secrets: bool) -> dict[str, str]:
    """Return connection settings of the application's login by environment variable; passwords masked by default."""
    values: dict[str, str] = {}
    for name, endpoint in session.endpoints().items():
        login = endpoint.logins.get("application")
        password = login.password.get_secret_value() if login and show_secrets else MASK
        values |= by_name(name).outputs(endpoint, password)
    return values
