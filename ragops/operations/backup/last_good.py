"""The newest good recovery point, as hints and looks at what was lost need it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ragops.errors import RagopsError
from ragops.operations.backup.point_condition import Condition, held_by
from ragops.recovery.local_history import History

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.operations.session import Session
    from ragops.recovery.point import RecoveryPoint


def newest_good(session: Session) -> RecoveryPoint | None:
    """Return the newest trusted point that may be `latest`, of the first repository that has one, else None."""
    repos = session.repositories()
    trusted = repos.trusted_keys()
    for repository in repos.members:
        with contextlib.suppress(RagopsError):
            for point in repository.list_cached().points:
                if point.manifest.is_good and point.signed.signature.key in trusted and not point.find_faults():
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
