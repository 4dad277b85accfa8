"""Brings a recovery point back. The caller holds the exclusive lock, asked the user, and writes the audit line."""

from __future__ import annotations

import difflib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.errors import RagopsError, UsageError
from ragops.operations import backup
from ragops.recovery.manifest import Kind
from ragops.services import SERVICES, backup_engine, by_name
from ragops.services.contract import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ragops.operations.backup import Platform
    from ragops.recovery.repository import RecoveryPoint, Repository
    from ragops.services.contract import Part

_PROBE_TIMEOUT = 5.0


@dataclass(frozen=True)
class RestoreRequest:
    """What to bring back: a recovery point by id, start of an id or `latest`; no `services` means all in it."""

    reference: str = "latest"
    services: tuple[str, ...] = ()
    safety: bool = True
    dry_run: bool = False


@dataclass(frozen=True)
class RestoredService:
    """One service: items by kind before (empty where it was down) and in the recovery point, seconds, words."""

    service: str
    before: Mapping[str, int]
    counts: Mapping[str, int]
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RestoreResult:
    """What was brought back, or would be where `dry_run`; `safety` is the recovery point taken before."""

    point: RecoveryPoint
    services: tuple[RestoredService, ...]
    safety: RecoveryPoint | None
    notes: tuple[str, ...]
    dry_run: bool


def restore(
    request: RestoreRequest,
    platform: Platform,
    repository: Repository,
    *,
    on_step: Callable[[str], None] = backup.silent,
) -> RestoreResult:
    """Check everything, then replace the services' data by the recovery point's; counts match when it returns.

    Raises before anything is touched: UsageError, IntegrityError (damaged, unreadable), MissingError (versions,
    rights, space). Raises RagopsError where a service could not be restored: its old data then serve again.
    """
    point = repository.get(request.reference)
    names = _chosen(request, point)
    on_step(f"{point.id}: sizes and checksums")
    point.check(names)
    backup.read_parts(platform, point, names, on_step)
    _preflight(platform, point, names)
    reachable = _reachable(platform, names)
    before = {name: backup_engine(name).counts(platform.endpoint(name)) for name in reachable}
    if request.dry_run:
        planned = tuple(RestoredService(name, before.get(name, {}), _counts(point, name), 0.0) for name in names)
        return RestoreResult(point, planned, None, (), dry_run=True)
    safety, notes = _save(request, platform, repository, names, reachable, on_step)
    done: list[RestoredService] = []
    for name in names:
        on_step(f"{name}: restore")
        done.append(_restore_one(platform, point, name, before.get(name, {}), _way_back(done, safety)))
    return RestoreResult(point, tuple(done), safety, notes, dry_run=False)


def refuse_unknown(names: Sequence[str]) -> None:
    """Raise UsageError (unknown_service) where one of `names` is no service, before anybody is asked."""
    known = [service.name for service in SERVICES]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            cure = f"did you mean {near[0]}?" if near else f"one of: {', '.join(known)}"
            raise UsageError("unknown_service", f"there is no service {name!r}", cure)


def _chosen(request: RestoreRequest, point: RecoveryPoint) -> list[str]:
    """The names of the services to restore, in their order of dependence."""
    held = [service.name for service in SERVICES if point.manifest.of(service.name)]
    if unknown := [name for name in request.services if name not in held]:
        what = f"recovery point {point.id} has no {', '.join(unknown)}"
        raise UsageError("not_in_recovery_point", what, f"it has {', '.join(held) or 'nothing'}")
    return [name for name in held if not request.services or name in request.services]


def _preflight(platform: Platform, point: RecoveryPoint, names: Sequence[str]) -> None:
    for name in names:
        endpoint = platform.endpoint(name)
        control = platform.control_of(endpoint)
        backup_engine(name).preflight(endpoint, control, point.folder / name, _parts(point, name))


def _reachable(platform: Platform, names: Sequence[str]) -> list[str]:
    """Those of `names` that answer and have data to speak of."""
    found = []
    for name in names:
        checks = by_name(name).probe(platform.endpoint(name), _PROBE_TIMEOUT).checks
        if checks and checks[0].status is not Status.DOWN:
            found.append(name)
    return found


def _save(
    request: RestoreRequest,
    platform: Platform,
    repository: Repository,
    names: Sequence[str],
    reachable: Sequence[str],
    on_step: Callable[[str], None],
) -> tuple[RecoveryPoint | None, tuple[str, ...]]:
    """The safety recovery point of what is reachable, and words on what is not in it."""
    if not request.safety:
        return None, ()
    notes = tuple(
        f"{name} is down: what it held is not in a safety recovery point" for name in names if name not in reachable
    )
    if not reachable:
        return None, notes
    try:
        return backup.run(platform, repository, kind=Kind.SAFETY, services=reachable, on_step=on_step), notes
    except RagopsError as error:
        error.hint = (
            f"no safety recovery point could be taken and nothing was touched; --no-safety does without. {error.hint}"
        )
        raise


def _restore_one(
    platform: Platform, point: RecoveryPoint, name: str, before: Mapping[str, int], way_back: str
) -> RestoredService:
    endpoint = platform.endpoint(name)
    started = time.monotonic()
    try:
        notes = backup_engine(name).restore(
            endpoint, platform.control_of(endpoint), point.folder / name, _parts(point, name)
        )
    except RagopsError as error:
        error.hint = f"{error.hint} {way_back}".strip()
        raise
    return RestoredService(name, before, _counts(point, name), round(time.monotonic() - started, 3), notes)


def _way_back(done: Sequence[RestoredService], safety: RecoveryPoint | None) -> str:
    """What to say of the services that were restored before one failed."""
    if not done:
        return ""
    names = ", ".join(service.service for service in done)
    back = f"; to go back: `ragops restore {safety.id}`" if safety else ""
    return f"({names} already restored{back})"


def _parts(point: RecoveryPoint, name: str) -> list[Part]:
    return [backup.engine_part(part) for part in point.manifest.of(name)]


def _counts(point: RecoveryPoint, name: str) -> dict[str, int]:
    return {kind: number for part in point.manifest.of(name) for kind, number in part.counts.items()}
