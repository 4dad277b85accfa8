"""Safety rules are part of the operations: a caller that is no command line cannot leave one out."""

from __future__ import annotations

import ast
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters import locks
from ragops.errors import MissingError, RagopsError, UsageError
from ragops.operations.backup import commands
from ragops.operations.backup import verify as verification
from ragops.operations.backup.create import BackupRequest
from ragops.operations.records import last_backup
from ragops.operations.restore import live_platform as restoring
from ragops.operations.restore.restore import RestoreRequest
from ragops.operations.schedule import nightly_steps
from ragops.operations.session import Session
from tests.backup_helpers import put_point, session_in

if TYPE_CHECKING:
    from collections.abc import Iterator

START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
AGE_KEY = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return session_in(tmp_path, "  copies: [elsewhere]\n")


def filled(session: Session, days: int) -> list[str]:
    """Ids of a recovery point a day in the first repository, the oldest first."""
    target = session.repositories()
    return [
        put_point(target.primary, target.signing_key(), sequence=n + 1, created=START + timedelta(days=n)).id
        for n in range(days)
    ]


def there(session: Session) -> set[str]:
    return {point.id for point in session.repositories().primary.list().points}


# --- prune and delete ------------------------------------------------------------------------------------------------


def test_prune_leaves_what_an_interrupted_restore_continues_with(session: Session) -> None:
    ids = filled(session, 40)
    session.restore_journal().begin(ids[0], ("redis",), ids[1])
    result = commands.prune_points(session)
    result.require_all()
    assert {ids[0], ids[1], ids[-1]} < there(session)
    assert len(there(session)) < len(ids), "others are gone"


def test_prune_leaves_the_last_one_that_was_taken_here(session: Session) -> None:
    ids = filled(session, 40)
    taken = last_backup.PointSummary(ids[2], START.isoformat(), 1.0, 10)
    last_backup.save(session.project.paths.backup_record, last_backup.RunRecord(START.isoformat(), 1.0, "", taken))
    commands.prune_points(session).require_all()
    assert ids[2] in there(session)
    assert ids[1] not in there(session)


def test_a_request_to_delete_names_what_a_restore_needs(session: Session) -> None:
    ids = filled(session, 2)
    session.restore_journal().begin(ids[0], ("redis",), ids[1])
    assert commands.delete_request(session, "latest", None, kept=True).needed == frozenset(ids)


# --- backup ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quiesce", [True, False])
def test_a_backup_holds_its_locks_and_one_of_one_instant_keeps_ingest_out(
    session: Session, monkeypatch: pytest.MonkeyPatch, quiesce: bool
) -> None:
    held: list[str] = []

    def take(*_: Any) -> Any:
        held.extend(kind for kind in locks.KINDS if locks.find_holder(session.project.paths.locks, kind))
        raise MissingError("disk_full", "no space left")

    monkeypatch.setattr(commands, "_take", take)
    with pytest.raises(MissingError):
        commands.back_up(session, BackupRequest(), quiesce=quiesce)
    assert set(held) == ({"backup", "ingest"} if quiesce else {"backup"})
    record = last_backup.read(session.project.paths.backup_record)
    assert record is not None
    assert record.error == "disk_full", "a failure is recorded whoever called"


def test_copies_that_are_made_later_are_recorded(session: Session) -> None:
    (ident,) = filled(session, 1)
    taken = last_backup.PointSummary(ident, START.isoformat(), 1.0, 10, {"elsewhere": False})
    failed = last_backup.RunRecord(START.isoformat(), 1.0, "copy_failed", taken)
    last_backup.save(session.project.paths.backup_record, failed)
    report = commands.copy_points(session, None)
    report.require_all()
    assert [found.point.id for found in report.points] == [ident]
    record = last_backup.read(session.project.paths.backup_record)
    assert record is not None
    assert record.error == ""
    assert record.taken is not None
    assert all(record.taken.copies.values())


def test_a_mark_keeps_a_point_from_prune(session: Session) -> None:
    ids = filled(session, 40)
    assert commands.pin_point(session, ids[0], keep=True) == ids[0]
    commands.prune_points(session).require_all()
    assert ids[0] in there(session)


