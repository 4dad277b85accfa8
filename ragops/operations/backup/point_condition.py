"""Conditions of a good recovery point: the platform is not down when it is taken, and nothing was lost before.

Down is what the probe of a service that holds data calls down, and a store that lacks what another one lists. Lost is
what the last good recovery point or restore had, and is gone altogether. What is merely degraded counts.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ragops.adapters.background import BackgroundTask
from ragops.errors import RagopsError, UnhealthyError
from ragops.operations.observe import consistency
from ragops.operations.restore.compare import expected
from ragops.recovery.local_history import History
from ragops.services import by_name
from ragops.services.contract import Check, Status
from ragops.services.timescaledb.schema.detection import FOREIGN_HINT
from ragops.services.timescaledb.schema.digest import schema_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ragops.operations.session import Session
    from ragops.recovery.manifest import ManifestPart
    from ragops.recovery.point import RecoveryPoint
    from ragops.services.contract import Endpoint, ProbeResult

_SECONDS = 30.0  # at night a machine may have much to do
_MIGRATIONS = "rag.schema_migrations"
_TABLES = ("rag.collections", "rag.documents", "rag.chunks")


@dataclass(frozen=True)
class Findings:
    """What is `down` and what is `lost`, as text, and the `digest` of the database's schema, empty if not known."""

    down: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    digest: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """All that keeps a recovery point from being a good one."""
        return (*self.down, *self.lost)


@dataclass(frozen=True)
class Condition:
    """Looks at the services behind `endpoints`. `held` are items by service that were there before.

    `restore_command` is the command that brings the newest good recovery point back, empty if there is none.
    """

    endpoints: Mapping[str, Endpoint]
    held: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    restore_command: str = ""

    def require_answers(self, services: Sequence[str]) -> None:
        """Raise UnhealthyError (service_down) if one of the services cannot be reached: nothing could be taken."""
        for probe in self._probes(services):
            if probe.service not in services:
                continue
            first = probe.checks[0] if probe.checks else Check("answer", Status.DOWN, "no answer")
            if first.status is Status.DOWN:
                what = f"cannot take a recovery point: {probe.service} is down: {first.detail}"
                raise UnhealthyError("service_down", what, self._hint(first))

    def look(self, services: Sequence[str], parts: Iterable[ManifestPart]) -> Findings:
        """Return what is down now, and what is lost in the `parts` that were taken of the `services`."""
        down = tuple(
            f"{probe.service}: {check.detail}"
            for probe in self._probes(services)
            for check in probe.checks
            if check.status is Status.DOWN and check.hint != FOREIGN_HINT  # data of others are whole as they are
        )
        lost = tuple(losses(self.held, held_by(parts)))
        return Findings(down, lost, self._digest() if "timescaledb" in services else "")

    def _digest(self) -> str:
        try:
            return schema_digest(self.endpoints["timescaledb"])
        except RagopsError:
            return ""

    def _probes(self, services: Sequence[str]) -> list[ProbeResult]:
        jobs = [
            BackgroundTask(lambda name=name: by_name(name).probe(self.endpoints[name], _SECONDS), f"probe-{name}")  # type: ignore[misc]
            for name in services
        ]
        if consistency.can_compare({name: self.endpoints[name] for name in services}):
            jobs.append(BackgroundTask(lambda: consistency.probe(self.endpoints, _SECONDS), "probe-contents"))
        return [job.result() for job in jobs]

    def _hint(self, check: Check) -> str:
        more = f"; if its data are gone: {self.restore_command}" if self.restore_command else ""
        return f"{check.hint or 'see `ragops health`'}{more}"


def held_by(parts: Iterable[ManifestPart]) -> dict[str, dict[str, int]]:
    """Items by service and kind, in the terms of a live service."""
    by_service: dict[str, list[ManifestPart]] = {}
    for part in parts:
        by_service.setdefault(part.service, []).append(part)
    return {service: expected(its) for service, its in by_service.items()}


def losses(before: Mapping[str, Mapping[str, int]], now: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return what was there before and is gone altogether, of the services in `now`."""
    found = []
    for service, counts in now.items():
        earlier = before.get(service, {})
        found += [f"{service}: {words}" for words in _LOOKS.get(service, _nothing)(earlier, counts)]
    return found


def schema_lost(before: Mapping[str, Mapping[str, int]], applied: int) -> bool:
    """Whether a database in which `applied` migrations are recorded had a schema before and has none now."""
    return not applied and bool(before.get("timescaledb", {}).get(_MIGRATIONS))


def _nothing(_before: Mapping[str, int], _now: Mapping[str, int]) -> list[str]:
    return []


def _database(before: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    had, has = before.get(_MIGRATIONS, 0), now.get(_MIGRATIONS, 0)
    if had and not has:
        return [f"the rag schema is gone, which had {had} migrations"]
    found = [f"the rag schema is an older one: it has {has} migrations, it had {had}"] if has < had else []
    return found + [
        f"all {before[table]:,} rows of {table} are gone"
        for table in _TABLES
        if before.get(table) and not now.get(table)
    ]


def _vectors(before: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    had, has = (sum(number for kind, number in counts.items() if kind.endswith(".points")) for counts in (before, now))
    return [f"all {had:,} points are gone"] if had and not has else []


def _keys(before: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    """Keys that expire may go; those that never do are not a cache's."""
    had, has = (counts.get("keys", 0) - counts.get("expires", 0) for counts in (before, now))
    return [f"all {had:,} keys that never expire are gone"] if had > 0 and has <= 0 else []


_LOOKS = {"timescaledb": _database, "qdrant": _vectors, "redis": _keys}


def newest_good(session: Session) -> RecoveryPoint | None:
    """Return the newest trusted point that may be `latest`, of the first repository that has one, else None."""
    repos = session.repositories()
    trusted = repos.trusted_keys()
    for repository in repos.members:
        with contextlib.suppress(RagopsError):
            for point in repository.list_cached().points:
                if point.is_good_for(trusted):
                    return point
    return None


def restore_command(session: Session, ident: str = "") -> str:
    """Return the command that restores the newest good point (`ident`, if it is known), empty if there is none.

    Without asking a repository: a hint is no reason to wait for one.
    """
    if not ident:
        with contextlib.suppress(RagopsError):  # `ragops health backup` reports a damaged history
            ident = History(session.project.paths.history).read().good
    return f"`ragops restore {ident}`" if ident else ""


def held(session: Session) -> Mapping[str, Mapping[str, int]]:
    """Items by service and kind that the platform had at the last good recovery point or restore, as far as noted."""
    return History(session.project.paths.history).read().counts


def condition_of(session: Session, *, accept_loss: bool = False) -> Condition:
    """Return what a backup of the session's platform is judged by; with `accept_loss` nothing counts as lost."""
    point = newest_good(session)
    before: Mapping[str, Mapping[str, int]] = {}
    if not accept_loss:
        begun_new = History(session.project.paths.history).read().is_new_platform
        before = held(session)
        if not before and point and not begun_new:
            before = held_by(point.manifest.parts)
    return Condition(session.endpoints(), before, restore_command(session, point.id if point else ""))
