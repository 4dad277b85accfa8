"""A recovery point before a database gets another version: its extension cannot be downgraded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress
from ragops.errors import RagopsError
from ragops.operations.backup import create
from ragops.recovery.manifest import Kind
from ragops.services.contract import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ragops.operations.lifecycle.version_changes import VersionChange
    from ragops.operations.session import Session

_SERVICE = "timescaledb"
_PROBE_SECONDS = 5.0


def save_before(session: Session, changes: Iterable[VersionChange], on_progress: Callable[[Progress], None]) -> str:
    """Take a recovery point of the database if its version is to change; its id, empty if it is not.

    Nothing is taken of one that is down. Raises RagopsError if it could not be taken: nothing was changed then.
    """
    if not any(change.service == _SERVICE and change.allowed for change in changes):
        return ""
    from ragops.services import by_name

    platform = session.platform()
    checks = by_name(_SERVICE).probe(platform.endpoint(_SERVICE), _PROBE_SECONDS).checks
    if not checks or checks[0].status is Status.DOWN:
        session.notice("the database is down: no recovery point was taken before its version changes")
        return ""
    request = create.BackupRequest(kind=Kind.SAFETY, services=(_SERVICE,))
    try:
        taken = create.run(
            platform, session.repositories().without_copies(), request, locker=session.locker(), on_progress=on_progress
        )
    except RagopsError as error:
        error.hint = f"no recovery point could be taken before the upgrade, and nothing was changed. {error.hint}"
        raise
    on_progress(Progress(taken.point.id, "recovery point of the database before its version changes", final=True))
    return taken.point.id
