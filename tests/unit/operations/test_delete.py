"""Delete: one recovery point by its id, and never the one that is needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ragops.errors import LockedError, RagopsError, UsageError
from ragops.operations.backup.delete import DeleteRequest, delete, plan_deletion
from ragops.recovery.manifest import FILE_NAME, Kind
from ragops.recovery.repository import LockRequest, Repository
from ragops.recovery.signing import SigningKey
from tests.backup_helpers import MemoryStore, folder_of, open_repositories, put_point, stored

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.recovery.repositories import Repositories

LOCKER = LockRequest("the tests")
START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)


@pytest.fixture
def repos(tmp_path: Path) -> Repositories:
    return open_repositories(tmp_path, tmp_path / "second")


def filled(repos: Repositories, days: int = 3) -> list[str]:
    for repository in repos.members:
        for number in range(days):
            put_point(repository, repos.signing_key(), sequence=number + 1, created=START + timedelta(days=number))
    return [point.id for point in repos.primary.list().points]


def there(repos: Repositories) -> list[list[str]]:
    return [[point.id for point in repository.list().points] for repository in repos.members]


def refusal(repos: Repositories, *request: Any, **named: Any) -> str:
    """The code that it is refused with, before and in the very act; nothing goes."""
    before = [repository.list_ids() for repository in repos.members]
    found = next(item.refusal for item in plan_deletion(repos, DeleteRequest(*request, **named)) if item.refusal)
    try:
        delete(repos, DeleteRequest(*request, **named), LOCKER).require_all()
    except RagopsError as error:
        assert found.message in error.message
    else:
        pytest.fail("it went")
    assert [repository.list_ids() for repository in repos.members] == before
    return found.code


def test_the_latest_is_not_guessed_if_a_newer_one_cannot_be_read(repos: Repositories) -> None:
    ids = filled(repos)
    (folder_of(repos.primary.get(ids[0])) / FILE_NAME).write_bytes(b"{")
    with pytest.raises(RagopsError) as caught:
        plan_deletion(repos, DeleteRequest("latest"))
    assert caught.value.exit_code == 6
    assert ids[1] in caught.value.message
    assert "--repository 2" in caught.value.hint, "the other repository has it whole"


def test_one_goes_from_everywhere_or_from_one_repository(repos: Repositories) -> None:
    ids = filled(repos)
    found = plan_deletion(repos, DeleteRequest(ids[0]))
    assert [(item.repository, item.state) for item in found] == [(item.name, "whole") for item in repos.members]
    assert all(item.size > repos.primary.get(ids[0]).size > 0 for item in found)
    result = delete(repos, DeleteRequest(ids[0][:11]), LOCKER)
    result.require_all()
    assert result.removed == found
    assert there(repos) == [ids[1:], ids[1:]]
    delete(repos, DeleteRequest(ids[2], "2"), LOCKER).require_all()
    assert there(repos) == [ids[1:], ids[1:2]]


def test_the_last_good_one_stays(repos: Repositories) -> None:
    ids = filled(repos)
    stored(repos.primary.get(ids[0]), "redis/dump.rdb").unlink()
    put_point(repos.primary, SigningKey(Ed25519PrivateKey.generate()), sequence=9, created=START + timedelta(days=9))
    put_point(repos.primary, repos.signing_key(), sequence=8, created=START + timedelta(days=8), kind=Kind.SAFETY)
    delete(repos, DeleteRequest(ids[2], "1"), LOCKER).require_all()
    assert refusal(repos, ids[1], "1") == "last_recovery_point"
    delete(repos, DeleteRequest(ids[0], "1"), LOCKER).require_all()  # the damaged one may go
    assert refusal(repos, ids[1], "1") == "last_recovery_point"
    delete(repos, DeleteRequest(ids[1], "2"), LOCKER).require_all()  # it is not the last one there


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_one_that_cannot_be_read_goes(repos: Repositories, content: bytes) -> None:
    ids = filled(repos)
    (folder_of(repos.primary.get(ids[1])) / FILE_NAME).write_bytes(content)
    assert [item.state for item in plan_deletion(repos, DeleteRequest(ids[1]))] == ["unreadable", "whole"]
    delete(repos, DeleteRequest(ids[1], "1"), LOCKER).require_all()
    assert there(repos) == [[ids[0], ids[2]], ids]
    assert repos.primary.list().unreadable == {}
    assert ids[1] not in repos.primary.list_ids()


def test_a_manifest_of_another_and_half_a_one_go(repos: Repositories) -> None:
    ids = filled(repos)
    (folder_of(repos.primary.get(ids[0])) / FILE_NAME).write_bytes(
        (folder_of(repos.primary.get(ids[1])) / FILE_NAME).read_bytes()
    )
    half = folder_of(repos.primary.get(ids[1])).with_name("20991231T000000Z-abcdef") / "redis/x"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    for ident in (ids[0], "20991231"):
        delete(repos, DeleteRequest(ident, "1"), LOCKER).require_all()
    assert repos.primary.list_ids() == (ids[2], ids[1])


def test_marked_ones_need_a_flag(repos: Repositories) -> None:
    ids = filled(repos)
    repos.copies[0].set_pinned(repos.copies[0].get(ids[1]), keep=True)
    assert refusal(repos, ids[1], "2") == "recovery_point_kept"
    delete(repos, DeleteRequest(ids[1], kept=True), LOCKER).require_all()
    put_point(repos.copies[0], repos.signing_key(), sequence=2, created=START + timedelta(days=1))
    assert not repos.copies[0].get(ids[1]).is_pinned, "its mark went with it"


def test_what_a_restore_needs_stays(repos: Repositories) -> None:
    ids = filled(repos)
    assert refusal(repos, ids[1], needed=frozenset({ids[1]})) == "recovery_point_needed"


@pytest.mark.parametrize(("reference", "code"), [("", "usage"), ("1999", "no_recovery_point"), ("2", "ambiguous")])
def test_it_has_to_be_named(repos: Repositories, reference: str, code: str) -> None:
    filled(repos)
    with pytest.raises(UsageError) as caught:
        plan_deletion(repos, DeleteRequest(reference))
    assert caught.value.code.startswith(code)


def test_a_repository_in_use_is_told_and_the_others_are_done(repos: Repositories) -> None:
    ids = filled(repos)
    with repos.copies[0].lock(LockRequest("another")):
        result = delete(repos, DeleteRequest(ids[2]), LOCKER)
    with pytest.raises(RagopsError) as caught:
        result.require_all()
    assert caught.value.exit_code == LockedError.default_exit
    assert there(repos) == [ids[:2], ids]


def test_of_a_store_that_is_far_away(tmp_path: Path) -> None:
    repos = open_repositories(tmp_path)
    far = Repository(MemoryStore(), "default", tmp_path / "cache")
    repos = type(repos)((far,), tmp_path, tmp_path / "signing.pem")
    ids = filled(repos)
    delete(repos, DeleteRequest(ids[2]), LOCKER).require_all()
    assert [point.id for point in far.list_cached().points] == ids[:2]
