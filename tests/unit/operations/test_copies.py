"""Several repositories: numbers that outlive one of them, damage mended from a whole copy, and where else one is."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.storage.folder import FolderStore
from ragops.config.backup import KeepSettings
from ragops.errors import IntegrityError, MissingError, RagopsError
from ragops.operations.backup import create, replicate
from ragops.operations.backup.prune import prune
from ragops.operations.backup.verify import verify
from ragops.operations.restore.restore import RestoreRequest
from ragops.recovery.local_history import History
from ragops.recovery.manifest import FILE_NAME, Kind
from ragops.recovery.repository import LockRequest, Repository
from tests.backup_helpers import damage, folder_of, put_point, restore, stored, take, vault_of
from tests.fake_engines import engines, platform_of, plugged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.recovery.backup_target import BackupTarget

pytestmark = pytest.mark.timeout(120)
LOCKER = LockRequest("the tests")


@pytest.fixture(autouse=True)
def _fakes() -> Iterator[None]:
    with plugged(engines()):
        yield


@pytest.fixture
def vault(tmp_path: Path) -> BackupTarget:
    """Three repositories, and a memory of what was taken."""
    found = vault_of(tmp_path, tmp_path / "second", tmp_path / "third")
    return replace(found, history=History(tmp_path / "history.json"))


def lose(vault: BackupTarget, number: int) -> BackupTarget:
    """Its folder is gone; returns what the next command sees."""
    folders = [repository.store.folder for repository in vault.repositories]  # type: ignore[attr-defined]
    shutil.rmtree(folders[number])
    places = (Repository(FolderStore(folder), "default", vault.staging.parent / "cache") for folder in folders)
    return replace(vault, repositories=tuple(places)[: len(folders)])


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_numbers_go_on_where_the_first_repository_was_lost(vault: BackupTarget) -> None:
    for _ in range(3):
        take(platform_of(), vault)
    vault = lose(vault, 0)
    newest = take(platform_of(), vault)
    assert newest.manifest.sequence == 4
    for repository in vault.repositories:
        assert repository.get("latest").id == newest.id


def test_numbers_go_on_by_the_copies_where_nothing_is_remembered(vault: BackupTarget) -> None:
    for _ in range(3):
        take(platform_of(), vault)
    vault = lose(vault, 0)
    assert take(platform_of(), replace(vault, history=None)).manifest.sequence == 4


def test_numbers_go_on_by_memory_where_no_copy_can_be_asked(vault: BackupTarget) -> None:
    for _ in range(2):
        take(platform_of(), vault.without_copies())
    vault = lose(vault.without_copies(), 0)
    assert take(platform_of(), vault.without_copies()).manifest.sequence == 3
    (vault.history.path).unlink()  # type: ignore[union-attr]
    assert take(platform_of(), vault.without_copies()).manifest.sequence == 4, "the repository itself knows"


def test_a_first_repository_that_was_emptied_is_not_begun_again(vault: BackupTarget) -> None:
    replicate.refuse_emptied_primary(vault)
    taken = take(platform_of(), vault)
    replicate.refuse_emptied_primary(vault)
    vault = lose(vault, 0)
    with pytest.raises(MissingError) as caught:
        replicate.refuse_emptied_primary(vault)
    assert caught.value.code == "repository_emptied"
    assert taken.id in caught.value.message
    assert "`ragops backup copy --all`" in caught.value.hint
    replicate.refuse_emptied_primary(vault.without_copies())  # nothing tells that there was anything
    replicate.replicate_point(vault, taken.id, locker=LOCKER)
    replicate.refuse_emptied_primary(vault)


def test_prune_after_a_loss_removes_no_copy_of_the_newest(vault: BackupTarget) -> None:
    taken = [take(platform_of(), vault) for _ in range(3)]
    vault = lose(vault, 0)
    newest = take(platform_of(), vault)
    result = prune(vault, KeepSettings(daily=1), LOCKER)
    for repository, pruned in zip(vault.repositories, result.repositories, strict=True):
        assert [point.id for point in repository.list().points] == [newest.id]
        gone = {verdict.point.id for verdict in pruned.verdicts if not verdict.keep}
        assert gone == (set() if repository is vault.primary else {point.id for point in taken})


# --- spread ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["flipped", "truncated", "empty", "missing"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_damaged_one_is_replaced_wherever_it_lies(vault: BackupTarget, number: int, how: str) -> None:
    ident = take(platform_of(), vault).id
    there = vault.repositories[number].get(ident)
    path = stored(there, "redis/one")
    if how == "empty":
        path.write_bytes(b"")
    else:
        damage(path, how)
    others = [repository for repository in vault.repositories if repository is not vault.repositories[number]]
    before = [(folder_of(repository.get(ident)) / FILE_NAME).stat().st_mtime_ns for repository in others]
    found = replicate.replicate_point(vault, ident, locker=LOCKER)
    assert [place.how for place in found.places if place.how != replicate.THERE] == [replicate.REPLACED]
    for repository in vault.repositories:
        repository.get(ident).verify()
    after = [(folder_of(repository.get(ident)) / FILE_NAME).stat().st_mtime_ns for repository in others]
    assert after == before, "those that were whole were left alone"


def test_one_that_is_missing_is_copied_and_the_rest_read(vault: BackupTarget) -> None:
    ident = take(platform_of(), vault.without_copies()).id
    found = replicate.replicate_point(vault, "latest", locker=LOCKER)
    assert [place.how for place in found.places] == [replicate.THERE, replicate.COPIED, replicate.COPIED]
    vault = lose(vault, 0)
    found = replicate.replicate_point(vault, "latest", locker=LOCKER)
    assert [place.how for place in found.places] == [replicate.COPIED, replicate.THERE, replicate.THERE]
    assert vault.primary.get("latest").id == ident


def test_the_latest_is_mended_if_the_first_repository_cannot_read_it(vault: BackupTarget) -> None:
    for number in (1, 2):
        for repository in vault.repositories:
            created = datetime(2026, 3, number, tzinfo=UTC)
            ident = put_point(repository, vault.signing_key(), sequence=number, created=created).id
    (folder_of(vault.primary.get(ident)) / FILE_NAME).write_bytes(b"{")
    found = replicate.replicate_point(vault, "latest", locker=LOCKER)
    assert found.point.id == ident
    assert vault.primary.get("latest").id == ident


def test_whole_nowhere_is_said_and_nothing_is_touched(vault: BackupTarget) -> None:
    ident = take(platform_of(), vault).id
    for repository in vault.repositories:
        damage(stored(repository.get(ident), "redis/one"), "truncated")
    with pytest.raises(IntegrityError):
        replicate.replicate_point(vault, ident, locker=LOCKER)
    assert all(repository.get(ident).find_faults() for repository in vault.repositories)


def test_a_copy_that_fails_is_told_and_the_others_are_made(vault: BackupTarget, tmp_path: Path) -> None:
    take(platform_of(), vault.without_copies())
    (tmp_path / "second").write_text("a file in its place")
    found = replicate.replicate_point(vault, "latest", locker=LOCKER)
    assert [bool(place.error) for place in found.places] == [False, True, False]
    with pytest.raises(RagopsError) as caught:
        found.require_all()
    assert caught.value.code == "copy_failed"
    assert str(tmp_path / "second") in caught.value.message


def test_what_a_repository_lacks_is_known_but_for_ways_back(vault: BackupTarget) -> None:
    whole = take(platform_of(), vault)
    alone = take(platform_of(), vault.without_copies())
    take(platform_of(), vault.without_copies(), request=create.BackupRequest(kind=Kind.SAFETY))
    assert replicate.incomplete(vault) == (alone.id,)
    stored(vault.copies[0].get(whole.id), "redis/one").unlink()
    assert set(replicate.incomplete(vault)) == {whole.id, alone.id}


# --- where else one is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["latest", "id", "start"])
def test_a_loss_says_where_another_one_is(vault: BackupTarget, reference: str) -> None:
    ident = take(platform_of(), vault).id
    vault = lose(vault, 0)
    wanted = {"latest": "latest", "id": ident, "start": ident[:-3]}[reference]
    with pytest.raises(RagopsError) as caught:
        vault.find(wanted)
    assert "--repository 2" in caught.value.hint
    assert "--repository 3" in caught.value.hint
    assert vault.find(wanted, "2")[1].id == ident


def test_without_another_one_the_hint_is_the_usual_one(vault: BackupTarget) -> None:
    with pytest.raises(MissingError) as caught:
        vault.find("latest")
    assert "ragops backup run" in caught.value.hint


def test_damage_says_where_another_one_is_and_what_mends_it(vault: BackupTarget) -> None:
    ident = take(platform_of(), vault).id
    damage(stored(vault.primary.get(ident), "redis/one"), "truncated")
    for attempt in (
        lambda: verify(None, vault, ident),
        lambda: restore(RestoreRequest(ident), platform_of(), vault),
    ):
        with pytest.raises(IntegrityError) as caught:
            attempt()
        assert "--repository 2" in caught.value.hint
        assert f"ragops backup copy {ident}" in caught.value.hint


def test_a_mark_is_set_wherever_it_is_though_the_first_repository_lost_it(vault: BackupTarget) -> None:
    take(platform_of(), vault)
    vault = lose(vault, 0)
    point: Any = vault.find("latest", "2")[1]
    replicate.pin(vault, point, keep=True, locker=LOCKER)
    assert all(repository.get(point.id).is_pinned for repository in vault.copies)


# --- a copy's disk that is away --------------------------------------------------------------------------------------


def test_a_folder_that_held_copies_is_not_made_anew(vault: BackupTarget) -> None:
    """Its disk is not mounted: nothing is written on the disk below, and what to do is said."""
    take(platform_of(), vault)
    away = lose(vault, 1)
    done = create.run(platform_of(), away)
    assert [copy.error.code if copy.error else "" for copy in done.copies] == ["repository_emptied", ""]
    assert not (away.staging.parent / "second").exists()
    with pytest.raises(RagopsError, match="mounted"):
        done.require_copies()


def test_it_is_made_anew_when_somebody_says_so(vault: BackupTarget) -> None:
    take(platform_of(), vault)
    away = lose(vault, 1)
    replicate.replicate_point(away, "latest", locker=LOCKER)
    done = create.run(platform_of(), away)
    assert [copy.error for copy in done.copies] == [None, None]


def test_a_new_repository_is_begun_without_a_word(vault: BackupTarget, tmp_path: Path) -> None:
    take(platform_of(), vault)
    fourth = Repository(FolderStore(tmp_path / "fourth"), "default", tmp_path / "cache")
    done = create.run(platform_of(), replace(vault, repositories=(*vault.repositories, fourth)))
    assert [copy.error for copy in done.copies] == [None] * 3
