"""Repositories: recovery points are whole or not there, and every damage is named."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ragops.adapters.storage.folder import FolderStore
from ragops.errors import ExitCode, IntegrityError, LockedError, MissingError, RagopsError, UsageError
from ragops.recovery.manifest import FILE_NAME, Kind
from ragops.recovery.repository import LockRequest, Repository, publish
from ragops.recovery.signing import SigningKey
from tests.backup_helpers import MemoryStore, files_of, folder_of, open_repositories, put_point, stored
from tests.folders import let_everyone_pass

KEY = SigningKey(Ed25519PrivateKey.generate())
LOCKER = LockRequest("the tests")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return open_repositories(tmp_path).primary


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


def home_of(repository: Repository) -> Path:
    found: Path = repository.store.folder / repository.environment  # type: ignore[attr-defined]
    return found


def write(repository: Repository, content: bytes = b"content", kind: Kind = Kind.BACKUP) -> Any:
    """A recovery point by way of a draft."""
    example = put_point(Repository(MemoryStore(), repository.environment), KEY, {"redis/dump.rdb": content})
    with repository.create_draft(LOCKER) as draft:
        (part,) = example.manifest.parts
        with draft.open_write(part.stored_path) as stream:
            stream.write(example.store.files[f"{example.path}/{part.stored_path}"])  # type: ignore[attr-defined]
        values = {"id": draft.id, "sequence": draft.sequence, "created": draft.created, "kind": kind}
        signed = publish(draft, example.manifest.model_copy(update=values), KEY)
    return repository.open_point(signed)


# --- only a manifest makes one ------------------------------------------------------------------------------------


def test_a_published_point_is_found_and_whole(repository: Repository) -> None:
    point = write(repository)
    (found,) = repository.list().points
    assert (found.id, found.signed, found.sizes) == (point.id, point.signed, point.sizes)
    assert found.find_faults() == ()
    assert found.size == stored(point, "redis/dump.rdb").stat().st_size
    assert found.plain_size == len(b"content")
    found.verify()
    assert found.find_extra_files() == ()
    assert stat.S_IMODE(stored(point, "redis/dump.rdb").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder_of(point) / FILE_NAME).stat().st_mode) == 0o600
    for folder in (folder_of(point), folder_of(point).parent, folder_of(point).parents[1]):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_nothing_is_seen_of_one_until_its_manifest_is_there(repository: Repository) -> None:
    with repository.create_draft(LOCKER) as draft:
        with draft.open_write("redis/dump.rdb.zst") as stream:
            stream.write(b"content")
        with draft.open_read("redis/dump.rdb.zst") as again:
            assert again.read() == b"content"
        assert repository.list().points == ()
        assert repository.list().unreadable == {}
        with pytest.raises(UsageError):
            repository.get(draft.id)


def test_a_failed_one_leaves_nothing(repository: Repository) -> None:
    with pytest.raises(KeyboardInterrupt), repository.create_draft(LOCKER) as draft:
        with draft.open_write("redis/dump.rdb.zst") as stream:
            stream.write(b"x")
        raise KeyboardInterrupt
    assert files_of(home_of(repository).parent) == []


def test_a_draft_that_lost_its_lock_is_not_published(memory: MemoryStore) -> None:
    """A machine that slept, and another run that took over meanwhile."""
    repository = Repository(memory, "default")
    example = put_point(Repository(MemoryStore(), "default"), KEY)
    with pytest.raises(RagopsError) as caught, repository.create_draft(LOCKER) as draft:
        with draft.open_write("redis/dump.rdb.zst") as stream:
            stream.write(b"x")
        memory.remove([path for path in memory.files if "/locks/" in path])
        publish(draft, example.manifest.model_copy(update={"id": draft.id}), KEY)
    assert caught.value.code == "repository_lock_lost"
    assert memory.files == {}


def test_two_at_once_are_refused(repository: Repository) -> None:
    with (
        repository.create_draft(LOCKER),
        pytest.raises(LockedError) as caught,
        repository.create_draft(LockRequest("another")),
    ):
        raise AssertionError
    assert caught.value.exit_code is ExitCode.LOCKED
    assert "the tests" in caught.value.message


def test_environments_do_not_see_one_another(memory: MemoryStore) -> None:
    one, other = Repository(memory, "default"), Repository(memory, "staging")
    point = put_point(one, KEY)
    assert other.list().points == ()
    with one.create_draft(LOCKER), other.create_draft(LOCKER):
        pass
    assert [found.id for found in one.list().points] == [point.id]


@pytest.mark.fault
def test_a_killed_one_is_invisible_and_cleared(repository: Repository) -> None:
    code = """
        import os, signal, sys
        from pathlib import Path
        from ragops.recovery.repository import LockRequest
        from tests.backup_helpers import open_repositories
        with open_repositories(Path(sys.argv[1])).primary.create_draft(LockRequest("killed")) as draft:
            with draft.open_write("redis/dump.rdb.zst") as stream:
                stream.write(b"x")
            with draft.open_write("redis/other.zst") as stream:
                stream.write(b"x" * 5_000_000)
                os.kill(os.getpid(), signal.SIGKILL)
    """
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    arguments = [sys.executable, "-c", textwrap.dedent(code), str(home_of(repository).parents[1])]
    assert subprocess.run(arguments, check=False, env=environment, timeout=60).returncode == -signal.SIGKILL
    assert [name for name in files_of(home_of(repository)) if name.endswith("dump.rdb.zst")]
    assert repository.list() == type(repository.list())((), {})
    point = write(repository)  # its lock is taken over, too
    left = {name.partition("/")[0] for name in files_of(home_of(repository))}
    assert left == {point.id}


def test_what_has_no_manifest_is_cleared_by_the_next_one_and_by_nobody_else(repository: Repository) -> None:
    whole = write(repository)
    left = home_of(repository) / "20260102T030405Z-aaaaaa" / "redis" / "dump.rdb.zst"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    repository.list()
    repository.set_pinned(whole, keep=True)
    assert left.exists()
    write(repository)
    assert not left.exists()
    assert not left.parents[1].exists()
    assert whole.find_faults() == ()
    assert {point.id for point in repository.list().points} > {whole.id}


# --- lists --------------------------------------------------------------------------------------------------------


def test_newest_first_and_latest_was_asked_for(repository: Repository) -> None:
    first, second, safety = write(repository), write(repository), write(repository, kind=Kind.SAFETY)
    assert [point.id for point in repository.list().points] == [safety.id, second.id, first.id]
    assert [point.manifest.sequence for point in repository.list().points] == [3, 2, 1]
    assert repository.get("latest").id == second.id
    latest = repository.list().latest()
    assert latest is not None
    assert latest.id == second.id


def test_the_order_is_that_of_taking_whatever_the_clock_said(memory: MemoryStore) -> None:
    repository = Repository(memory, "default")
    for sequence, days in ((1, 10), (2, 0), (3, 5), (4, -400)):
        put_point(repository, KEY, sequence=sequence, created=NOW + timedelta(days=days))
    assert [point.manifest.sequence for point in repository.list().points] == [4, 3, 2, 1]
    assert repository.get("latest").manifest.sequence == 4
    assert repository.list().next_sequence == 5


def test_a_number_is_not_given_twice_after_the_newest_was_removed_by_hand(memory: MemoryStore) -> None:
    repository = Repository(memory, "default")
    for sequence in (1, 2):
        put_point(repository, KEY, sequence=sequence)
    repository.remove(repository.list().points[1:])
    with repository.create_draft(LOCKER) as draft:
        assert draft.sequence == 3


def test_get_by_id_and_by_its_start(repository: Repository) -> None:
    point = write(repository)
    assert repository.get(point.id).id == point.id
    assert repository.get(point.id[:-3]).id == point.id
    write(repository)
    with pytest.raises(UsageError) as caught:
        repository.get(point.id[:8])
    assert caught.value.code == "ambiguous_recovery_point"
    for unknown in ("1999", "", "../default", point.id + "x"):
        with pytest.raises(UsageError) as caught:
            repository.get(unknown)
        assert caught.value.code == "no_recovery_point"


def test_an_empty_repository(repository: Repository) -> None:
    assert repository.list().points == ()
    assert repository.list().latest() is None
    with pytest.raises(MissingError) as caught:
        repository.get("latest")
    assert "ragops backup run" in caught.value.hint
    assert not home_of(repository).exists(), "looking makes nothing"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_an_unreadable_manifest_does_not_hide_the_others(repository: Repository, content: bytes) -> None:
    bad, good = write(repository), write(repository)
    (folder_of(bad) / FILE_NAME).write_bytes(content)
    listing = repository.list()
    assert [point.id for point in listing.points] == [good.id]
    assert [error.code for error in listing.unreadable.values()] == ["manifest_invalid"]
    assert bad.id in next(iter(listing.unreadable.values())).message
    with pytest.raises(IntegrityError):
        repository.get(bad.id)
    (folder_of(good) / FILE_NAME).write_bytes(content)
    with pytest.raises(IntegrityError):
        repository.get("latest")


def test_latest_is_no_older_one_if_a_newer_one_cannot_be_read(repository: Repository) -> None:
    good, bad = (put_point(repository, KEY, sequence=number, created=NOW + timedelta(days=number)) for number in (1, 2))
    (folder_of(bad) / FILE_NAME).write_bytes(b"{")
    with pytest.raises(RagopsError, match=good.id) as caught:
        repository.get("latest")
    assert caught.value.exit_code == 6
    assert list(repository.list().newer_unreadable()) == [bad.id]
    newest = put_point(repository, KEY, sequence=3, created=NOW + timedelta(days=3))
    assert repository.get("latest").id == newest.id
    assert repository.list().newer_unreadable() == {}, "an old one is no matter of the latest"


class Denying(MemoryStore):
    """A store some of whose files may not be read."""

    def __init__(self, denied: str, far: bool) -> None:
        super().__init__()
        self.denied, self.is_remote = denied, far

    def read_all(self, paths: Any) -> Any:
        wanted = list(paths)
        if any(self.denied and self.denied in path for path in wanted):
            raise RagopsError("not_permitted", f"cannot read {wanted[0]}")
        return super().read_all(wanted)


@pytest.mark.parametrize("far", [False, True])
def test_one_that_may_not_be_read_hides_no_others(far: bool) -> None:
    store = Denying("", far)
    repository = Repository(store, "default")
    points = [put_point(repository, KEY, sequence=number, created=NOW + timedelta(days=number)) for number in (1, 2, 3)]
    store.denied = points[1].id
    for listing in (repository.list(), repository.list_cached()):
        assert [point.id for point in listing.points] == [points[2].id, points[0].id]
        assert tuple(listing.unreadable) == (points[1].id,)
        assert next(iter(listing.unreadable.values())).code == "not_permitted"
    assert repository.get("latest").id == points[2].id
    with pytest.raises(RagopsError) as caught:
        repository.get(points[1].id[:12])
    assert caught.value.code == "not_permitted"


def test_a_folder_that_may_not_be_read_hides_no_others(tmp_path: Path) -> None:
    """By a user who is not root, to whom no folder is shut."""
    code = """
        import os, sys
        from pathlib import Path
        from ragops.operations.backup.list_points import overview
        from ragops.recovery.repository import LockRequest, Repository
        from tests.backup_helpers import MemoryStore, folder_of, put_point, open_repositories
        repos = open_repositories(Path(sys.argv[1]))
        with Repository(MemoryStore(), "x").create_draft(LockRequest("all modules, which another user may not read")):
            put_point(Repository(MemoryStore(), "x"), repos.signing_key())
        os.chown(repos.signing_key_file, 65534, 65534)
        os.setegid(65534)
        os.seteuid(65534)
        points = [put_point(repos.primary, repos.signing_key(), sequence=number) for number in (1, 2, 3)]
        folder_of(points[0]).chmod(0)
        stored = folder_of(points[1]) / "redis"
        stored.chmod(0)
        for found in (repos.primary.list(), repos.primary.list_cached()):
            assert [point.id for point in found.points] == [points[2].id, points[1].id], found
            assert tuple(found.unreadable) == (points[0].id,), found
            assert found.points[1].find_faults(), found.points[1].sizes
        overview(repos)
        with repos.primary.create_draft(LockRequest("another")):
            pass
        assert repos.primary.get("latest").id == points[2].id
        repos.primary.remove_id(points[2].id)
        for folder in (folder_of(points[0]), stored):
            folder.chmod(0o700)
    """
    if os.geteuid() != 0:
        pytest.skip("missing: root, to become another user")
    place = tmp_path / "place"
    place.mkdir()
    os.chown(place, 65534, 65534)
    let_everyone_pass(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "HOME": str(place)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(place)], check=False, env=environment, timeout=60,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_one_whose_manifest_cannot_be_read_is_not_cleared(repository: Repository) -> None:
    bad = write(repository)
    (folder_of(bad) / FILE_NAME).write_bytes(b"{")
    write(repository)
    assert stored(bad, "redis/dump.rdb").exists()


def test_a_manifest_in_anothers_place_is_not_trusted(repository: Repository) -> None:
    one, other = write(repository, b"one"), write(repository, b"other")
    texts = [(folder_of(point) / FILE_NAME).read_bytes() for point in (one, other)]
    (folder_of(one) / FILE_NAME).write_bytes(texts[1])
    (folder_of(other) / FILE_NAME).write_bytes(texts[0])
    listing = repository.list()
    assert listing.points == ()
    assert [error.code for error in listing.unreadable.values()] == ["manifest_misplaced"] * 2
    with pytest.raises(IntegrityError, match="holds the manifest of"):
        repository.get(one.id)


def test_one_of_another_environment_is_not_trusted(memory: MemoryStore) -> None:
    staging, default = Repository(memory, "staging"), Repository(memory, "default")
    put_point(staging, KEY)
    for path, content in list(memory.files.items()):
        memory.files[path.replace("staging/", "default/")] = content
    assert default.list().points == ()
    assert next(iter(default.list().unreadable.values())).code == "manifest_misplaced"
    assert "staging/" in next(iter(default.list().unreadable.values())).message
    assert len(staging.list().points) == 1


def test_a_renamed_folder_is_not_trusted(repository: Repository) -> None:
    point = write(repository)
    folder_of(point).rename(folder_of(point).with_name("20200101T000000Z-000000"))
    assert repository.list().points == ()
    assert "20200101T000000Z-000000 holds the manifest of" in next(iter(repository.list().unreadable.values())).message


def test_other_things_in_the_folder_are_left_alone(repository: Repository) -> None:
    write(repository)
    (home_of(repository) / "notes.txt").write_text("mine")
    (home_of(repository) / "20260102T030405Z-AAAAAA").mkdir()
    (home_of(repository) / "20260102T030405Z-AAAAAA" / "mine").write_text("mine")
    write(repository)
    assert (home_of(repository) / "notes.txt").read_text() == "mine"
    assert (home_of(repository) / "20260102T030405Z-AAAAAA" / "mine").read_text() == "mine"
    assert len(repository.list().points) == 2
    assert repository.list().unreadable == {}


def test_another_signer_is_listed_and_refused_where_it_counts(memory: MemoryStore) -> None:
    repository = Repository(memory, "default")
    other = SigningKey(Ed25519PrivateKey.generate())
    put_point(repository, other)
    (point,) = repository.list().points
    point.require_trust({KEY.public, other.public})
    with pytest.raises(IntegrityError) as caught:
        point.require_trust({KEY.public})
    assert caught.value.code == "signer_unknown"
    assert other.public in caught.value.message


# --- damage -------------------------------------------------------------------------------------------------------


def test_every_damage_is_named(repository: Repository) -> None:
    point = put_point(repository, KEY, {f"redis/{name}": b"content" for name in "abcd"} | {"timescaledb/x": b"x"})
    size = stored(point, "redis/b").stat().st_size
    stored(point, "redis/a").unlink()
    stored(point, "redis/b").write_bytes(stored(point, "redis/b").read_bytes()[:-1])
    content = bytearray(stored(point, "redis/c").read_bytes())
    content[-1] ^= 1
    stored(point, "redis/c").write_bytes(content)
    (folder_of(point) / "redis" / "e").write_bytes(b"")
    (found,) = repository.list().points
    assert found.find_faults() == (
        "redis/a.zst is missing",
        f"redis/b.zst has {size - 1} bytes, {size} were written",
    )
    with pytest.raises(IntegrityError) as caught:
        found.verify()
    assert caught.value.code == "recovery_point_damaged"
    assert caught.value.exit_code is ExitCode.INTEGRITY
    assert "redis/a.zst is missing" in caught.value.message
    assert f"redis/b.zst has {size - 1} bytes, {size} were written" in caught.value.message
    assert "redis/c.zst has changed" in caught.value.message
    assert "redis/d" not in caught.value.message
    assert found.find_extra_files() == ("redis/e",)
    found.verify(["timescaledb"])
    with pytest.raises(IntegrityError):
        found.verify_sizes(found.manifest.parts_of("redis"))
    found.verify_sizes(found.manifest.parts_of("timescaledb"))


def test_lists_compare_sizes_and_read_no_part(memory: MemoryStore) -> None:
    repository = Repository(memory, "default")
    point = put_point(repository, KEY)
    path = f"{point.path}/{point.manifest.parts[0].stored_path}"
    memory.files[path] += b"x"
    memory.reads.clear()
    (found,) = repository.list().points
    assert "bytes" in found.find_faults()[0]
    assert memory.reads == {f"{point.path}/{FILE_NAME}": 1}


def test_what_goes_while_it_is_read_is_missing(memory: MemoryStore) -> None:
    repository = Repository(memory, "default")
    put_point(repository, KEY)
    (point,) = repository.list().points
    memory.remove([f"{point.path}/{point.manifest.parts[0].stored_path}"])
    with pytest.raises(IntegrityError, match="is missing"):
        point.verify()


# --- keep ---------------------------------------------------------------------------------------------------------


def test_marks_are_seen_and_taken_away(repository: Repository) -> None:
    first, second = write(repository), write(repository)
    repository.set_pinned(first, keep=True)
    repository.set_pinned(first, keep=True)
    assert {point.id: point.is_pinned for point in repository.list().points} == {first.id: True, second.id: False}
    assert repository.get(first.id).find_extra_files() == ()
    repository.set_pinned(first, keep=False)
    repository.set_pinned(first, keep=False)
    assert not any(point.is_pinned for point in repository.list().points)


def test_a_mark_goes_with_its_point(memory: MemoryStore) -> None:
    repository = Repository(memory, "default")
    point = put_point(repository, KEY)
    repository.set_pinned(point, keep=True)
    repository.remove([point])
    assert memory.files == {}


# --- removal ------------------------------------------------------------------------------------------------------


def test_a_manifest_goes_first(memory: MemoryStore) -> None:
    """Whoever is killed on the way leaves what the next one clears, and nothing that looks whole and is not."""
    repository = Repository(memory, "default")
    point = put_point(repository, KEY, {"a/a": b"1", "platform/z": b"2", "redis/b": b"3"})
    repository.remove([point])
    assert memory.removed[0] == f"{point.path}/{FILE_NAME}"
    assert len(memory.removed) == 4
    assert memory.files == {}


def test_a_removal_that_fails_on_the_way_is_finished_by_the_next_one(repository: Repository) -> None:
    point = write(repository)
    (folder_of(point) / FILE_NAME).unlink()
    assert repository.list().points == ()
    write(repository)
    assert not folder_of(point).exists()


# --- copies from another one --------------------------------------------------------------------------------------


def copies(store: MemoryStore) -> tuple[Repository, Repository, Any]:
    here, there = Repository(MemoryStore("memory://here"), "default"), Repository(store, "default")
    contents = {"redis/dump.rdb": b"content" * 100, "timescaledb/rag.dump": b"rows" * 100}
    return here, there, put_point(here, KEY, contents)


def test_a_copy_is_the_same_to_the_byte_and_was_read_back(memory: MemoryStore) -> None:
    here, there, point = copies(memory)
    heard: list[int] = []
    copied = there.import_point(point, LOCKER, heard.append)
    assert copied.signed == point.signed
    assert copied.store is memory
    assert sum(heard) == point.size
    assert memory.files == here.store.files  # type: ignore[attr-defined]
    for part in point.manifest.parts:
        assert memory.reads[f"{point.path}/{part.stored_path}"] == 1
    copied.verify()


def test_a_damaged_copy_is_replaced(memory: MemoryStore) -> None:
    here, there, point = copies(memory)
    there.import_point(point, LOCKER, lambda _size: None)
    path = f"{point.path}/{point.manifest.parts[0].stored_path}"
    memory.files[path] = memory.files[path][:-1]
    memory.files[f"{point.path}/redis/extra"] = b"left by somebody"
    there.import_point(point, LOCKER, lambda _size: None)
    assert memory.files == here.store.files  # type: ignore[attr-defined]


def test_a_damaged_source_is_not_copied(memory: MemoryStore) -> None:
    here, there, point = copies(memory)
    path = f"{point.path}/{point.manifest.parts[1].stored_path}"
    content = bytearray(here.store.files[path])  # type: ignore[attr-defined]
    content[-1] ^= 1
    here.store.files[path] = bytes(content)  # type: ignore[attr-defined]
    with pytest.raises(IntegrityError) as caught:
        there.import_point(point, LOCKER, lambda _size: None)
    assert caught.value.code == "recovery_point_damaged"
    assert memory.files == {}


def test_a_place_that_keeps_other_bytes_gets_no_manifest() -> None:
    class Lying(MemoryStore):
        """Takes what it is given, and has something else."""

        def open_read(self, path: str) -> Any:
            if path.endswith(".zst"):
                self.files[path] = bytes(len(self.files[path]))
            return super().open_read(path)

    store = Lying()
    _, there, point = copies(store)
    with pytest.raises(IntegrityError):
        there.import_point(point, LOCKER, lambda _size: None)
    assert store.files == {}


@pytest.mark.parametrize("which", ["redis/dump.rdb.zst", "timescaledb/rag.dump.zst", FILE_NAME])
def test_a_copy_that_fails_leaves_nothing(which: str) -> None:
    def fail(path: str) -> None:
        if path.endswith(which):
            raise MissingError("disk_full", "no space left")

    store = MemoryStore(on_write=fail)
    _, there, point = copies(store)
    with pytest.raises(MissingError):
        there.import_point(point, LOCKER, lambda _size: None)
    assert store.files == {}
    store.on_write = lambda _path: None
    there.import_point(point, LOCKER, lambda _size: None).verify()


def test_an_interrupted_copy_leaves_nothing(memory: MemoryStore) -> None:
    def stop(_size: int) -> None:
        raise KeyboardInterrupt

    _, there, point = copies(memory)
    with pytest.raises(KeyboardInterrupt):
        there.import_point(point, LOCKER, stop)
    assert memory.files == {}


# --- places -------------------------------------------------------------------------------------------------------


def test_a_file_in_its_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "backups").write_text("a file")
    with pytest.raises(RagopsError) as caught:
        write(open_repositories(tmp_path).primary)
    assert "backups" in caught.value.message


def test_a_full_disk_is_said(memory: MemoryStore) -> None:
    def full(path: str) -> None:
        if "/locks/" not in path:
            raise MissingError("disk_full", os.strerror(errno.ENOSPC))

    memory.on_write = full
    with pytest.raises(MissingError) as caught:
        write(Repository(memory, "default"))
    assert caught.value.code == "disk_full"
    assert caught.value.exit_code is ExitCode.MISSING
    assert memory.files == {}


# --- a look from afar ------------------------------------------------------------------------------------------------


def test_a_glance_at_a_far_store_reads_what_is_new_and_no_file_of_a_point(tmp_path: Path) -> None:
    store = MemoryStore()
    repository = Repository(store, "default", tmp_path / "cache")
    first = put_point(repository, KEY, sequence=1)
    assert [point.id for point in repository.list_cached().points] == [first.id]
    second = put_point(repository, KEY, sequence=2)
    store.reads.clear()
    found = repository.list_cached()
    assert [point.id for point in found.points] == [second.id, first.id]
    assert list(store.reads) == [f"default/{second.id}/manifest.json"]
    assert found.points[0].sizes is None
    assert found.points[0].find_faults() == ()


def test_a_glance_shows_marks_and_nothing_without_a_manifest(tmp_path: Path) -> None:
    store = MemoryStore()
    repository = Repository(store, "default", tmp_path / "cache")
    point = put_point(repository, KEY)
    repository.set_pinned(point, keep=True)
    with store.open_write("default/20260102T030405Z-ffffff/redis/dump.rdb.zst") as stream:
        stream.write(b"left by a run that was killed")
    assert [(found.id, found.is_pinned) for found in repository.list_cached().points] == [(point.id, True)]
    repository.remove([point])
    assert repository.list_cached().points == ()


def test_a_glance_at_a_folder_sees_what_is_missing(tmp_path: Path) -> None:
    repository = Repository(FolderStore(tmp_path), "default", tmp_path / "cache")
    point = put_point(repository, KEY)
    repository.store.remove([f"{point.path}/{point.manifest.parts[0].stored_path}"])
    assert "is missing" in repository.list_cached().points[0].find_faults()[0]
