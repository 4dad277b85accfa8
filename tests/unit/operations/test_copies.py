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
from tests.backup_helpers import damage, folder_of, open_repositories, put_point, restore, stored, take
from tests.fake_engines import engines, platform_of, plugged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.recovery.repositories import Repositories

pytestmark = pytest.mark.timeout(120)
LOCKER = LockRequest("the tests")


@pytest.fixture(autouse=True)
def _fakes() -> Iterator[None]:
    with plugged(engines()):
        yield


@pytest.fixture
def repos(tmp_path: Path) -> Repositories:
    """Three repositories, and a memory of what was taken."""
    found = open_repositories(tmp_path, tmp_path / "second", tmp_path / "third")
    return replace(found, history=History(tmp_path / "history.json"))


def lose(repos: Repositories, number: int) -> Repositories:
    """Its folder is gone; returns what the next command sees."""
    folders = [repository.store.folder for repository in repos.members]  # type: ignore[attr-defined]
    shutil.rmtree(folders[number])
    places = (Repository(FolderStore(folder), "default", repos.staging.parent / "cache") for folder in folders)
    return replace(repos, members=tuple(places)[: len(folders)])


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_numbers_go_on_where_the_first_repository_was_lost(repos: Repositories) -> None:
    for _ in range(3):
        take(platform_of(), repos)
    repos = lose(repos, 0)
    newest = take(platform_of(), repos)
    assert newest.manifest.sequence == 4
    for repository in repos.members:
        assert repository.get("latest").id == newest.id


def test_numbers_go_on_by_the_copies_where_nothing_is_remembered(repos: Repositories) -> None:
    for _ in range(3):
        take(platform_of(), repos)
    repos = lose(repos, 0)
    assert take(platform_of(), replace(repos, history=None)).manifest.sequence == 4


def test_numbers_go_on_by_memory_where_no_copy_can_be_asked(repos: Repositories) -> None:
    for _ in range(2):
        take(platform_of(), repos.without_copies())
    repos = lose(repos.without_copies(), 0)
    assert take(platform_of(), repos.without_copies()).manifest.sequence == 3
    (repos.history.path).unlink()  # type: ignore[union-attr]
    assert take(platform_of(), repos.without_copies()).manifest.sequence == 4, "the repository itself knows"


def test_a_first_repository_that_was_emptied_is_not_begun_again(repos: Repositories) -> None:
    replicate.refuse_emptied_primary(repos)
    taken = take(platform_of(), repos)
    replicate.refuse_emptied_primary(repos)
    repos = lose(repos, 0)
    with pytest.raises(MissingError) as caught:
        replicate.refuse_emptied_primary(repos)
    assert caught.value.code == "repository_emptied"
    assert taken.id in caught.value.message
    assert "`ragops backup copy --all`" in caught.value.hint
    replicate.refuse_emptied_primary(repos.without_copies())  # nothing tells that there was anything
    replicate.replicate_point(repos, taken.id, locker=LOCKER)
    replicate.refuse_emptied_primary(repos)


def test_prune_after_a_loss_removes_no_copy_of_the_newest(repos: Repositories) -> None:
    taken = [take(platform_of(), repos) for _ in range(3)]
    repos = lose(repos, 0)
    newest = take(platform_of(), repos)
    result = prune(repos, KeepSettings(daily=1), LOCKER)
    for repository, pruned in zip(repos.members, result.repositories, strict=True):
        assert [point.id for point in repository.list().points] == [newest.id]
        gone = {verdict.point.id for verdict in pruned.verdicts if not verdict.keep}
        assert gone == (set() if repository is repos.primary else {point.id for point in taken})


# --- spread ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["flipped", "truncated", "empty", "missing"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_damaged_one_is_replaced_wherever_it_lies(repos: Repositories, number: int, how: str) -> None:
    ident = take(platform_of(), repos).id
    there = repos.members[number].get(ident)
    path = stored(there, "redis/one")
    if how == "empty":
        path.write_bytes(b"")
    else:
        damage(path, how)
    others = [repository for repository in repos.members if repository is not repos.members[number]]
    before = [(folder_of(repository.get(ident)) / FILE_NAME).stat().st_mtime_ns for repository in others]
    found = replicate.replicate_point(repos, ident, locker=LOCKER)
    assert [place.how for place in found.places if place.how != replicate.THERE] == [replicate.REPLACED]
    for repository in repos.members:
        repository.get(ident).verify()
    after = [(folder_of(repository.get(ident)) / FILE_NAME).stat().st_mtime_ns for repository in others]
    assert after == before, "those that were whole were left alone"


def test_one_that_is_missing_is_copied_and_the_rest_read(repos: Repositories) -> None:
    ident = take(platform_of(), repos.without_copies()).id
    found = replicate.replicate_point(repos, "latest", locker=LOCKER)
    assert [place.how for place in found.places] == [replicate.THERE, replicate.COPIED, replicate.COPIED]
    repos = lose(repos, 0)
    found = replicate.replicate_point(repos, "latest", locker=LOCKER)
    assert [place.how for place in found.places] == [replicate.COPIED, replicate.THERE, replicate.THERE]
    assert repos.primary.get("latest").id == ident


