"""Takes recovery points, lists and verifies them. The caller holds the backup lock and writes the audit line."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import ragops
from ragops.errors import MissingError
from ragops.recovery.manifest import Kind
from ragops.services import SERVICES, backup_engine
from ragops.services.contract import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ragops.recovery.manifest import ManifestPart
    from ragops.recovery.repository import Draft, Listing, RecoveryPoint, Repository
    from ragops.services.contract import Control, Endpoint, Service

PLATFORM = "platform"  # the parts that belong to no service


@dataclass(frozen=True)
class Platform:
    """The opened platform: its name, runtime, ragops.yaml, and how to reach and control its services by name."""

    name: str
    runtime: str
    config: Path
    endpoints: Mapping[str, Endpoint]
    control_of: Callable[[Endpoint], Control]

    def endpoint(self, service: str) -> Endpoint:
        """The endpoint of `service`. Raises MissingError (not_provisioned)."""
        if service not in self.endpoints:
            raise MissingError("not_provisioned", f"{service} is not provisioned here", "run `ragops up` first")
        return self.endpoints[service]

    def services(self) -> tuple[Service, ...]:
        """The provisioned services in the order that keeps references whole: metadata first."""
        found = (service for service in SERVICES if service.name in self.endpoints)
        return tuple(service for service in found if service.backup() is not None)


@dataclass(frozen=True)
class VerifyResult:
    """A recovery point that held; `deep` says whether the engines read it, `extra_files` what it should not have."""

    point: RecoveryPoint
    deep: bool
    extra_files: tuple[str, ...]


def silent(step: str) -> None:
    """Progress that nobody wants to see."""


def run(
    platform: Platform,
    repository: Repository,
    *,
    kind: Kind = Kind.BACKUP,
    services: Sequence[str] | None = None,
    on_step: Callable[[str], None] = silent,
) -> RecoveryPoint:
    """Take a recovery point of `services` (None: all); when it returns, the engines have read back every part.

    Raises RagopsError; nothing that looks like a recovery point is left then.
    """
    chosen = [service for service in platform.services() if services is None or service.name in services]
    if not chosen:
        raise MissingError("not_provisioned", "there is no service to back up", "run `ragops up` first")
    with repository.begin() as draft:
        for service in chosen:
            on_step(f"{service.name}: dump and read back")
            endpoint = platform.endpoint(service.name)
            folder = draft.folder_of(service.name)
            draft.add(service.name, backup_engine(service.name).dump(endpoint, platform.control_of(endpoint), folder))
        _add_config(draft, platform.config)
        return draft.publish(platform.name, platform.runtime, kind)


def _add_config(draft: Draft, config: Path) -> None:
    instant = datetime.now(tz=UTC)
    shutil.copyfile(config, draft.folder_of(PLATFORM) / config.name)
    draft.add(PLATFORM, (Part(config.name, instant, {}, {"ragops": ragops.__version__}),))


def list_points(repository: Repository) -> Listing:
    """All recovery points, newest first, and what cannot be read as one."""
    return repository.list()


def verify(
    platform: Platform | None,
    repository: Repository,
    reference: str = "latest",
    *,
    on_step: Callable[[str], None] = silent,
) -> VerifyResult:
    """Compare sizes and checksums; let each engine of `platform` read its parts too, unless it is None.

    Raises IntegrityError.
    """
    point = repository.get(reference)
    on_step(f"{point.id}: sizes and checksums")
    point.check()
    if platform:
        read_parts(platform, point, [service.name for service in SERVICES], on_step)
    return VerifyResult(point, platform is not None, point.extra_files())


def read_parts(
    platform: Platform, point: RecoveryPoint, services: Sequence[str], on_step: Callable[[str], None]
) -> None:
    """Let the engines read the parts of `services`. Raises IntegrityError, MissingError (not_provisioned)."""
    for name in services:
        for part in point.manifest.of(name):
            on_step(f"{name}: read {part.name}")
            control = platform.control_of(platform.endpoint(name))
            backup_engine(name).verify(point.folder / name, engine_part(part), control)


def engine_part(part: ManifestPart) -> Part:
    """The part as its engine knows it."""
    return Part(part.name, part.instant, part.counts, part.versions)
