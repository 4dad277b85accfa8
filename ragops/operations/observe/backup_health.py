"""Checks of recovery points in `health`: age, copies, clock, last drill, interrupted restore."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from ragops.adapters import locks
from ragops.adapters.background import BackgroundTask
from ragops.errors import RagopsError
from ragops.operations.observe import restore_proof
from ragops.operations.records import drill_log, last_backup
from ragops.operations.restore.kept_data import list_kept
from ragops.recovery.local_history import History
from ragops.services.contract import Check, ProbeResult, Status
from ragops.units import size

if TYPE_CHECKING:
    from ragops.operations.session import Session
    from ragops.recovery.point import Listing, RecoveryPoint
    from ragops.recovery.repository import Repository

_NAME = "backup"
_POINT = "recovery point"
_DRILL = "restore drill"
_PROOF = "restore proof"
_PROVE = "`ragops backup verify --deep` restores it away from the live data, `ragops backup drill` into a platform"
_PROVES = "`ragops backup drill` proves a restore"
_CLOCK_SECONDS = 60.0  # that machines' clocks may differ by
_DAY = 86_400.0
_COPY_SECONDS = 2.0  # of a probe's five
_KEPT_DAYS = 7


def probe(session: Session) -> ProbeResult:
    """All checks; asks every repository for its list, the first one in any case, the others for a moment."""
    started = time.monotonic()
    counted: dict[str, float] = {}
    try:
        primary = session.repositories().primary
        listing = primary.list_cached()
        newest, counted = listing.latest(), listing.count()
        checks = [*_lost(session, primary.name, listing), _age(session, newest), *_marked(session, listing)]
        checks += [*_clock(newest), *_copies(session), *_unreadable(listing), *_untrusted(session, listing)]
        checks += _proof(session, newest)
    except RagopsError as error:
        checks = [Check(_POINT, Status.DEGRADED, error.message, error.hint)]
    checks += [_drill(session), *_restore(session), *_kept(session)]
    return ProbeResult(_NAME, tuple(checks), time.monotonic() - started, counted=counted)


def result(job: BackgroundTask[ProbeResult], deadline: float) -> ProbeResult:
    """Return the result of the job; if it has none by the deadline (monotonic clock), a check that reports that."""
    started = time.monotonic()
    if not job.wait(max(0.0, deadline - started) + 0.1):
        late = Check(_POINT, Status.DEGRADED, "the repository does not answer in time", "`ragops backup list`")
        return ProbeResult(_NAME, (late,), time.monotonic() - started)
    return job.result()


def _lost(session: Session, name: str, listing: Listing) -> list[Check]:
    """Return a check if the last written recovery point is gone or damaged: a folder may be emptied or not mounted."""
    newest, any_there = listing.latest(), bool(listing.points)
    if newest is not None:
        faults = newest.find_faults()
        hint = f"`ragops backup copy {newest.id}`, or `ragops backup run`"
        return [Check("damage", Status.DEGRADED, f"{newest.id}: {faults[0]}", hint)] if faults else []
    record = last_backup.read(session.project.paths.backup_record)
    if record is None or record.taken is None or any_there:
        return []
    what = f"{name} has no recovery point, though {record.taken.point} was written there"
    return [Check("lost", Status.DEGRADED, what, "is it mounted? `ragops backup list` looks in all repositories")]


def _age(session: Session, newest: RecoveryPoint | None) -> Check:
    """Return the check of the age of the newest recovery point, of the platform if there is none yet."""
    limit = session.project.settings.backup.max_age_hours
    since = newest.manifest.created.timestamp() if newest else session.project.paths.secrets.stat().st_mtime
    hours = (time.time() - since) / 3600
    what = f"{newest.id}, {hours:.1f} h old" if newest else f"none yet; the first is due within {limit:.0f} h"
    if hours <= limit:
        return Check(_POINT, Status.OK, what)
    what = f"the newest is {hours:.0f} h old" if newest else "there is none"
    return Check(_POINT, Status.DEGRADED, what, "run `ragops backup run`")


def _marked(session: Session, listing: Listing) -> list[Check]:
    """Return a check if the last backup was taken of a platform that was down, and none was restored since."""
    restored = History(session.project.paths.history).read().restored_at
    marked, newest = listing.newer_unhealthy(), listing.latest()
    if not marked or (restored and restored > marked[0].manifest.created):
        return []
    what = f"the platform was down when {marked[0].id} was taken: {marked[0].manifest.unhealthy[0]}"
    hint = "repair it, then `ragops backup run`"
    if newest:
        hint = f"`ragops restore {newest.id}`, the newest good one; or {hint}"
    return [Check("last run", Status.DEGRADED, what, hint)]


def _unreadable(listing: Listing) -> list[Check]:
    """Return a check if a recovery point cannot be read."""
    if not listing.unreadable:
        return []
    ident, error = next(iter(listing.unreadable.items()))
    more = f", and {len(listing.unreadable) - 1} more" if len(listing.unreadable) > 1 else ""
    hint = f"`ragops backup copy {ident}` if another repository has it whole, else `ragops backup delete {ident}`"
    return [Check("unreadable", Status.DEGRADED, f"{error.message}{more}", hint)]


def _untrusted(session: Session, listing: Listing) -> list[Check]:
    """Return a check if the newest recovery point is signed by an untrusted key: no restore takes it."""
    newest = listing.latest()
    if newest is None or newest.signed.signature.key in session.repositories().trusted_keys():
        return []
    what = f"{newest.id}, the newest, was signed by a key that is not trusted here"
    hint = f"add the key to `backup.verify_keys` if it is yours, else `ragops backup delete {newest.id}`"
    return [Check("signer", Status.DEGRADED, what, hint)]


def _clock(newest: RecoveryPoint | None) -> list[Check]:
    """Return a check if the newest recovery point was taken in the future: it would look new for ever."""
    if newest is None or newest.manifest.created.timestamp() <= time.time() + _CLOCK_SECONDS:
        return []
    what = f"{newest.id} was taken at {newest.manifest.created:%Y-%m-%d %H:%M} UTC, which is yet to come"
    return [Check("clock", Status.DEGRADED, what, "set the clock of this machine, or of the one that took it")]


def _copies(session: Session) -> list[Check]:
    """Return the check that every further repository has the last recovery point; all are asked in parallel.

    For one that does not answer in time, the record of the last run counts.
    """
    record = last_backup.read(session.project.paths.backup_record)
    if record is None or record.taken is None or not session.project.settings.backup.copies:
        return []
    repos, point = session.repositories(), record.taken.point
    looks = [(one, BackgroundTask(partial(_in_copy, one, point), "probe-copy")) for one in repos.copies]
    deadline = time.monotonic() + _COPY_SECONDS
    faults, silent = [], []
    for repository, look in looks:
        if look.wait(max(0.0, deadline - time.monotonic())):
            faults += [f"{repository.name}: {fault}" for fault in (look.result(),) if fault]
        elif record.taken.copies.get(repository.name):
            silent.append(repository.name)
        else:
            faults.append(f"{repository.name}: has not got it, as the last run saw")
    if faults:
        hint = f"is its disk mounted? `ragops backup copy {point}` puts it there"
        return [Check("copies", Status.DEGRADED, f"{point} is not whole in {'; '.join(faults)}", hint)]
    late = f"; not asked in time: {', '.join(silent)}" if silent else ""
    return [Check("copies", Status.OK, f"{point} is in all {len(looks)} further repositories{late}")]


def _in_copy(repository: Repository, point: str) -> str:
    """Return the first fault of the recovery point there, by names and sizes of its files; empty if it has none."""
    try:
        found = repository.list_cached().find_by_prefix(point)
    except RagopsError as error:
        return f"cannot be looked at: {error.message}"
    if not found:
        return "there is no recovery point of this id"
    return next(iter(found[0].find_faults()), "")


def _drill(session: Session) -> Check:
    records = drill_log.drills(session.project.paths.drills)
    limit = session.project.settings.backup.drill_max_age_days
    good = next((record for record in reversed(records) if record.ok), None)
    if records and not records[-1].ok:
        what = f"the last one, of {records[-1].point}, failed: {records[-1].why}"
        return Check(_DRILL, Status.DEGRADED, what, f"mend that, then {_PROVES}")
    if good is None or good.time is None:
        if limit is None:
            return Check(_DRILL, Status.OK, f"none yet; {_PROVES}")
        return Check(_DRILL, Status.DEGRADED, "there was none yet", _PROVES)
    days = (time.time() - good.time.timestamp()) / _DAY
    if limit is not None and days > limit:
        return Check(_DRILL, Status.DEGRADED, f"the last good one is {days:.0f} days old", _PROVES)
    age = good.data_age_seconds / 3600
    what = f"{good.time:%Y-%m-%d}: {good.point} was back in {good.seconds:.0f} s, its data {age:.1f} h old"
    return Check(_DRILL, Status.OK, what)


def _proof(session: Session, newest: RecoveryPoint | None) -> list[Check]:
    """Return the check that a restore of the newest schema is proven; an older ragops recorded no schema to compare."""
    if newest is None or not newest.manifest.schema_digest:
        return []
    records = drill_log.read(session.project.paths.drills)
    failed = restore_proof.failure(records)
    if failed and failed.how != drill_log.DRILL:  # another check reports a drill
        what = f"{restore_proof.WORDS[failed.how]} of {failed.point} failed: {failed.why}"
        return [Check(_PROOF, Status.DEGRADED, what, _PROVE)]
    found = restore_proof.of_schema(records, newest.manifest.schema_digest)
    if found is None:
        what = f"no restore of the schema of {newest.id} is proven yet: its parts were read, and not restored"
        return [Check(_PROOF, Status.DEGRADED, what, _PROVE)]
    when = f"{found.time:%Y-%m-%d}: " if found.time else ""
    return [
        Check(_PROOF, Status.OK, f"{when}this schema was restored by {restore_proof.WORDS[found.how]} of {found.point}")
    ]


def _restore(session: Session) -> list[Check]:
    left = session.restore_journal().read()
    if left is None:
        return []
    done = f"{', '.join(left.done)} done" if left.done else "nothing done yet"
    if locks.find_holder(session.project.paths.locks, locks.KINDS[0]) is not None:  # a restore holds all kinds
        return [Check("restore", Status.DEGRADED, f"the restore of {left.point} is under way ({done})", "wait for it")]
    what = f"the restore of {left.point} was interrupted ({done} of {', '.join(left.services)})"
    return [Check("restore", Status.DEGRADED, what, f"`ragops restore {left.point}` continues it")]


def _kept(session: Session) -> list[Check]:
    """Return what restores have kept for longer than a week; another check reports a service that does not answer."""
    try:
        old = list_kept(session.platform()).older(timedelta(days=_KEPT_DAYS))
    except RagopsError:
        return []
    if not old:
        return []
    total = sum(item.kept.size for item in old)
    oldest = min(item.kept.since for item in old if item.kept.since)
    what = f"{len(old)} databases or folders take {size(total)}, the oldest since {oldest:%Y-%m-%d}"
    hint = f"`ragops restore clean --older-than {_KEPT_DAYS}d` removes them, with --dry-run it lists them"
    return [Check("kept by restores", Status.DEGRADED, what, hint)]
