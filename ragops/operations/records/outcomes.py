"""Outcomes of runs on record, and metrics of backups and restore drills in Prometheus's text format."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.adapters.files import PUBLIC_MODE, write_atomic
from ragops.adapters.prometheus import gauge, render
from ragops.errors import RagopsError
from ragops.operations.records import drill_log, last_backup

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ragops.operations.records.drill_log import DrillRecord
    from ragops.operations.session import Session

    # Name, description and value; one that is not known is left out.
    Row = tuple[str, str, float | None]
    from collections.abc import Callable

    from ragops.operations.backup.create import BackupResult


def metrics_text(session: Session) -> str:
    """Return the figures as they are now, from this machine's own records; empty before the first backup and drill."""
    paths = session.project.paths
    found = rows(session, last_backup.read(paths.backup_record), drill_log.drills(paths.drills))
    return render_metrics(session.project.settings.name, paths.environment, found)


def rows(session: Session, record: last_backup.RunRecord | None, drills: Sequence[DrillRecord]) -> list[Row]:
    """Return the figures of the last backup, if there was one, and of the drills."""
    backup = _of_backup(record, len(missing_copies(session, record))) if record else ()
    return [*backup, *_of_drills(drills)]


def write_metrics(session: Session) -> None:
    """Write `backup.metrics_file`, if ragops.yaml names one, and the figures of a platform that is watched.

    A failure is only a notice: the backup is what matters.
    """
    from ragops.operations.records import figures

    figures.write(session)
    named = session.project.settings.backup.metrics_file
    if not named:
        return
    try:
        write_atomic(session.project.paths.root / named, metrics_text(session), PUBLIC_MODE)
    except RagopsError as error:
        session.notice(f"cannot write the metrics: {error.message}")


def missing_copies(session: Session, record: last_backup.RunRecord) -> tuple[str, ...]:
    """Return the repositories of ragops.yaml that have no copy of the last recovery point."""
    if record.taken is None:
        return ()
    wanted = [repository.name for repository in session.repositories().copies]
    return tuple(name for name in wanted if not record.taken.copies.get(name))


def render_metrics(platform: str, environment: str, rows: Sequence[Row]) -> str:
    """Return the figures that are known, each with the labels `platform` and `environment`; empty if there are none."""
    labels = {"platform": platform, "environment": environment}
    return render(gauge(f"ragops_{name}", what, [(labels, value)]) for name, what, value in rows if value is not None)


def _of_backup(record: last_backup.RunRecord, copies_missing: int) -> Iterator[Row]:
    taken = record.taken
    when, size = (taken.instant, taken.size) if taken else (None, None)
    yield "backup_last_success_timestamp_seconds", "When the last recovery point was taken.", when
    yield "backup_last_run_success", "Whether the last run took one, with all copies.", not record.error
    yield "backup_duration_seconds", "Duration of the last run.", record.seconds
    yield "backup_size_bytes", "Size of the last recovery point in its repository.", size
    yield "backup_copies_missing", "Repositories that lack a copy of it.", copies_missing


def _of_drills(records: Sequence[DrillRecord]) -> Iterator[Row]:
    if not records:
        return
    last, good = records[-1], [record.time.timestamp() for record in records if record.ok and record.time]
    yield "drill_last_success_timestamp_seconds", "When a drill last succeeded.", good[-1] if good else None
    yield "drill_last_run_success", "Whether the last drill succeeded.", last.ok
    yield "drill_duration_seconds", "Duration of the last drill.", last.seconds
    yield "drill_data_age_seconds", "Age of its data.", last.data_age_seconds


def record_run(session: Session, run: Callable[[], BackupResult]) -> BackupResult:
    """Run a backup and keep how it went, for good or ill. Raises what it fails with."""
    started = time.monotonic()
    try:
        result = run()
    except BaseException as error:
        _write(session, _code(error), time.monotonic() - started, None)
        raise
    failed = "copy_failed" if any(copy.error for copy in result.copies) else ""
    marked = "platform_unhealthy" if result.point.manifest.unhealthy else ""
    _write(session, marked or failed, time.monotonic() - started, _taken(result))
    return result


def record_copies(session: Session, result: BackupResult) -> None:
    """Keep that copies were made later, if they are of the last recovery point."""
    record = last_backup.read(session.project.paths.backup_record)
    if record is None or record.taken is None or record.taken.point != result.point.id:
        return
    taken = replace(record.taken, copies={copy.repository: copy.error is None for copy in result.copies})
    error = record.error if record.error != "copy_failed" or not all(taken.copies.values()) else ""
    _save(session, replace(record, error=error, taken=taken))


def _taken(result: BackupResult) -> last_backup.PointSummary:
    point = result.point
    copies = {copy.repository: copy.error is None for copy in result.copies}
    return last_backup.PointSummary(
        point.id, point.manifest.created.isoformat(), point.manifest.duration, point.size, copies
    )


def _write(session: Session, error: str, seconds: float, taken: last_backup.PointSummary | None) -> None:
    before = last_backup.read(session.project.paths.backup_record)
    known = taken or (before.taken if before else None)
    _save(session, last_backup.RunRecord(datetime.now(tz=UTC).isoformat(), round(seconds, 3), error, known))


def _save(session: Session, record: last_backup.RunRecord) -> None:
    """Save the record of a run. One that cannot be written is a notice: the backup is no worse for it."""
    try:
        last_backup.save(session.project.paths.backup_record, record)
    except RagopsError as error:
        session.notice(f"how it went could not be kept for `ragops health`: {error.message}")
    write_metrics(session)


def _code(error: BaseException) -> str:
    if isinstance(error, RagopsError):
        return error.code
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "internal_error"
