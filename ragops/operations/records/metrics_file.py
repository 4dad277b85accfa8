"""Gathers the figures of backups and drills, and keeps the text file that a node exporter reads up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.files import PUBLIC_MODE, write_atomic
from ragops.errors import RagopsError
from ragops.operations.records import drill_log, last_backup
from ragops.recovery import metrics

if TYPE_CHECKING:
    from ragops.operations.session import Session


def text(session: Session) -> str:
    """Return the figures as they are now, from this machine's own records; empty before the first backup and drill."""
    paths = session.project.paths
    return metrics.render_metrics(session.project.settings.name, paths.environment, _backup(session), _drill(session))


def write(session: Session) -> None:
    """Write `backup.metrics_file`, if ragops.yaml names one; a failure is a word: the backup is what matters."""
    named = session.project.settings.backup.metrics_file
    if not named:
        return
    try:
        write_atomic(session.project.paths.root / named, text(session), PUBLIC_MODE)
    except RagopsError as error:
        session.notice(f"the metrics could not be written: {error.message}")


def _backup(session: Session) -> metrics.BackupMetrics | None:
    record = last_backup.read(session.project.paths.backup_record)
    if record is None:
        return None
    taken = record.taken
    return metrics.BackupMetrics(
        last_success=taken.instant if taken else None,
        succeeded=not record.error,
        seconds=record.seconds,
        size=taken.size if taken else None,
        copies_missing=len(missing_copies(session, record)),
    )


def missing_copies(session: Session, record: last_backup.RunRecord) -> tuple[str, ...]:
    """Return the repositories of ragops.yaml that have no copy of the last recovery point."""
    if record.taken is None:
        return ()
    wanted = [repository.name for repository in session.vault().copies]
    return tuple(name for name in wanted if not record.taken.copies.get(name))


def _drill(session: Session) -> metrics.DrillMetrics | None:
    records = drill_log.drills(session.project.paths.drills)
    if not records:
        return None
    good = [record.time.timestamp() for record in records if record.ok and record.time]
    last = records[-1]
    return metrics.DrillMetrics(good[-1] if good else None, last.ok, last.seconds, last.data_age_seconds)
