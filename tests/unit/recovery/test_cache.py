"""Manifests are read once from a repository that is far away, and a cache that is wrong does no harm."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ragops.recovery.manifest import FILE_NAME
from ragops.recovery.repository import Repository
from ragops.recovery.signing import SigningKey
from tests.backup_helpers import MemoryStore, files_of, put_point

if TYPE_CHECKING:
    from pathlib import Path

KEY = SigningKey(Ed25519PrivateKey.generate())
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def filled(store: MemoryStore, folder: Path, count: int = 5, environment: str = "default") -> Repository:
    repository = Repository(store, environment, folder)
    for number in range(1, count + 1):
        put_point(repository, KEY, sequence=number, created=NOW + timedelta(hours=number))
    store.reads.clear()
    return repository


def read_manifests(store: MemoryStore) -> int:
    found = sum(count for path, count in store.reads.items() if path.endswith(FILE_NAME))
    store.reads.clear()
    return found


def test_a_second_list_reads_no_manifest_again(store: MemoryStore, tmp_path: Path) -> None:
    repository = filled(store, tmp_path)
    first = repository.list()
    assert read_manifests(store) == 5
    assert repository.list() == first
    assert Repository(store, "default", tmp_path).list() == first, "nor does the next command"
    assert read_manifests(store) == 0
    put_point(repository, KEY, sequence=6)
    assert len(repository.list().points) == 6
    assert read_manifests(store) == 1, "but the new one"
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_a_folder_every_list_reads_them_all(store: MemoryStore) -> None:
    repository = filled(store, None)  # type: ignore[arg-type]
    for _ in range(2):
        repository.list()
        assert read_manifests(store) == 5


def test_what_changed_is_read_again(store: MemoryStore, tmp_path: Path) -> None:
    repository = filled(store, tmp_path)
    point = repository.list().points[0]
    read_manifests(store)
    store.files[f"{point.path}/{FILE_NAME}"] = b"{}"
    listing = repository.list()
    assert (len(listing.points), len(listing.unreadable)) == (4, 1)
    assert read_manifests(store) == 1


def test_both_kinds_of_listing_share_what_they_read(store: MemoryStore, tmp_path: Path) -> None:
    """`health` lists from the cache, `backup list` by etag: neither makes the other read again."""
    repository = filled(store, tmp_path)
    repository.list()
    assert read_manifests(store) == 5
    for _ in range(2):
        repository.list_cached()
        repository.list()
        assert read_manifests(store) == 0


def test_what_was_read_without_an_etag_is_read_once_more_at_most(store: MemoryStore, tmp_path: Path) -> None:
    repository = filled(store, tmp_path)
    repository.list_cached()
    repository.list()
    read_manifests(store)
    for _ in range(2):
        repository.list_cached()
        repository.list()
        assert read_manifests(store) == 0


def test_what_is_gone_is_forgotten(store: MemoryStore, tmp_path: Path) -> None:
    repository = filled(store, tmp_path)
    repository.remove(repository.list().points[:4])
    assert len(repository.list().points) == 1
    (path,) = tmp_path.iterdir()
    assert len(json.loads(path.read_text())) == 1


@pytest.mark.parametrize("damage", [b"\xff\xfe\x00", b"{", b"text"])
def test_a_damaged_manifest_is_not_read_every_time_and_hides_no_other(
    store: MemoryStore, tmp_path: Path, damage: bytes
) -> None:
    repository = filled(store, tmp_path)
    point = repository.list().points[2]
    store.files[f"{point.path}/{FILE_NAME}"] = damage
    first = repository.list()
    assert (len(first.points), len(first.unreadable)) == (4, 1)
    read_manifests(store)
    again = repository.list()
    assert again.points == first.points
    assert [error.message for error in again.unreadable.values()] == [
        error.message for error in first.unreadable.values()
    ]
    assert read_manifests(store) == 0


def test_environments_and_repositories_have_their_own(store: MemoryStore, tmp_path: Path) -> None:
    here, there = filled(store, tmp_path), filled(store, tmp_path, environment="staging")
    other_store = MemoryStore("memory://other")
    other = filled(other_store, tmp_path)
    for repository in (here, there, other, here, there, other):
        assert len(repository.list().points) == 5
    assert read_manifests(store) == 10
    assert read_manifests(other_store) == 5


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": 1}', b"\xff", b'{"default/x 1": "{}"}'])
def test_a_cache_that_is_damaged_is_no_failure(store: MemoryStore, tmp_path: Path, content: bytes) -> None:
    repository = filled(store, tmp_path)
    first = repository.list()
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    assert repository.list() == first
    read_manifests(store)
    assert repository.list() == first
    assert read_manifests(store) == 0, "it was made anew"


def test_a_cache_that_was_tampered_with_does_not_pass_for_a_recovery_point(store: MemoryStore, tmp_path: Path) -> None:
    repository = filled(store, tmp_path)
    repository.list()
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text().replace('\\"platform\\": \\"p\\"', '\\"platform\\": \\"q\\"'))
    listing = repository.list()
    assert listing.points == ()
    assert {error.code for error in listing.unreadable.values()} == {"signature_invalid"}


def test_a_cache_that_cannot_be_written_is_no_failure(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    repository = filled(store, tmp_path / "file")
    assert len(repository.list().points) == 5
    assert files_of(tmp_path) == ["file"]


def test_a_thousand_recovery_points_in_order_and_read_once(store: MemoryStore, tmp_path: Path) -> None:
    repository = filled(store, tmp_path, 1000)
    points = repository.list().points
    assert [point.manifest.sequence for point in points] == list(range(1000, 0, -1))
    assert not any(point.find_faults() for point in points)
    assert read_manifests(store) == 1000
    assert repository.get("latest").manifest.sequence == 1000
    assert repository.get(points[500].id).id == points[500].id
    assert read_manifests(store) == 0
