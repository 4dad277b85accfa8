"""Retention: keep the newest point of each of so many days, weeks and months, and protected ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ragops.recovery.manifest import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from ragops.config.backup import KeepSettings
    from ragops.recovery.point import RecoveryPoint


@dataclass(frozen=True)
class Decision:
    """The decision about a recovery point, and its reason."""

    point: RecoveryPoint
    keep: bool
    reason: str


def apply_policy(
    points: Sequence[RecoveryPoint], rule: KeepSettings, trusted: Collection[str], protected: Collection[str] = ()
) -> tuple[Decision, ...]:
    """Return a decision for each of `points`, which come newest first.

    Days, weeks (ISO 8601) and months are of UTC. Only whole ones that we trust fill them, of a platform that was not
    down; the newest is the first in their order, not by the clock. `protected` are ids that something still needs.
    """
    good = [point for point in points if point.is_good_for(trusted)]
    reasons = _reasons(good, rule)
    span = timedelta(days=max(rule.daily, 1))
    needed = {point.id: why for point in points if (why := _why_needed(point, points[0], span))}
    needed |= _newest_of_services(points, trusted)
    judged = (_decide(point, reasons, needed, trusted, protected) for point in points)
    return tuple(judged) if good else tuple(Decision(point, True, "there is no good one yet") for point in points)


def _newest_of_services(points: Sequence[RecoveryPoint], trusted: Collection[str]) -> dict[str, str]:
    """Return why points are the only way back of a service: the newest good one with it, and those of its versions.

    A service that went to another version since is not in a good one yet: what was taken before, a safety point
    too, stays until it is, since no other version reads that.
    """
    found: dict[str, str] = {}
    for service in dict.fromkeys(part.service for point in points for part in point.manifest.parts):
        seen: set[object] = set()
        for point in points:
            parts = point.manifest.parts_of(service)
            if not parts or not point.is_whole_for(trusted):
                continue
            version = tuple(sorted({item for part in parts for item in part.versions.items()}))
            if version not in seen:
                seen.add(version)
                name = ", ".join(f"{engine} {number}" for engine, number in version) or service
                found[point.id] = f"the newest of {name}; there is no good one after it yet"
            if point.is_good_for(trusted):
                break
    return found


def _why_needed(point: RecoveryPoint, newest: RecoveryPoint, span: timedelta) -> str:
    """Return why a point that fills no day is still needed so soon after it; a clock that jumped keeps more."""
    if newest.manifest.created - point.manifest.created >= span:
        return ""
    if point.manifest.kind is Kind.SAFETY:
        return "the safety point of a restore"
    return "taken of a platform that was down; it fills no day" if point.manifest.unhealthy else ""


def _reasons(good: Sequence[RecoveryPoint], rule: KeepSettings) -> dict[str, str]:
    """Return the reasons of all points that fill a day, week or month."""
    found: dict[str, list[str]] = {point.id: ["the newest good one"] for point in good[:1]}
    periods: tuple[tuple[int, str, Callable[[datetime], object]], ...] = (
        (rule.daily, "day", lambda at: at.date()),
        (rule.weekly, "week", lambda at: at.isocalendar()[:2]),
        (rule.monthly, "month", lambda at: (at.year, at.month)),
    )
    for count, name, period in periods:
        newest: dict[object, RecoveryPoint] = {}
        for point in good:
            newest.setdefault(period(point.manifest.created), point)
        for point in list(newest.values())[:count]:
            found.setdefault(point.id, []).append(f"the newest of its {name}")
    return {ident: ", ".join(dict.fromkeys(why)) for ident, why in found.items()}


def _decide(
    point: RecoveryPoint,
    reasons: dict[str, str],
    needed: Mapping[str, str],
    trusted: Collection[str],
    protected: Collection[str],
) -> Decision:
    if point.is_pinned:
        return Decision(point, True, "marked keep")
    if point.id in protected:
        return Decision(point, True, "the last one taken here, or an interrupted restore needs it")
    if point.id in reasons:
        return Decision(point, True, reasons[point.id])
    if point.signed.signature.key not in trusted:
        return Decision(point, True, "signed with another key: not ours to remove")
    if point.id in needed:
        return Decision(point, True, needed[point.id])
    return Decision(point, False, "damaged" if point.find_faults() else "beyond what is kept")
