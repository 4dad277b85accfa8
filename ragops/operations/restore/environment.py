"""Restore an environment with all that belongs to it: what starts empty, the safety point, records, the proof."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.errors import UnhealthyError
from ragops.operations.data.cache import invalidate_answer_cache
from ragops.operations.observe.restore_proof import note_restored
from ragops.operations.observe.wait_answering import require_answers
from ragops.operations.restore.restore import RestoreRequest, restore
from ragops.operations.restore.start_empty import start_empty
from ragops.recovery.manifest import PLATFORM

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from ragops.adapters.progress import Progress
    from ragops.adapters.pulumi.events import Step
    from ragops.operations.restore.restore import RestoreResult
    from ragops.operations.session import Session
    from ragops.recovery.backup_target import BackupTarget
    from ragops.recovery.point import RecoveryPoint

    Steps = Callable[[], AbstractContextManager[Callable[[Step | Progress], None]]]
    Bars = Callable[[], AbstractContextManager[Callable[[Progress], None]]]


@dataclass(frozen=True)
class Wanted:
    """What to restore: `point` of `repository` (None: any), `services` (empty: all that it has parts of)."""

    point: RecoveryPoint
    services: tuple[str, ...] = ()
    repository: str | None = None
    dry_run: bool = False
    without_safety: bool = False
    restart: bool = False


@dataclass(frozen=True)
class RestoreReport:
    """What was restored; `failure` says that the API did not answer afterwards."""

    result: RestoreResult
    failure: UnhealthyError | None = None


def restore_environment(
    session: Session, target: BackupTarget, wanted: Wanted, steps: Steps, bars: Bars
) -> RestoreReport:
    """Restore under all locks; a dry run takes none and changes nothing.

    Services whose data are gone are started empty first. A safety point is taken unless all that is restored was
    started empty just now. `steps` and `bars` open the display of steps and of parts. Raises as `restore` does.
    """
    started: tuple[str, ...] = ()
    if not wanted.dry_run:
        with steps() as on_step:
            started = start_empty(session, target, wanted.point, wanted.services, on_step)
    request = _request(wanted, started)
    with contextlib.nullcontext() if wanted.dry_run else session.changing():
        with bars() as on_progress:
            journal, locker = session.restore_journal(), session.locker()
            result = restore(request, session.platform(), target, journal, locker=locker, on_progress=on_progress)
        if wanted.dry_run:
            return RestoreReport(result)
        invalidate_answer_cache(session)
        if not result.missing:
            restored = [item.service for item in result.services]
            note_restored(session, result.point, restored, sum(item.seconds for item in result.services))
        with steps() as on_step:
            return RestoreReport(result, _no_answer(session, wanted.point.id, on_step))


def _request(wanted: Wanted, started: tuple[str, ...]) -> RestoreRequest:
    """Return the request; what was started empty just now is nothing to go back to."""
    held = {part.service for part in wanted.point.manifest.parts} - {PLATFORM}
    safety = not wanted.without_safety and not set(wanted.services or held) <= set(started)
    ident, repository = wanted.point.id, wanted.repository
    return RestoreRequest(ident, wanted.services, safety, wanted.dry_run, repository, wanted.restart)


def _no_answer(session: Session, ident: str, on_progress: Callable[[Progress], None]) -> UnhealthyError | None:
    """Return why the API does not answer after the restore; None if it does."""
    try:
        require_answers(session, f"{ident} is restored", on_progress)
    except UnhealthyError as error:
        return error
    return None