# --- restore ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("services", "started", "without", "safety"),
    [
        ((), (), False, True),
        ((), ("redis",), False, False),  # all of it was started empty
        ((), ("redis",), True, False),
        (("redis",), (), True, False),
        (("redis",), ("qdrant",), False, True),
    ],
)
def test_when_a_safety_point_is_taken(
    session: Session, services: tuple[str, ...], started: tuple[str, ...], without: bool, safety: bool
) -> None:
    target = session.repositories()
    point = put_point(target.primary, target.signing_key())
    wanted = RestoreRequest(point.id, services, safety=not without)
    assert restoring._without_needless_safety(wanted, point, started).safety is safety


# --- the nightly run -------------------------------------------------------------------------------------------------


@contextmanager
def silent() -> Iterator[Any]:
    yield lambda _progress: None


def nightly(session: Session, monkeypatch: pytest.MonkeyPatch, report: Any) -> tuple[list[str], Any]:
    """What the nightly backup did, and its step."""
    did: list[str] = []

    def back_up(_session: Any, _request: Any, **named: Any) -> Any:
        did.append(f"backup prune={named['prune']}")
        return report

    def verify(_session: Any, reference: str, **named: Any) -> Any:
        did.append(f"verify {reference} deep={named['deep']} budget={named['budget']:.0f}")
        return SimpleNamespace(proofs=())

    monkeypatch.setattr(nightly_steps, "back_up", back_up)
    monkeypatch.setattr(nightly_steps, "verify_point", verify)
    views = nightly_steps.Views(silent, lambda _r: did.append("shown"), lambda _r: None, lambda _r: None, did.append)
    run = dict(nightly_steps.nightly_steps(session.project, lambda _wait: session, views))
    return did, run["backup"]


def test_the_nightly_run_prunes_and_proves(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    did, run = nightly(session, monkeypatch, SimpleNamespace(require_good=lambda: None))
    run()
    assert did == ["backup prune=True", "shown", "verify latest deep=True budget=600"]


def test_nothing_is_proven_after_a_bad_backup(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def bad() -> None:
        raise RagopsError("platform_unhealthy", "it was down")

    did, run = nightly(session, monkeypatch, SimpleNamespace(require_good=bad))
    with pytest.raises(RagopsError, match="it was down"):
        run()
    assert did == ["backup prune=True", "shown"]


def test_without_an_identity_there_is_a_note_instead_of_a_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_in(tmp_path, f"  recipients: [{AGE_KEY}]\n")
    did, run = nightly(session, monkeypatch, SimpleNamespace(require_good=lambda: None))
    run()
    assert did == ["backup prune=True", "shown", nightly_steps.NO_PROOF]
    assert nightly_steps.drill_weekday(session.project, None) is None
    with pytest.raises(UsageError, match="identity file"):
        nightly_steps.drill_weekday(session.project, "monday")


def test_a_deep_verification_that_fails_is_recorded(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragops.errors import IntegrityError

    noted: list[str] = []
    filled(session, 1)

    def fail(*_: Any, **__: Any) -> Any:
        raise IntegrityError("part_damaged", "not as it was")

    monkeypatch.setattr(verification, "verify", fail)
    monkeypatch.setattr(verification.restore_proof, "note_verified", lambda *given: noted.append(given[-1].code))
    monkeypatch.setattr(Session, "platform", lambda _session: nullcontext())
    for deep in (True, False):
        with pytest.raises(IntegrityError):
            verification.verify_point(session, "latest", deep=deep)
    assert noted == ["part_damaged"], "only what engines had a part in"


# --- the command line decides nothing --------------------------------------------------------------------------------

INNER = {
    "ragops.operations.backup.prune": {"prune"},
    "ragops.operations.backup.create": {"run"},
    "ragops.operations.backup.replicate": {"*"},
    "ragops.operations.records.outcomes": {"record_run", "record_copies", "write_metrics"},
    "ragops.operations.backup.verify": {"verify"},
    "ragops.operations.observe.restore_proof": {"*"},
    "ragops.operations.records.last_backup": {"*"},
    "ragops.operations.records.restore_journal": {"*"},
    "ragops.operations.restore.restore": {"restore"},
}


@pytest.mark.parametrize("path", sorted(Path("ragops/cli").glob("*.py")), ids=lambda path: path.stem)
def test_commands_call_the_operations_that_hold_the_rules(path: Path) -> None:
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or id(node) in typing_only:
            continue
        for name in (one.name for one in node.names):
            inner = INNER.get(str(node.module), set())
            assert name not in inner, f"{node.module}.{name} has no safety rules"
            assert "*" not in inner | INNER.get(f"{node.module}.{name}", set()), f"{node.module}.{name}"
