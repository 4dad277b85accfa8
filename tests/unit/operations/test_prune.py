"""Prune: the one operation that removes recovery points."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ragops.config.backup import KeepSettings
from ragops.errors import LockedError, MissingError, RagopsError
from ragops.operations.backup.prune import prune
from ragops.recovery.manifest import FILE_NAME
from ragops.recovery.repository import LockRequest, Repository
from tests.backup_helpers import MemoryStore, files_of, folder_of, open_repositories, put_point, stored

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.recovery.repositories import Repositories

LOCKER = LockRequest("the tests")
START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
RULE = KeepSettings(daily=2)


def filled(repos: Repositories, days: int = 5) -> list[str]:
    """The ids of one recovery point a day, in every repository, the newest first."""
    for repository in repos.members:
        for number in range(days):
            put_point(repository, repos.signing_key(), sequence=number + 1, created=START + timedelta(days=number))
    return [point.id for point in repos.primary.list().points]


@pytest.fixture
def repos(tmp_path: Path) -> Repositories:
    return open_repositories(tmp_path, tmp_path / "second")


def there(repos: Repositories) -> list[list[str]]:
    return [[point.id for point in repository.list().points] for repository in repos.members]


def test_what_is_not_kept_goes_from_every_repository(repos: Repositories, tmp_path: Path) -> None:
    ids = filled(repos)
    result = prune(repos, RULE, LOCKER)
    result.require_all()
    assert there(repos) == [ids[:2], ids[:2]]
    for pruned in result.repositories:
        assert [(verdict.point.id, verdict.keep) for verdict in pruned.verdicts] == [
            (ident, number < 2) for number, ident in enumerate(ids)
        ]
    for place in ("backups", "second"):
        assert {name.split("/")[1] for name in files_of(tmp_path / place)} == set(ids[:2])
    again = prune(repos, RULE, LOCKER)
    assert all(verdict.keep for pruned in again.repositories for verdict in pruned.verdicts)


def test_a_dry_run_says_the_same_and_removes_nothing(repos: Repositories, tmp_path: Path) -> None:
    ids = filled(repos)
    places = [tmp_path / name for name in ("backups", "second")]
    before = [files_of(place) for place in places]
    rehearsed = prune(repos, RULE, LOCKER, dry_run=True)
    assert rehearsed.dry_run
    assert there(repos) == [ids, ids]
    assert [files_of(place) for place in places] == before
    done = prune(repos, RULE, LOCKER)
    said = [[(v.point.id, v.keep, v.reason) for v in item.verdicts] for item in rehearsed.repositories]
    assert said == [[(v.point.id, v.keep, v.reason) for v in item.verdicts] for item in done.repositories]


def test_each_repository_is_judged_by_what_is_whole_there(repos: Repositories) -> None:
    ids = filled(repos)
    stored(repos.copies[0].get(ids[0]), "redis/dump.rdb").unlink()
    prune(repos, RULE, LOCKER)
    assert there(repos) == [[ids[0], ids[1]], [ids[1], ids[2]]]


def test_marks_and_what_a_restore_needs_are_left(repos: Repositories) -> None:
    ids = filled(repos)
    repos.copies[0].set_pinned(repos.copies[0].get(ids[4]), keep=True)
    prune(repos, RULE, LOCKER, {ids[3], ""})
    assert there(repos) == [[ids[0], ids[1], ids[3]], [ids[0], ids[1], ids[3], ids[4]]]


def test_what_cannot_be_read_is_left_alone_and_said(repos: Repositories) -> None:
    ids = filled(repos)
    damaged = repos.primary.get(ids[4])
    (folder_of(damaged) / FILE_NAME).write_bytes(b"{")
    result = prune(repos, RULE, LOCKER)
    assert [error.code for error in result.repositories[0].unreadable] == ["manifest_invalid"]
    assert stored(damaged, "redis/dump.rdb").exists()


class Away(MemoryStore):
    """A repository out of reach."""

    def list_entries(self, prefix: str = "") -> Any:
        raise MissingError("repository_unreachable", "it does not answer")


def test_one_that_is_away_keeps_no_other_from_being_pruned(repos: Repositories) -> None:
    ids = filled(repos)
    away = Repository(Away("memory://away"), "default")
    object.__setattr__(repos, "members", (away, *repos.members))
    result = prune(repos, RULE, LOCKER)
    assert [name for name, _ in result.failures] == ["memory://away"]
    assert [[point.id for point in item.list().points] for item in repos.copies] == [ids[:2], ids[:2]]
    with pytest.raises(RagopsError) as caught:
        result.require_all()
    assert caught.value.code == "prune_failed"
    assert "memory://away" in caught.value.message


def test_one_that_is_locked_is_not_pruned(repos: Repositories) -> None:
    ids = filled(repos)
    with repos.primary.lock(LockRequest("a backup elsewhere")):
        result = prune(repos, RULE, LOCKER)
    assert isinstance(result.failures[0][1], LockedError)
    assert there(repos) == [ids, ids[:2]]


def test_nobody_elses_environment_is_touched(repos: Repositories, tmp_path: Path) -> None:
    filled(repos)
    other = open_repositories(tmp_path, tmp_path / "second", environment="staging")
    ids = filled(other)
    prune(repos, RULE, LOCKER)
    assert there(other) == [ids, ids]


def test_an_empty_repository(repos: Repositories) -> None:
    result = prune(repos, RULE, LOCKER)
    assert [item.verdicts for item in result.repositories] == [(), ()]
    assert result.failures == ()
