"""What health says of recovery points, from records and a repository in a folder."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from ragops.adapters import audit
from ragops.adapters.background import BackgroundTask
from ragops.errors import MissingError, RagopsError
from ragops.operations.backup.create import BackupResult
from ragops.operations.backup.replicate import CopyResult
from ragops.operations.observe import backup_health
from ragops.operations.records import drill_log, last_backup, outcomes
from ragops.operations.records.drill_log import DrillRecord
from ragops.operations.records.outcomes import record_copies, record_run
from ragops.operations.session import Session
from ragops.recovery.repository import LockRequest
from ragops.services.contract import ProbeResult, Status
from tests.backup_helpers import folder_of, put_point, session_in, stored

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.recovery.point import RecoveryPoint


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return session_in(tmp_path, "  metrics_file: m.prom\n  copies: [elsewhere]\n")


def checks(session: Session) -> dict[str, tuple[Status, str]]:
    return {item.name: (item.status, item.detail) for item in backup_health.probe(session).checks}


def point_of(session: Session, created: datetime | None = None) -> RecoveryPoint:
    repos = session.repositories()
    return put_point(repos.primary, repos.signing_key(), created=created or datetime.now(tz=UTC))


def drilled(session: Session, **named: Any) -> None:
    values: dict[str, Any] = {"seconds": 40.0, "restore_seconds": 4.0, "data_age_seconds": 7200.0, **named}
    drill_log.append(session.project.paths.drills, DrillRecord("20260102T030405Z-000001", "backups", **values))


# --- drills ---------------------------------------------------------------------------------------------------------


def test_without_a_drill_it_says_how_to_get_one(session: Session, tmp_path: Path) -> None:
    status, detail = checks(session)["restore drill"]
    assert status is Status.OK
    assert "ragops backup drill" in detail
    wanted = session_in(tmp_path / "wanted", "  drill_max_age_days: 7\n")
    assert checks(wanted)["restore drill"][0] is Status.DEGRADED


def test_the_last_drill_decides(session: Session) -> None:
    drilled(session)
    status, detail = checks(session)["restore drill"]
    assert status is Status.OK
    assert "40 s" in detail
    assert "2.0 h old" in detail
    drilled(session, error="drill_failed", why="1 chunk is missing")
    status, detail = checks(session)["restore drill"]
    assert status is Status.DEGRADED
    assert "1 chunk is missing" in detail
    drilled(session)
    assert checks(session)["restore drill"][0] is Status.OK


def test_a_drill_gets_old(tmp_path: Path) -> None:
    session = session_in(tmp_path, "  drill_max_age_days: 7\n")
    drilled(session)
    assert checks(session)["restore drill"][0] is Status.OK
    path = session.project.paths.drills
    line = json.loads(path.read_text())
    line["time"] = (datetime.now(tz=UTC) - timedelta(days=8)).isoformat()
    path.write_text(json.dumps(line) + "\n")
    status, detail = checks(session)["restore drill"]
    assert status is Status.DEGRADED
    assert "8 days" in detail


def test_a_schema_is_unproven_until_it_was_restored(session: Session) -> None:
    repos = session.repositories()

    def taken(sequence: int, schema: str) -> RecoveryPoint:
        now = datetime.now(tz=UTC)
        return put_point(repos.primary, repos.signing_key(), sequence=sequence, created=now, schema_digest=schema)

    assert "restore proof" not in checks(session)
    first = taken(1, "one")
    status, detail = checks(session)["restore proof"]
    assert (status, first.id in detail) == (Status.DEGRADED, True)
    drilled(session, schema_digest="one")
    assert checks(session)["restore proof"][0] is Status.OK
    taken(2, "two")
    assert checks(session)["restore proof"][0] is Status.DEGRADED, "the schema was changed since"
    drilled(session, how="verify", schema_digest="two", full=False, left=("timescaledb",))
    assert checks(session)["restore proof"][0] is Status.DEGRADED, "it was read"
    drilled(session, how="verify", schema_digest="two")
    assert checks(session)["restore proof"][0] is Status.OK
    assert "2.0 h old" in checks(session)["restore drill"][1], "a drill is another thing"
    drilled(session, how="verify", schema_digest="two", error="restore_fails", why="role is missing")
    assert "role is missing" in checks(session)["restore proof"][1]


def test_a_line_that_was_half_written_is_no_record(session: Session) -> None:
    drilled(session)
    path = session.project.paths.drills
    path.write_text(path.read_text() + '{"point": "20260')
    assert len(drill_log.read(path)) == 1
    audit.append(path, point="other shape")
    assert len(drill_log.read(path)) == 1


# --- what is counted for metrics -------------------------------------------------------------------------------------


def test_what_the_repository_holds_is_counted(session: Session) -> None:
    def counted() -> dict[str, float]:
        return dict(backup_health.probe(session).counted)

    assert counted() == {"points": 0, "faults": 0}
    repos, now = session.repositories(), datetime.now(tz=UTC).replace(microsecond=0)
    old = put_point(repos.primary, repos.signing_key(), sequence=1, created=now - timedelta(days=1))
    new = put_point(repos.primary, repos.signing_key(), sequence=2, created=now)
    put_point(repos.primary, repos.signing_key(), sequence=3, created=now, unhealthy=("redis is down",))
    assert counted() == {"points": 2, "newest": now.timestamp(), "faults": 0}
    stored(new, "redis/dump.rdb").unlink()
    assert counted() == {"points": 2, "newest": now.timestamp(), "faults": 1}
    (folder_of(new) / "manifest.json").write_text("{")
    assert counted() == {"points": 1, "newest": old.manifest.created.timestamp(), "faults": 1}
    shutil.rmtree(folder_of(new))
    assert counted() == {"points": 1, "newest": old.manifest.created.timestamp(), "faults": 0}
    shutil.rmtree(session.project.paths.root / "backups")
    assert counted() == {"points": 0, "faults": 0}


# --- runs, copies, clock, restores ----------------------------------------------------------------------------------


def test_a_run_that_fails_is_kept_with_the_last_good_point(session: Session) -> None:
    point = point_of(session)
    record_run(session, lambda: BackupResult(point, (CopyResult("elsewhere"),)))

    def fail() -> BackupResult:
        raise MissingError("disk_full", "full")

    with pytest.raises(MissingError):
        record_run(session, fail)
    record = last_backup.read(session.project.paths.backup_record)
    assert record is not None
    assert record.taken is not None
    assert (record.error, record.taken.point) == ("disk_full", point.id)
    text = (session.project.paths.root / "m.prom").read_text()
    values = {sample.name: sample.value for family in parse(text) for sample in family.samples}
    assert values["ragops_backup_last_run_success"] == 0
    assert values["ragops_backup_last_success_timestamp_seconds"] == point.manifest.created.timestamp()
    assert outcomes.metrics_text(session) == text


def test_a_copy_that_did_not_happen_stays_a_word_until_it_does(session: Session) -> None:
    point, name = point_of(session), session.repositories().copies[0].name
    record_run(session, lambda: BackupResult(point, (CopyResult(name, RagopsError("x", "out of reach")),)))
    status, detail = checks(session)["copies"]
    assert status is Status.DEGRADED
    assert name in detail
    assert "copies_missing" in outcomes.metrics_text(session)
    repos = session.repositories()
    repos.copies[0].import_point(point, LockRequest("test"), lambda _size: None)
    record_copies(session, BackupResult(point, (CopyResult(name),)))
    assert checks(session)["copies"][0] is Status.OK
    record = last_backup.read(session.project.paths.backup_record)
    assert record is not None
    assert record.error == ""


def test_a_copy_that_vanished_is_missed_whatever_the_last_run_saw(session: Session) -> None:
    point, copy = point_of(session), session.repositories().copies[0]
    copy.import_point(point, LockRequest("test"), lambda _size: None)
    record_run(session, lambda: BackupResult(point, (CopyResult(copy.name),)))
    assert checks(session)["copies"][0] is Status.OK
    folder = session.project.paths.root / "elsewhere"
    (folder / point.path.split("/")[0] / point.id / "redis" / "dump.rdb.zst").unlink()
    status, detail = checks(session)["copies"]
    assert (status, "is missing" in detail) == (Status.DEGRADED, True)
    shutil.rmtree(folder)
    status, detail = checks(session)["copies"]
    assert status is Status.DEGRADED
    assert copy.name in detail
    assert checks(session)["recovery point"][0] is Status.OK


def test_a_repository_that_was_added_since_has_no_copy(session: Session) -> None:
    record_run(session, lambda: BackupResult(point_of(session), ()))
    assert checks(session)["copies"][0] is Status.DEGRADED


def test_metrics_that_cannot_be_written_fail_no_backup(session: Session, tmp_path: Path) -> None:
    (tmp_path / "m.prom").mkdir()
    point = point_of(session)
    said: list[str] = []
    loud = Session(session.project, "test", said.append)
    assert record_run(loud, lambda: BackupResult(point, ())).point == point
    assert "metrics" in said[0]


def test_a_recovery_point_from_the_future_is_the_clocks_fault(session: Session) -> None:
    point_of(session)
    assert "clock" not in checks(session)
    point_of(session, datetime.now(tz=UTC) + timedelta(days=1))
    assert checks(session)["clock"][0] is Status.DEGRADED


def test_a_restore_that_was_interrupted_is_told_with_its_cure(session: Session) -> None:
    assert "restore" not in checks(session)
    journal = session.restore_journal()
    state = journal.begin("20260102T030405Z-000001", ("timescaledb", "redis"), "")
    journal.did(state, "timescaledb")
    (found,) = [item for item in backup_health.probe(session).checks if item.name == "restore"]
    assert found.status is Status.DEGRADED
    assert "timescaledb done" in found.detail
    assert found.hint == "`ragops restore 20260102T030405Z-000001` continues it"
    with session.changing():
        assert "under way" in checks(session)["restore"][1]


def test_a_repository_that_does_not_answer_holds_nothing_up() -> None:
    import threading

    over = threading.Event()

    def hang() -> ProbeResult:
        over.wait(60)
        return ProbeResult("backup", (), 0.0)

    try:
        found = backup_health.result(BackgroundTask(hang), deadline=0.0)
    finally:
        over.set()
    assert found.checks[0].status is Status.DEGRADED
    assert "does not answer" in found.checks[0].detail
