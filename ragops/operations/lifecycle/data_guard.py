"""Keeps an empty data folder from being taken for a new platform: the disk of its data may not be mounted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from ragops.errors import MissingError
from ragops.operations.backup.point_condition import newest_good
from ragops.recovery.local_history import History
from ragops.services import SERVICES

if TYPE_CHECKING:
    from ragops.operations.session import Session
    from ragops.recovery.point import RecoveryPoint


class Empty(Enum):
    """What is to become of services whose data are gone: refused, filled by a restore that follows, or begun empty."""

    REFUSE = "refuse"
    FILL = "fill"
    FRESH = "fresh"


@dataclass(frozen=True)
class Lost:
    """Services without data that had some, and the newest good recovery point if there is one.

    `here` states that they had them on this machine, else only the recovery point states that there was a platform.
    """

    services: tuple[str, ...]
    point: RecoveryPoint | None
    here: bool


def lost_data(session: Session) -> Lost | None:
    """Return what has lost its data, None if nothing has. A repository is asked only if a service has no data."""
    lacking = [name for name in _services() if session.host.lacks_data(name)]
    if not lacking:
        return None
    history = History(session.project.paths.history).read()
    noted = [name for name in lacking if name in history.data]
    point = newest_good(session)
    if point is None or history.is_new_platform:  # it was begun on purpose: what older points hold is not missed
        return Lost(tuple(noted), point, here=True) if noted else None
    held = [name for name in lacking if name in noted or point.manifest.parts_of(name)]
    return Lost(tuple(held), point, here=bool(noted)) if held else None


def guard(session: Session, empty: Empty) -> None:
    """Decide whether `up` may continue. Raises MissingError (data_gone)."""
    if empty is Empty.REFUSE:
        refuse_lost_data(session)
    elif empty is Empty.FRESH and (lost := lost_data(session)):
        history = History(session.project.paths.history)
        history.record_new_platform(lost.services if set(history.read().counts) - set(lost.services) else None)


def refuse_lost_data(session: Session) -> None:
    """Raise MissingError (data_gone) if `up` would start services empty that had data."""
    lost = lost_data(session)
    if lost is None:
        return
    names = ", ".join(lost.services)
    what = f"cannot start {names} empty: the data are gone from {session.host.data_location}"
    if not lost.here and lost.point:
        what = (
            f"cannot start a new platform: there are no data of {names} in {session.host.data_location}, and"
            f" {lost.point.store.name} has recovery points of this environment, the newest good one is {lost.point.id}"
        )
    raise MissingError("data_gone", what, _hint(lost))


def _hint(lost: Lost) -> str:
    fresh = "to begin without those data: `ragops up --fresh`"
    if lost.point is None:
        return f"mount the disk of the data, or put them back from your copy; {fresh}"
    some = [name for name in _services() if lost.point.manifest.parts_of(name)]
    which = "".join(f" --service {name}" for name in lost.services) if set(lost.services) < set(some) else ""
    back = f"to bring back the newest recovery point: `ragops restore {lost.point.id}{which}`"
    return f"mount the disk of the data; {back}; {fresh}"


def note_data(session: Session) -> None:
    """Keep which services have data here, for later looks. Raises RagopsError."""
    have = [name for name in _services() if not session.host.lacks_data(name)]
    History(session.project.paths.history).record_data(have)


def _services() -> tuple[str, ...]:
    return tuple(service.name for service in SERVICES if service.backup() is not None)
