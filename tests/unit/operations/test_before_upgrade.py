"""A recovery point of the database comes before its version changes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ragops.errors import RagopsError
from ragops.operations.lifecycle import version_changes as upgrade_backup
from ragops.operations.lifecycle.version_changes import VersionChange
from ragops.recovery.manifest import Kind
from ragops.services.contract import Check, ProbeResult, Status
from ragops.services.timescaledb import TimescaleService

CHANGE = VersionChange("timescaledb", "2.19.3-pg17", "2.29.2-pg17", True, "", "")


class Session:
    def __init__(self) -> None:
        self.notices: list[str] = []
        self.notice = self.notices.append

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
    return found


def probe(status: Status) -> ProbeResult:
    return ProbeResult("timescaledb", (Check("reachable", status, ""),), 0.1)


def test_it_is_taken_of_the_database_alone(taken):
    said = []
    assert upgrade_backup.save_before(Session(), [CHANGE], said.append) == "20260101T000000Z-abcdef"
    assert taken == [("the first repository", Kind.SAFETY, ("timescaledb",))]
    assert said[-1].final


@pytest.mark.parametrize("changes", [[], [VersionChange("qdrant", "1.17.1", "1.18.3", True, "", "")]])
def test_nothing_is_taken_without_need(taken, changes):
    assert upgrade_backup.save_before(Session(), changes, print) == ""
    assert taken == []


def test_a_database_that_is_down_is_named(taken, monkeypatch):
    monkeypatch.setattr(TimescaleService, "probe", lambda *_: probe(Status.DOWN))
    session = Session()
    assert upgrade_backup.save_before(session, [CHANGE], print) == ""
    assert taken == []
    assert "no recovery point" in session.notices[0]


def test_one_that_cannot_be_taken_keeps_it_from_happening(taken, monkeypatch):
    def run(*_arguments, **_named):
        raise RagopsError("repository_unreachable", "it is away", "mount it")

    monkeypatch.setattr(upgrade_backup.create, "run", run)
    with pytest.raises(RagopsError, match="it is away") as caught:
        upgrade_backup.save_before(Session(), [CHANGE], print)
    assert caught.value.hint.startswith("no recovery point could be taken before the upgrade, and nothing was changed")
