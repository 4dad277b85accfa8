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
from tests.backup_helpers import MemoryStore, files_of, folder_of, put_point, stored, vault_of

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.recovery.backup_target import BackupTarget

LOCKER = LockRequest("the tests")
START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
RULE = KeepSettings(daily=2)


def filled(vault: BackupTarget, days: int = 5) -> list[str]:
    """The ids of one recovery point a day, in every repository, the newest first."""
    for repository in vault.repositories:
        for number in range(days):
            put_point(repository, vault.signing_key(), sequence=number + 1, created=START + timedelta(days=number))
    return [point.id for point in vault.primary.list().points]


@pytest.fixture
def vault(tmp_path: Path) -> BackupTarget:
    return vault_of(tmp_path, tmp_path / "second")


def there(vault: BackupTarget) -> list[list[str]]:
    return [[point.id for point in repository.list().points] for repository in vault.repositories]


def test_what_is_not_kept_goes_from_every_repository(vault: BackupTarget, tmp_path: Path) -> None:
    ids = filled(vault)
    result = prune(vault, RULE, LOCKER)
    result.require_all()
    assert there(vault) == [ids[:2], ids[:2]]
    for pruned in result.repositories:
        assert [(verdict.point.id, verdict.keep) for verdict in pruned.verdicts] == [
            (ident, number < 2) for number, ident in enumerate(ids)
        ]
    for place in ("backups", "second"):
        assert {name.split("/")[1] for name in files_of(tmp_path / place)} == set(ids[:2])
    again = prune(vault, RULE, LOCKER)
    assert all(verdict.keep for pruned in again.repositories for verdict in pruned.verdicts)


def test_a_dry_run_says_the_same_and_removes_nothing(vault: BackupTarget, tmp_path: Path) -> None:
    ids = filled(vault)
    places = [tmp_path / name for name in ("backups", "second")]
    before = [files_of(place) for place in places]
    rehearsed = prune(vault, RULE, LOCKER, dry_run=True)
    assert rehearsed.dry_run
    assert there(vault) == [ids, ids]
    assert [files_of(place) for place in places] == before
    done = prune(vault, RULE, LOCKER)
    said = [[(v.point.id, v.keep, v.reason) for v in item.verdicts] for item in rehearsed.repositories]
    assert said == [[(v.point.id, v.keep, v.reason) for v in item.verdicts] for item in done.repositories]


def test_each_repository_is_judged_by_what_is_whole_there(vault: BackupTarget) -> None:
    ids = filled(vault)
    stored(vault.copies[0].get(ids[0]), "redis/dump.rdb").unlink()
    prune(vault, RULE, LOCKER)
    assert there(vault) == [[ids[0], ids[1]], [ids[1], ids[2]]]


def test_marks_and_what_a_restore_needs_are_left(vault: BackupTarget) -> None:
    ids = filled(vault)
    vault.copies[0].set_pinned(vault.copies[0].get(ids[4]), keep=True)
    prune(vault, RULE, LOCKER, {ids[3], ""})
    assert there(vault) == [[ids[0], ids[1], ids[3]], [ids[0], ids[1], ids[3], ids[4]]]


def test_what_cannot_be_read_is_left_alone_and_said(vault: BackupTarget) -> None:
    ids = filled(vault)
    damaged = vault.primary.get(ids[4])
    (folder_of(damaged) / FILE_NAME).write_bytes(b"{")
    result = prune(vault, RULE, LOCKER)
    assert [error.code for error in result.repositories[0].unreadable] == ["manifest_invalid"]
    assert stored(damaged, "redis/dump.rdb").exists()


class Away(MemoryStore):
    """A repository out of reach."""

    def list_entries(self, prefix: str = "") -> Any:
        raise MissingError("repository_unreachable", "it does not answer")


def test_one_that_is_away_keeps_no_other_from_being_pruned(vault: BackupTarget) -> None:
    ids = filled(vault)
    away = Repository(Away("memory://away"), "default")
    object.__setattr__(vault, "repositories", (away, *vault.repositories))
    result = prune(vault, RULE, LOCKER)
    assert [name for name, _ in result.failures] == ["memory://away"]
    assert [[point.id for point in item.list().points] for item in vault.copies] == [ids[:2], ids[:2]]
    with pytest.raises(RagopsError) as caught:
        result.require_all()
    assert caught.value.code == "prune_failed"
    assert "memory://away" in caught.value.message


def test_one_that_is_locked_is_not_pruned(vault: BackupTarget) -> None:
    ids = filled(vault)
    with vault.primary.lock(LockRequest("a backup elsewhere")):
        result = prune(vault, RULE, LOCKER)
    assert isinstance(result.failures[0][1], LockedError)
    assert there(vault) == [ids, ids[:2]]


def test_nobody_elses_environment_is_touched(vault: BackupTarget, tmp_path: Path) -> None:
    filled(vault)
    other = vault_of(tmp_path, tmp_path / "second", environment="staging")
    ids = filled(other)
    prune(vault, RULE, LOCKER)
    assert there(other) == [ids, ids]


def test_an_empty_repository(vault: BackupTarget) -> None:
    result = prune(vault, RULE, LOCKER)
    assert [item.verdicts for item in result.repositories] == [(), ()]
    assert result.failures == ()
