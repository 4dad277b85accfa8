"""A recovery point of the database and of Qdrant comes before their versions change."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from ragops.errors import RagopsError
from ragops.operations.lifecycle import version_changes as upgrade_backup
from ragops.operations.lifecycle.version_changes import VersionChange
from ragops.operations.records.upgrade_journal import UpgradeJournal
from ragops.recovery.manifest import Kind
from ragops.services.contract import Check, ProbeResult, Status
from ragops.services.qdrant.service import QdrantService
from ragops.services.timescaledb import TimescaleService

if TYPE_CHECKING:
    from pathlib import Path

CHANGE = VersionChange("timescaledb", "2.19.3-pg17", "2.29.2-pg17", True, "", "")
QDRANT = VersionChange("qdrant", "1.17.1", "1.18.3", True, "", "")
POINT = "20260101T000000Z-abcdef"


class Session:
    def __init__(self, folder: Path) -> None:
        self.notices: list[str] = []
        self.notice = self.notices.append
        self.folder = folder

    def upgrade_journal(self) -> UpgradeJournal:
        return UpgradeJournal(self.folder / "upgrade.json")

    def platform(self):
        return SimpleNamespace(endpoint=lambda _name: None)

    def repositories(self):
        return SimpleNamespace(without_copies=lambda: "the first repository")

    def locker(self):
        return "locker"


@pytest.fixture
def taken(monkeypatch):
    found = []

    def run(platform, repos, request, **_named):
        found.append((repos, request.kind, request.services))
        return SimpleNamespace(point=SimpleNamespace(id="20260101T000000Z-abcdef"))

    monkeypatch.setattr(upgrade_backup.create, "run", run)
    monkeypatch.setattr(TimescaleService, "probe", lambda *_: probe(Status.OK))
    monkeypatch.setattr(QdrantService, "probe", lambda *_: probe(Status.OK))
    return found


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def probe(status: Status) -> ProbeResult:
    return ProbeResult("timescaledb", (Check("reachable", status, ""),), 0.1)


def test_it_is_taken_of_the_database_alone(taken, session):
    said = []
    assert upgrade_backup.save_before(session, [CHANGE], said.append) == POINT
    assert taken == [("the first repository", Kind.SAFETY, ("timescaledb",))]
    assert said[-1].final


@pytest.mark.parametrize("changes", [[], [VersionChange("redis", "8.0.2", "8.0.3", True, "", "")]])
def test_nothing_is_taken_without_need(taken, session, changes):
    assert upgrade_backup.save_before(session, changes, print) == ""
    assert taken == []
    assert session.upgrade_journal().read() is None


def test_one_holds_all_whose_versions_change(taken, session):
    assert upgrade_backup.save_before(session, [CHANGE, QDRANT], print) == POINT
    assert [services for _repos, _kind, services in taken] == [("timescaledb", "qdrant")]


def test_a_run_that_continues_takes_no_other_one_of_a_cluster_of_two_versions(taken, session):
    assert upgrade_backup.save_before(session, [QDRANT], print) == POINT
    noted = session.upgrade_journal().read()
    assert (noted.before, noted.target, noted.point) == ("1.17.1", "1.18.3", POINT)
    assert upgrade_backup.save_before(session, [QDRANT], print) == ""
    assert len(taken) == 1
    upgrade_backup.save_before(session, [replace(QDRANT, after="1.19.0")], print)
    assert len(taken) == 2, "another upgrade"


def test_a_cluster_that_is_down_is_named_and_noted_without_a_point(taken, session, monkeypatch):
    monkeypatch.setattr(QdrantService, "probe", lambda *_: probe(Status.DOWN))
    assert upgrade_backup.save_before(session, [QDRANT], print) == ""
    assert session.upgrade_journal().read().point == ""
    assert "qdrant is down" in session.notices[0]


def test_a_database_that_is_down_is_named(taken, session, monkeypatch):
    monkeypatch.setattr(TimescaleService, "probe", lambda *_: probe(Status.DOWN))
    assert upgrade_backup.save_before(session, [CHANGE], print) == ""
    assert taken == []
    assert "no recovery point" in session.notices[0]


def test_one_that_cannot_be_taken_keeps_it_from_happening(taken, session, monkeypatch):
    def run(*_arguments, **_named):
        raise RagopsError("repository_unreachable", "it is away", "mount it")

    monkeypatch.setattr(upgrade_backup.create, "run", run)
    with pytest.raises(RagopsError, match="it is away") as caught:
        upgrade_backup.save_before(session, [CHANGE], print)
    assert caught.value.hint.startswith("no recovery point could be taken before the upgrade, and nothing was changed")
