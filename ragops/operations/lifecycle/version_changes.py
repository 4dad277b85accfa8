"""Changes of version: what restarts, what is refused, and the recovery point that is taken before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress
from ragops.errors import RagopsError, UsageError
from ragops.operations.backup import create
from ragops.recovery.manifest import Kind
from ragops.services import SERVICES
from ragops.services.contract import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ragops.adapters.progress import OnProgress
    from ragops.operations.session import Platform, Session
    from ragops.services.contract import Endpoint


@dataclass(frozen=True)
class VersionChange:
    """One service that would run another version; `hint` is the way that is open if it is not `allowed`."""

    service: str
    before: str
    after: str
    allowed: bool
    detail: str
    hint: str


def version_changes(before: Mapping[str, Endpoint], wanted: Mapping[str, str]) -> tuple[VersionChange, ...]:
    """Return what differs between the versions that were provisioned and those that are wanted, in order of dependence.

    A service that changes its engine (another runtime) is no step of a version.
    """
    found = []
    for service in SERVICES:
        endpoint, after = before.get(service.name), wanted.get(service.name)
        if endpoint is None or not after or endpoint.version in ("", after):
            continue
        step = service.step(endpoint.version, after)
        found.append(VersionChange(service.name, endpoint.version, after, step.allowed, step.detail, step.hint))
    return tuple(found)


def planned(session: Session) -> tuple[VersionChange, ...]:
    """Return the changes of version that the next `up` would make; none before the first."""
    try:
        endpoints = session.endpoints()
    except RagopsError:
        return ()
    settings, traits = session.project.settings, session.host.facts.traits
    same = {name: item for name, item in endpoints.items() if item.runtime == settings.runtime}
    wanted = {
        service.name: service.version(settings.section(service.name), traits)
        for service in SERVICES
        if service.name in same
    }
    return version_changes(same, wanted)


def refuse(changes: Iterable[VersionChange]) -> None:
    """Raise UsageError (version_refused) for the first change that is not allowed."""
    for change in changes:
        if not change.allowed:
            what = f"{change.service} {change.before} → {change.after} is refused: {change.detail}"
            raise UsageError("version_refused", what, change.hint)


_SERVICES = ("timescaledb", "qdrant")  # those whose data an older version does not read any more
_PROBE_SECONDS = 5.0


def save_before(session: Session, changes: Iterable[VersionChange], on_progress: OnProgress) -> str:
    """Take a recovery point of the database and of Qdrant, whichever is to change its version; its id, else empty.

    Nothing is taken of a service that is down, nor again by a run that continues an upgrade. Raises RagopsError if it
    could not be taken: nothing was changed then.
    """
    wanted = {one.service: one for one in changes if one.service in _SERVICES and one.allowed}
    if not wanted:
        return ""
    journal = session.upgrade_journal()
    unfinished = journal.read()
    if (qdrant := wanted.get("qdrant")) and unfinished and unfinished.target == qdrant.after:
        del wanted["qdrant"]
    platform = session.platform()
    services = tuple(name for name in wanted if not _is_down(session, platform, name))
    point = _take_point(session, platform, services, on_progress) if services else ""
    if "qdrant" in wanted:
        journal.begin(wanted["qdrant"].before, wanted["qdrant"].after, point if "qdrant" in services else "")
    return point


def _is_down(session: Session, platform: Platform, name: str) -> bool:
    from ragops.services import by_name

    checks = by_name(name).probe(platform.endpoint(name), _PROBE_SECONDS).checks
    if checks and checks[0].status is not Status.DOWN:
        return False
    session.notice(f"{name} is down: no recovery point was taken before its version changes")
    return True


def _take_point(session: Session, platform: Platform, services: tuple[str, ...], on_progress: OnProgress) -> str:
    request = create.BackupRequest(kind=Kind.SAFETY, services=services)
    try:
        taken = create.run(
            platform, session.repositories().without_copies(), request, locker=session.locker(), on_progress=on_progress
        )
    except RagopsError as error:
        error.hint = f"no recovery point could be taken before the upgrade, and nothing was changed. {error.hint}"
        raise
    what = f"recovery point of {' and '.join(services)} before the version changes"
    on_progress(Progress(taken.point.id, what, final=True))
    return taken.point.id
