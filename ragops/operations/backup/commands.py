"""Back up, copy, pin, prune: with the locks, conditions, records and protected points of an environment.

A caller such as the command line, the nightly run or a console calls these, so that none can leave a rule out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.progress import ignore_progress
from ragops.operations.backup import create, point_condition, replicate
from ragops.operations.backup import delete as deletion
from ragops.operations.backup import prune as pruning
from ragops.operations.backup.create import BackupRequest, BackupResult
from ragops.operations.backup.delete import DeleteRequest, DeleteResult
from ragops.operations.backup.quiesce import pause_writes
from ragops.operations.records import figures, last_backup
from ragops.operations.records.outcomes import record_copies, record_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.adapters.progress import OnProgress
    from ragops.errors import RagopsError
    from ragops.operations.backup.prune import PruneResult
    from ragops.operations.backup.replicate import Replication
    from ragops.operations.session import Session

LOCKS = ("backup",)


@dataclass(frozen=True)
class BackupReport:
    """A recovery point that was taken, and what was pruned after it (None: nothing was to be pruned)."""

    result: BackupResult
    pruned: PruneResult | None = None

    def require_good(self) -> None:
        """Raise RagopsError if the platform was down, a copy failed or a repository was not pruned."""
        self.result.require_healthy()
        self.result.require_copies()
        if self.pruned:
            self.pruned.require_all()


def back_up(
    session: Session,
    request: BackupRequest,
    *,
    quiesce: bool = False,
    accept_loss: bool = False,
    prune: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> BackupReport:
    """Take a recovery point under the locks that it needs, record it, and prune afterwards if asked to.

    With `quiesce` writers wait while the snapshots start, and `ingest`, which writes, is kept out. Raises RagopsError
    if no recovery point could be taken; `BackupReport.require_good` raises for one that is not as it should be.
    """
    with session.changing((*LOCKS, "ingest") if quiesce else LOCKS):
        result = record_run(session, lambda: _take(session, request, quiesce, accept_loss, on_progress))
        session.rotate_logs()
        figures.note_points(session)
        return BackupReport(result, prune_points(session) if prune else None)


def _take(
    session: Session, request: BackupRequest, quiesce: bool, accept_loss: bool, on_progress: OnProgress
) -> BackupResult:
    platform, repos = session.platform(), session.repositories()
    replicate.refuse_emptied_primary(repos)
    condition = point_condition.condition_of(session, accept_loss=accept_loss)
    held = pause_writes(session.endpoints(), session.notice) if quiesce else None
    return create.run(
        platform, repos, request, locker=session.locker(), held=held, condition=condition, on_progress=on_progress
    )


def needed_by_restore(session: Session) -> frozenset[str]:
    """Return the ids of the recovery points that an interrupted restore continues with."""
    left = session.restore_journal().read()
    return frozenset({left.point, left.safety}) if left else frozenset()


def protected_points(session: Session) -> frozenset[str]:
    """Return the ids that no retention removes: of an interrupted restore or upgrade, and the last one taken here.

    The last one counts whatever its number is: a repository that was replaced may have higher ones.
    """
    record = last_backup.read(session.project.paths.backup_record)
    taken = {record.taken.point} if record and record.taken else set()
    unfinished = session.upgrade_journal().read()
    before = {unfinished.point} if unfinished and unfinished.point else set()
    return needed_by_restore(session) | taken | before


def prune_points(session: Session, *, dry_run: bool = False) -> PruneResult:
    """Remove what `backup.keep` does not keep, never a protected point. The caller holds the lock, unless `dry_run`."""
    rule = session.project.settings.backup.keep
    found = pruning.prune(session.repositories(), rule, session.locker(), protected_points(session), dry_run=dry_run)
    if not dry_run:
        figures.note_points(session)
    return found


def delete_request(session: Session, reference: str, repository: str | None, *, kept: bool) -> DeleteRequest:
    """Return the request to delete one recovery point, with the ids that may not go."""
    return DeleteRequest(reference, repository, kept, needed_by_restore(session))


def delete_point(session: Session, point: str, repository: str | None, *, kept: bool) -> DeleteResult:
    """Delete one recovery point by its id, judged once more under the locks. Raises as `plan_deletion`."""
    with session.changing():
        request = delete_request(session, point, repository, kept=kept)
        result = deletion.delete(session.repositories(), request, session.locker())
        figures.note_points(session)
    return result


@dataclass(frozen=True)
class CopyReport:
    """Recovery points with what became of them in each repository; `failure` is that of one that is whole nowhere."""

    points: tuple[Replication, ...]
    failure: RagopsError | None = None

    def require_all(self) -> None:
        """Raise the first failure: of a recovery point that is whole nowhere, or that a repository still lacks."""
        if self.failure:
            raise self.failure
        for point in self.points:
            point.require_all()


def copy_points(
    session: Session, references: Sequence[str] | None, *, on_progress: OnProgress = ignore_progress
) -> CopyReport:
    """Have recovery points whole in every repository (None: all that one of them lacks), and record their copies."""
    with session.changing(LOCKS):
        repos = session.repositories()
        further = {repository.name for repository in repos.copies}
        wanted = replicate.incomplete(repos) if references is None else references
        done, failure = replicate.replicate_all(repos, wanted, locker=session.locker(), on_progress=on_progress)
        for found in done:
            copies = tuple(place for place in found.places if place.repository in further)
            record_copies(session, BackupResult(found.point, copies))
        figures.note_points(session)
    return CopyReport(done, failure)


def pin_point(session: Session, reference: str, *, keep: bool) -> str:
    """Mark a recovery point in every repository that has it, or take the marks away; returns its id."""
    with session.changing(LOCKS):
        repos = session.repositories()
        _, found = repos.find(reference)
        replicate.pin(repos, found, keep=keep, locker=session.locker())
    return found.id
