"""Whether restores are proven, by the records of drills, of verifications that restored, and of restores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ragops.errors import RagopsError
from ragops.operations.records import drill_log, outcomes
from ragops.operations.records.drill_log import DRILL, RESTORE, VERIFY, DrillRecord
from ragops.recovery.manifest import PLATFORM
from ragops.services.contract import Extent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.operations.backup.verify import ServiceProof
    from ragops.operations.session import Session
    from ragops.recovery.point import RecoveryPoint

WORDS = {DRILL: "a drill", VERIFY: "`ragops backup verify --deep`", RESTORE: "a restore"}
_SPAN = timedelta(days=8)  # in which samples of every night have come to all tables
_NOT_KEPT = "what was proven could not be kept for `ragops health`"
_AS_STRONG = {DRILL: (DRILL, RESTORE), VERIFY: (VERIFY, DRILL, RESTORE), RESTORE: (DRILL, RESTORE)}


def failure(records: Sequence[DrillRecord]) -> DrillRecord | None:
    """Return the newest one that failed and that nothing as strong has made good since; `records` come oldest first."""
    for place in range(len(records) - 1, -1, -1):
        record = records[place]
        later = records[place + 1 :]
        if not record.ok and not any(one.ok and one.how in _AS_STRONG.get(record.how, ()) for one in later):
            return record
    return None


def of_schema(records: Sequence[DrillRecord], digest: str, now: datetime | None = None) -> DrillRecord | None:
    """Return the newest record that proves the schema: all of it, or with the samples of one week."""
    good = [record for record in records if record.ok and record.schema_digest == digest]
    for record in reversed(good):
        if record.full or _sampled_whole(good, record, now or datetime.now(tz=UTC)):
            return record
    return None


def _sampled_whole(good: Sequence[DrillRecord], record: DrillRecord, now: datetime) -> bool:
    recent = [one for one in good if one.how == VERIFY and one.time and now - one.time < _SPAN]
    proven = {name for one in recent for name in one.proven}
    return record in recent and bool(record.proven) and set(record.left) <= proven


def note_verified(
    session: Session,
    point: RecoveryPoint,
    repository: str,
    proofs: Sequence[ServiceProof],
    seconds: float,
    error: RagopsError | None = None,
) -> None:
    """Keep what a verification proved, or what it failed with; one that cannot be kept is a word."""
    full = bool(proofs) and all(one.proof.extent is Extent.RESTORED for one in proofs)
    read = [one.service for one in proofs if one.proof.extent is Extent.READ]
    proven = tuple(f"{one.service}/{name}" for one in proofs for name in one.proof.proven)
    left = (*(f"{one.service}/{name}" for one in proofs for name in one.proof.left), *read)
    keep_record(session, _record(point, repository, VERIFY, seconds, error, full=full, proven=proven, left=left))


def note_restored(session: Session, point: RecoveryPoint, services: Sequence[str], seconds: float) -> None:
    """Keep that a restore of all that the recovery point holds went well; that of some services proves less."""
    held = {part.service for part in point.manifest.parts} - {PLATFORM}
    if held <= set(services):
        keep_record(session, _record(point, point.store.name, RESTORE, seconds, None))


def _record(
    point: RecoveryPoint,
    repository: str,
    how: str,
    seconds: float,
    error: RagopsError | None,
    *,
    full: bool = True,
    proven: tuple[str, ...] = (),
    left: tuple[str, ...] = (),
) -> DrillRecord:
    return DrillRecord(
        point=point.id,
        repository=repository,
        seconds=round(seconds, 3),
        restore_seconds=round(seconds, 3),
        data_age_seconds=round((datetime.now(tz=UTC) - point.manifest.created).total_seconds(), 3),
        error=error.code if error else "",
        why=error.message if error else "",
        how=how,
        schema_digest=point.manifest.schema_digest,
        full=full and error is None,
        proven=proven,
        left=left,
    )


def keep_record(session: Session, record: DrillRecord, notice: str = _NOT_KEPT) -> None:
    """Record a proof and write the metrics; one that cannot be recorded is a notice, which begins with `notice`."""
    try:
        drill_log.append(session.project.paths.drills, record)
    except RagopsError as error:
        session.notice(f"{notice}: {error.message}")
    outcomes.write_metrics(session)
