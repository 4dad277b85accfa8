"""Runs of a backup, each of which records its outcome for health and metrics."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.errors import RagopsError
from ragops.operations.records import last_backup, metrics_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.operations.backup.create import BackupResult
    from ragops.operations.session import Session


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


def _taken(result: BackupResult) -> last_backup.Taken:
    point = result.point
    copies = {copy.repository: copy.error is None for copy in result.copies}
    return last_backup.Taken(point.id, point.manifest.created.isoformat(), point.manifest.duration, point.size, copies)


def _write(session: Session, error: str, seconds: float, taken: last_backup.Taken | None) -> None:
    before = last_backup.read(session.project.paths.backup_record)
    known = taken or (before.taken if before else None)
    _save(session, last_backup.RunRecord(datetime.now(tz=UTC).isoformat(), round(seconds, 3), error, known))


def _save(session: Session, record: last_backup.RunRecord) -> None:
    """Save the record of a run. One that cannot be written is a notice: the backup is no worse for it."""
    try:
        last_backup.save(session.project.paths.backup_record, record)
    except RagopsError as error:
        session.notice(f"how it went could not be kept for `ragops health`: {error.message}")
    metrics_file.write(session)


def _code(error: BaseException) -> str:
    if isinstance(error, RagopsError):
        return error.code
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "internal_error"
