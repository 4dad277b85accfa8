"""Starts services empty for the restore that fills them, where their data are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress, ignore_progress
from ragops.errors import UnhealthyError
from ragops.operations.lifecycle import provision
from ragops.operations.lifecycle.data_guard import Empty, lost_data, refuse_lost_data
from ragops.operations.restore.restore import refuse_runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ragops.adapters.pulumi.events import Step
    from ragops.operations.session import Session
    from ragops.recovery.backup_target import BackupTarget
    from ragops.recovery.point import RecoveryPoint


def start_empty(
    session: Session,
    vault: BackupTarget,
    point: RecoveryPoint,
    services: Sequence[str],
    on_progress: Callable[[Step | Progress], None] = ignore_progress,
) -> tuple[str, ...]:
    """Bring the platform up where services that `point` is to fill have lost their data; returns those.

    `services` are those that were asked for, none: all in it. Raises what keeps the recovery point from being restored
    before anything is started, MissingError (data_gone) where a service would stay empty, and as `up`.
    """
    lost = lost_data(session)
    if lost is None:
        return ()
    filled = [name for name in lost.services if point.manifest.parts_of(name) and (not services or name in services)]
    if set(lost.services) - set(filled):
        refuse_lost_data(session)
    refuse_runtime(session.project.settings.runtime, point)
    point.require_trust(vault.trusted_keys())
    vault.load_identities(point)
    for name in filled:
        on_progress(Progress(name, "its data are gone: started empty, to be filled", final=True))
    try:
        provision.up(session, None, on_progress, empty=Empty.FILL)
    except UnhealthyError as error:
        if error.code != "not_healthy":  # what is restored is not well yet
            raise
    return tuple(filled)