def test_the_latest_is_mended_if_the_first_repository_cannot_read_it(repos: Repositories) -> None:
    for number in (1, 2):
        for repository in repos.members:
            created = datetime(2026, 3, number, tzinfo=UTC)
            ident = put_point(repository, repos.signing_key(), sequence=number, created=created).id
    (folder_of(repos.primary.get(ident)) / FILE_NAME).write_bytes(b"{")
    found = replicate.replicate_point(repos, "latest", locker=LOCKER)
    assert found.point.id == ident
    assert repos.primary.get("latest").id == ident


def test_whole_nowhere_is_said_and_nothing_is_touched(repos: Repositories) -> None:
    ident = take(platform_of(), repos).id
    for repository in repos.members:
        damage(stored(repository.get(ident), "redis/one"), "truncated")
    with pytest.raises(IntegrityError):
        replicate.replicate_point(repos, ident, locker=LOCKER)
    assert all(repository.get(ident).find_faults() for repository in repos.members)


def test_a_copy_that_fails_is_told_and_the_others_are_made(repos: Repositories, tmp_path: Path) -> None:
    take(platform_of(), repos.without_copies())
    (tmp_path / "second").write_text("a file in its place")
    found = replicate.replicate_point(repos, "latest", locker=LOCKER)
    assert [bool(place.error) for place in found.places] == [False, True, False]
    with pytest.raises(RagopsError) as caught:
        found.require_all()
    assert caught.value.code == "copy_failed"
    assert str(tmp_path / "second") in caught.value.message


def test_what_a_repository_lacks_is_known_but_for_ways_back(repos: Repositories) -> None:
    whole = take(platform_of(), repos)
    alone = take(platform_of(), repos.without_copies())
    take(platform_of(), repos.without_copies(), request=create.BackupRequest(kind=Kind.SAFETY))
    assert replicate.incomplete(repos) == (alone.id,)
    stored(repos.copies[0].get(whole.id), "redis/one").unlink()
    assert set(replicate.incomplete(repos)) == {whole.id, alone.id}


# --- where else one is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["latest", "id", "start"])
def test_a_loss_says_where_another_one_is(repos: Repositories, reference: str) -> None:
    ident = take(platform_of(), repos).id
    repos = lose(repos, 0)
    wanted = {"latest": "latest", "id": ident, "start": ident[:-3]}[reference]
    with pytest.raises(RagopsError) as caught:
        repos.find(wanted)
    assert "--repository 2" in caught.value.hint
    assert "--repository 3" in caught.value.hint
    assert repos.find(wanted, "2")[1].id == ident


def test_without_another_one_the_hint_is_the_usual_one(repos: Repositories) -> None:
    with pytest.raises(MissingError) as caught:
        repos.find("latest")
    assert "ragops backup run" in caught.value.hint


def test_damage_says_where_another_one_is_and_what_mends_it(repos: Repositories) -> None:
    ident = take(platform_of(), repos).id
    damage(stored(repos.primary.get(ident), "redis/one"), "truncated")
    for attempt in (
        lambda: verify(None, repos, ident),
        lambda: restore(RestoreRequest(ident), platform_of(), repos),
    ):
        with pytest.raises(IntegrityError) as caught:
            attempt()
        assert "--repository 2" in caught.value.hint
        assert f"ragops backup copy {ident}" in caught.value.hint


def test_a_mark_is_set_wherever_it_is_though_the_first_repository_lost_it(repos: Repositories) -> None:
    take(platform_of(), repos)
    repos = lose(repos, 0)
    point: Any = repos.find("latest", "2")[1]
    replicate.pin(repos, point, keep=True, locker=LOCKER)
    assert all(repository.get(point.id).is_pinned for repository in repos.copies)


# --- a copy's disk that is away --------------------------------------------------------------------------------------


def test_a_folder_that_held_copies_is_not_made_anew(repos: Repositories) -> None:
    """Its disk is not mounted: nothing is written on the disk below, and what to do is said."""
    take(platform_of(), repos)
    away = lose(repos, 1)
    done = create.run(platform_of(), away)
    assert [copy.error.code if copy.error else "" for copy in done.copies] == ["repository_emptied", ""]
    assert not (away.staging.parent / "second").exists()
    with pytest.raises(RagopsError, match="mounted"):
        done.require_copies()


def test_it_is_made_anew_when_somebody_says_so(repos: Repositories) -> None:
    take(platform_of(), repos)
    away = lose(repos, 1)
    replicate.replicate_point(away, "latest", locker=LOCKER)
    done = create.run(platform_of(), away)
    assert [copy.error for copy in done.copies] == [None, None]


def test_a_new_repository_is_begun_without_a_word(repos: Repositories, tmp_path: Path) -> None:
    take(platform_of(), repos)
    fourth = Repository(FolderStore(tmp_path / "fourth"), "default", tmp_path / "cache")
    done = create.run(platform_of(), replace(repos, members=(*repos.members, fourth)))
    assert [copy.error for copy in done.copies] == [None] * 3
