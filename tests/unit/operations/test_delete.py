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
from tests.backup_helpers import MemoryStore, folder_of, put_point, stored, vault_of

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.recovery.backup_target import BackupTarget

LOCKER = LockRequest("the tests")
START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)


@pytest.fixture
def vault(tmp_path: Path) -> BackupTarget:
    return vault_of(tmp_path, tmp_path / "second")


def filled(vault: BackupTarget, days: int = 3) -> list[str]:
    for repository in vault.repositories:
        for number in range(days):
            put_point(repository, vault.signing_key(), sequence=number + 1, created=START + timedelta(days=number))
    return [point.id for point in vault.primary.list().points]


def there(vault: BackupTarget) -> list[list[str]]:
    return [[point.id for point in repository.list().points] for repository in vault.repositories]


def refusal(vault: BackupTarget, *request: Any, **named: Any) -> str:
    """The code that it is refused with, before and in the very act; nothing goes."""
    before = [repository.list_ids() for repository in vault.repositories]
    found = next(item.refusal for item in plan_deletion(vault, DeleteRequest(*request, **named)) if item.refusal)
    try:
        delete(vault, DeleteRequest(*request, **named), LOCKER).require_all()
    except RagopsError as error:
        assert found.message in error.message
    else:
        pytest.fail("it went")
    assert [repository.list_ids() for repository in vault.repositories] == before
    return found.code


def test_the_latest_is_not_guessed_if_a_newer_one_cannot_be_read(vault: BackupTarget) -> None:
    ids = filled(vault)
    (folder_of(vault.primary.get(ids[0])) / FILE_NAME).write_bytes(b"{")
    with pytest.raises(RagopsError) as caught:
        plan_deletion(vault, DeleteRequest("latest"))
    assert caught.value.exit_code == 6
    assert ids[1] in caught.value.message
    assert "--repository 2" in caught.value.hint, "the other repository has it whole"


def test_one_goes_from_everywhere_or_from_one_repository(vault: BackupTarget) -> None:
    ids = filled(vault)
    found = plan_deletion(vault, DeleteRequest(ids[0]))
    assert [(item.repository, item.state) for item in found] == [(item.name, "whole") for item in vault.repositories]
    assert all(item.size > vault.primary.get(ids[0]).size > 0 for item in found)
    result = delete(vault, DeleteRequest(ids[0][:11]), LOCKER)
    result.require_all()
    assert result.removed == found
    assert there(vault) == [ids[1:], ids[1:]]
    delete(vault, DeleteRequest(ids[2], "2"), LOCKER).require_all()
    assert there(vault) == [ids[1:], ids[1:2]]


def test_the_last_good_one_stays(vault: BackupTarget) -> None:
    ids = filled(vault)
    stored(vault.primary.get(ids[0]), "redis/dump.rdb").unlink()
    put_point(vault.primary, SigningKey(Ed25519PrivateKey.generate()), sequence=9, created=START + timedelta(days=9))
    put_point(vault.primary, vault.signing_key(), sequence=8, created=START + timedelta(days=8), kind=Kind.SAFETY)
    delete(vault, DeleteRequest(ids[2], "1"), LOCKER).require_all()
    assert refusal(vault, ids[1], "1") == "last_recovery_point"
    delete(vault, DeleteRequest(ids[0], "1"), LOCKER).require_all()  # the damaged one may go
    assert refusal(vault, ids[1], "1") == "last_recovery_point"
    delete(vault, DeleteRequest(ids[1], "2"), LOCKER).require_all()  # it is not the last one there


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_one_that_cannot_be_read_goes(vault: BackupTarget, content: bytes) -> None:
    ids = filled(vault)
    (folder_of(vault.primary.get(ids[1])) / FILE_NAME).write_bytes(content)
    assert [item.state for item in plan_deletion(vault, DeleteRequest(ids[1]))] == ["unreadable", "whole"]
    delete(vault, DeleteRequest(ids[1], "1"), LOCKER).require_all()
    assert there(vault) == [[ids[0], ids[2]], ids]
    assert vault.primary.list().unreadable == {}
    assert ids[1] not in vault.primary.list_ids()


def test_a_manifest_of_another_and_half_a_one_go(vault: BackupTarget) -> None:
    ids = filled(vault)
    (folder_of(vault.primary.get(ids[0])) / FILE_NAME).write_bytes(
        (folder_of(vault.primary.get(ids[1])) / FILE_NAME).read_bytes()
    )
    half = folder_of(vault.primary.get(ids[1])).with_name("20991231T000000Z-abcdef") / "redis/x"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    for ident in (ids[0], "20991231"):
        delete(vault, DeleteRequest(ident, "1"), LOCKER).require_all()
    assert vault.primary.list_ids() == (ids[2], ids[1])


def test_marked_ones_need_a_flag(vault: BackupTarget) -> None:
    ids = filled(vault)
    vault.copies[0].set_pinned(vault.copies[0].get(ids[1]), keep=True)
    assert refusal(vault, ids[1], "2") == "recovery_point_kept"
    delete(vault, DeleteRequest(ids[1], kept=True), LOCKER).require_all()
    put_point(vault.copies[0], vault.signing_key(), sequence=2, created=START + timedelta(days=1))
    assert not vault.copies[0].get(ids[1]).is_pinned, "its mark went with it"


def test_what_a_restore_needs_stays(vault: BackupTarget) -> None:
    ids = filled(vault)
    assert refusal(vault, ids[1], needed=frozenset({ids[1]})) == "recovery_point_needed"


@pytest.mark.parametrize(("reference", "code"), [("", "usage"), ("1999", "no_recovery_point"), ("2", "ambiguous")])
def test_it_has_to_be_named(vault: BackupTarget, reference: str, code: str) -> None:
    filled(vault)
    with pytest.raises(UsageError) as caught:
        plan_deletion(vault, DeleteRequest(reference))
    assert caught.value.code.startswith(code)


def test_a_repository_in_use_is_told_and_the_others_are_done(vault: BackupTarget) -> None:
    ids = filled(vault)
    with vault.copies[0].lock(LockRequest("another")):
        result = delete(vault, DeleteRequest(ids[2]), LOCKER)
    with pytest.raises(RagopsError) as caught:
        result.require_all()
    assert caught.value.exit_code == LockedError.default_exit
    assert there(vault) == [ids[:2], ids]


def test_of_a_store_that_is_far_away(tmp_path: Path) -> None:
    vault = vault_of(tmp_path)
    far = Repository(MemoryStore(), "default", tmp_path / "cache")
    vault = type(vault)((far,), tmp_path, tmp_path / "signing.pem")
    ids = filled(vault)
    delete(vault, DeleteRequest(ids[2]), LOCKER).require_all()
    assert [point.id for point in far.list_cached().points] == ids[:2]
