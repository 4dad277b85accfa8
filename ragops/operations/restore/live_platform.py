"""Restore the live platform: start empty what lost its data, restore, record it, and wait for answers."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress
from ragops.errors import UnhealthyError
from ragops.operations.data.cache import invalidate_answer_cache
from ragops.operations.lifecycle import provision
from ragops.operations.lifecycle.data_guard import Empty, lost_data, refuse_lost_data
from ragops.operations.observe.restore_proof import note_restored
from ragops.operations.observe.wait_healthy import require_answers
from ragops.operations.restore.restore import RestoreRequest, refuse_runtime, restore
from ragops.recovery.manifest import PLATFORM

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from ragops.adapters.progress import OnProgress
    from ragops.adapters.pulumi.events import OnStep
    from ragops.operations.restore.restore import RestoreResult
    from ragops.operations.session import Session
    from ragops.recovery.point import RecoveryPoint
    from ragops.recovery.repositories import Repositories

    Steps = Callable[[], AbstractContextManager[OnStep]]
    Bars = Callable[[], AbstractContextManager[OnProgress]]


@dataclass(frozen=True)
class RestoreReport:
    """What was restored; `failure` states that the API did not answer afterwards."""

    result: RestoreResult
    failure: UnhealthyError | None = None


def restore_live(
    session: Session, repos: Repositories, point: RecoveryPoint, request: RestoreRequest, steps: Steps, bars: Bars
) -> RestoreReport:
    """Restore `point` under all locks; a dry run takes none and changes nothing.

    Services whose data are gone are started empty first. No safety point is taken if all that is restored was started
    empty just now. `steps` and `bars` open the display of steps and of parts. Raises as `restore` does.
    """
    if not request.dry_run:
        with steps() as on_step:
            started = _start_empty(session, repos, point, request.services, on_step)
        request = _without_needless_safety(request, point, started)
    with contextlib.nullcontext() if request.dry_run else session.changing():
        with bars() as on_progress:
            journal, locker = session.restore_journal(), session.locker()
            result = restore(request, session.platform(), repos, journal, locker=locker, on_progress=on_progress)
        if request.dry_run:
            return RestoreReport(result)
        invalidate_answer_cache(session)
        if not result.missing:
            restored = [item.service for item in result.services]
            note_restored(session, result.point, restored, sum(item.seconds for item in result.services))
        try:
            with steps() as on_step:
                require_answers(session, f"{point.id} is restored", on_step)
        except UnhealthyError as error:
            return RestoreReport(result, error)
    return RestoreReport(result)


def _without_needless_safety(request: RestoreRequest, point: RecoveryPoint, started: Sequence[str]) -> RestoreRequest:
    """Return the request without a safety point if all that it restores was started empty just now."""
    held = {part.service for part in point.manifest.parts} - {PLATFORM}
    return replace(request, safety=request.safety and not set(request.services or held) <= set(started))


def _start_empty(
    session: Session, repos: Repositories, point: RecoveryPoint, services: Sequence[str], on_progress: OnStep
) -> tuple[str, ...]:
    """Bring the platform up if services that `point` is to fill have lost their data; returns those.

    `services` are those that were asked for, none: all in it. Raises what keeps the recovery point from being restored
    before anything is started, MissingError (data_gone) if a service would stay empty, and as `up`.
    """
    lost = lost_data(session)
    if lost is None:
        return ()
    filled = [name for name in lost.services if point.manifest.parts_of(name) and (not services or name in services)]
    if set(lost.services) - set(filled):
        refuse_lost_data(session)
    refuse_runtime(session.project.settings.runtime, point)
    point.require_trust(repos.trusted_keys())
    repos.load_identities(point)
    for name in filled:
        on_progress(Progress(name, "its data are gone: started empty, to be filled", final=True))
    try:
        provision.up(session, None, on_progress, empty=Empty.FILL)
    except UnhealthyError as error:
        if error.code != "not_healthy":  # what is restored is not well yet
            raise
    return tuple(filled)
