"""Proves that a recovery point restores: into a platform of its own, compared, timed, removed.

The live platform is not touched, and nothing is written where the recovery point lies. The caller holds the lock of
drills, and writes the audit line.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress, ignore_progress
from ragops.errors import IntegrityError, InterruptedRunError, RagopsError
from ragops.operations.lifecycle import provision
from ragops.operations.lifecycle.data_guard import Empty
from ragops.operations.observe.restore_proof import keep_record
from ragops.operations.observe.wait_healthy import wait_for_answers, wait_settled
from ragops.operations.records.drill_log import DrillRecord
from ragops.operations.restore import scratch_platform
from ragops.operations.restore.compare import Comparison, compare
from ragops.operations.restore.project_files import project_files
from ragops.operations.restore.restore import RestoreRequest, restore
from ragops.services.contract import Status

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.adapters.pulumi.events import OnStep
    from ragops.operations.observe.health import Health
    from ragops.operations.restore.scratch_platform import ScratchPlatform
    from ragops.operations.session import Session
    from ragops.recovery.point import RecoveryPoint
    from ragops.recovery.repositories import Repositories

LOCK = ("drill",)
_NOT_RECORDED = "the drill could not be recorded"
_HINT = (
    "use another recovery point, and find out what is wrong with this one: `ragops backup verify --deep`; if an"
    " ingestion was at work, take one with `ragops backup run --quiesce`"
)


@dataclass(frozen=True)
class DrillRequest:
    """What to drill: a recovery point by id, start of an id or `latest`, of `repository` (None: the first).

    `keep` leaves the scratch platform running, for a look at it.
    """

    reference: str = "latest"
    repository: str | None = None
    keep: bool = False


@dataclass(frozen=True)
class DrillResult:
    """A drill that went well; times in seconds, `data_age` from the oldest instant of the data to the drill.

    `kept` is the folder of the scratch platform if it was to stay.
    """

    point: RecoveryPoint
    repository: str
    seconds: float
    restore_seconds: float
    data_age: float
    comparison: Comparison
    health: Status
    notes: tuple[str, ...] = ()
    kept: str = ""


@dataclass
class _Run:
    """One drill under way."""

    session: Session
    repos: Repositories
    point: RecoveryPoint
    repository: str
    on_progress: OnStep
    began: float
    data_age: float
    restore_seconds: float = 0.0
    comparison: Comparison | None = None

    def record(self, error: RagopsError | None) -> DrillRecord:
        """Return what is kept of it."""
        found = self.comparison
        return DrillRecord(
            point=self.point.id,
            repository=self.repository,
            seconds=round(time.monotonic() - self.began, 3),
            restore_seconds=round(self.restore_seconds, 3),
            data_age_seconds=round(self.data_age, 3),
            error=error.code if error else "",
            why=error.message if error else "",
            counts=found.counts if found else {},
            samples=found.samples if found else {},
            schema_digest=self.point.manifest.schema_digest,
        )


def drill(
    session: Session, repos: Repositories, request: DrillRequest, on_progress: OnStep = ignore_progress
) -> DrillResult:
    """Restore a recovery point into a scratch platform and compare; what came of it is kept, the platform is not.

    Raises IntegrityError (drill_failed) if anything is not as it should be, UsageError, MissingError (identity,
    engine, space, ports) and whatever else keeps the platform from coming up.
    """
    repository, point = repos.find(request.reference, request.repository)
    point.require_trust(repos.trusted_keys())
    run = _Run(session, repos, point, repository.name, on_progress, time.monotonic(), _age(point))
    try:
        repos.load_identities(point)
    except RagopsError as error:  # or health would never report it
        keep_record(session, run.record(error), _NOT_RECORDED)
        raise
    for folder in scratch_platform.left(session.project):
        on_progress(Progress(folder.name, "removing what an earlier drill left"))
        scratch_platform.remove(folder, session.command, session.notice)
        on_progress(Progress(folder.name, "an earlier drill had left it; removed", final=True))
    run.began = time.monotonic()
    try:
        folder = scratch_platform.new_folder(session.project)
        result = _attempt(run, folder, keep=request.keep)
    except InterruptedRunError:
        raise  # it proves nothing about the recovery point
    except RagopsError as error:
        keep_record(session, run.record(error), _NOT_RECORDED)
        raise
    keep_record(session, run.record(None), _NOT_RECORDED)
    if not request.keep:
        _remove(run, folder)
    return result


def _age(point: RecoveryPoint) -> float:
    """Of the data, in seconds: what would be lost if they were all there is."""
    instant = point.manifest.quiesced or min((part.instant for part in point.manifest.parts), default=None)
    return (datetime.now(tz=UTC) - (instant or point.manifest.created)).total_seconds()


def _attempt(run: _Run, folder: Path, *, keep: bool) -> DrillResult:
    try:
        with project_files(run.repos, run.point, run.on_progress, secrets=False) as files:
            scratch = scratch_platform.make(run.session.project, files, folder, run.session.command, run.session.notice)
        health = _prove(run, scratch)
    except BaseException as failure:
        if not keep or isinstance(failure, (KeyboardInterrupt, InterruptedRunError)):
            _remove_after(run, folder, failure)
        raise
    comparison = run.comparison
    assert comparison is not None  # noqa: S101  `_prove` returned
    seconds = round(time.monotonic() - run.began, 3)
    return DrillResult(
        point=run.point,
        repository=run.repository,
        seconds=seconds,
        restore_seconds=round(run.restore_seconds, 3),
        data_age=round(run.data_age, 3),
        comparison=comparison,
        health=health.status,
        notes=(*scratch.notes, *_notes(comparison, health)),
        kept=str(folder) if keep else "",
    )


def _remove(run: _Run, folder: Path) -> None:
    run.on_progress(Progress(folder.name, "removing the scratch platform"))
    scratch_platform.remove(folder, run.session.command, run.session.notice)
    run.on_progress(Progress(folder.name, "removed", final=True))


def _remove_after(run: _Run, folder: Path, failure: BaseException) -> None:
    """Remove the scratch platform after a failure, which is the one to raise and to record, not that of removing."""
    try:
        _remove(run, folder)
    except (RagopsError, OSError) as error:
        text = f"cannot remove the scratch platform {folder}, the next drill tries again: {error}"
        failure.add_note(text)
        run.session.notice(text)


def _prove(run: _Run, scratch: ScratchPlatform) -> Health:
    """Up, restore, health, compare: as on the day when it is needed. Raises IntegrityError (drill_failed)."""
    session = scratch.session
    provision.up(session, None, run.on_progress, empty=Empty.FILL)
    platform = session.platform()
    started = time.monotonic()
    request = RestoreRequest(run.point.id, safety=False, repository=run.repository)
    try:
        with session.changing():
            # What the scratch platform holds proves nothing about the live one.
            repos = replace(run.repos, history=None)
            restore(request, platform, repos, session.restore_journal(), on_progress=run.on_progress)
    except IntegrityError as error:
        raise _failed(run, error.message) from error
    run.restore_seconds = time.monotonic() - started
    if faults := wait_for_answers(session, on_progress=run.on_progress):
        raise _failed(run, f"after it the API does not answer: {'; '.join(faults)}")
    health = wait_settled(session)
    down = [f"{probe.service}: {item.detail}" for probe in health.probes for item in probe.checks if _is_down(item)]
    if down:
        raise _failed(run, f"after it the platform is not healthy: {'; '.join(down)}")
    run.on_progress(Progress(run.point.id, "comparing counts and samples"))
    run.comparison = compare(platform, run.point)
    if run.comparison.faults:
        raise _failed(run, run.comparison.summary)
    run.on_progress(Progress(run.point.id, f"counts match, {run.comparison.checked} samples hold", final=True))
    return health


def _is_down(item: object) -> bool:
    return getattr(item, "status", None) is Status.DOWN


def _failed(run: _Run, why: str) -> IntegrityError:
    return IntegrityError("drill_failed", f"restore drill of recovery point {run.point.id} failed: {why}", _HINT)


def _notes(comparison: Comparison, health: Health) -> tuple[str, ...]:
    notes = [f"{service}: {item.detail}" for service, item in health.unsettled if service != "backup"]
    if comparison.orphans:
        notes.append(
            f"{comparison.orphans} of the sampled points have no row: an ingestion was at work or interrupted when"
            " the recovery point was taken; `ragops ingest` sets that right after a restore"
        )
    return tuple(notes)
