"""What is remembered of a restore that has not come to its end."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ragops.operations.records.restore_journal import Interrupted, RestoreJournal

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "default" / "restore.json"


def test_how_far_it_has_come(path: Path) -> None:
    journal = RestoreJournal(path)
    assert journal.read() is None
    state = journal.begin("20260102T030405Z-0a1b2c", ("timescaledb", "redis", "qdrant"), "safety")
    assert journal.read() == state
    assert state.fresh
    state = journal.did(journal.did(state, "timescaledb"), "redis")
    found = RestoreJournal(path).read()
    assert found == state
    assert found is not None
    assert (found.done, found.safety) == (("timescaledb", "redis"), "safety")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    journal.end()
    assert journal.read() is None
    assert list(path.parent.iterdir()) == []
    journal.end()


def test_a_new_one_forgets_the_old(path: Path) -> None:
    journal = RestoreJournal(path)
    journal.did(journal.begin("one", ("redis",), "a"), "redis")
    journal.begin("two", ("redis",), "")
    found = journal.read()
    assert found is not None
    assert (found.point, found.done, found.safety) == ("two", (), "")


@pytest.mark.parametrize(
    ("age", "fresh"),
    [
        (timedelta(0), True),
        (timedelta(hours=23, minutes=59), True),
        (timedelta(hours=24, minutes=1), False),
        (timedelta(days=400), False),
        (timedelta(hours=-1), False),  # the clock was set back: nobody knows how old it is
    ],
)
def test_an_old_note_says_nothing_of_the_data_today(age: timedelta, fresh: bool) -> None:
    started = (datetime.now(tz=UTC) - age).isoformat()
    assert Interrupted("one", ("redis",), started).fresh is fresh


NOTE: dict[str, Any] = {"point": "one", "services": ["redis"], "started": "2026-01-02T03:04:05+00:00", "done": []}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        json.dumps({**NOTE, "services": None}).encode(),
        json.dumps({**NOTE, "started": "yesterday"}).encode(),
        json.dumps({**NOTE, "started": "2026-01-02T03:04:05"}).encode(),
        json.dumps({**NOTE, "started": 7}).encode(),
        json.dumps({name: value for name, value in NOTE.items() if name != "services"}).encode(),
    ],
)
def test_a_note_that_cannot_be_read_is_none(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert RestoreJournal(path).read() is None
    RestoreJournal(path).begin("one", ("redis",), "")
    assert RestoreJournal(path).read() is not None
