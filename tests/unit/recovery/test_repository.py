"""Repositories: recovery points are whole or not there, and every damage is named."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ragops.errors import ExitCode, IntegrityError, MissingError, RagopsError, UsageError
from ragops.recovery.manifest import FILE_NAME, Kind
from ragops.recovery.repository import Repository
from ragops.services.contract import Part


@pytest.fixture
def repository(tmp_path) -> Repository:
    return Repository(tmp_path / "backups", "default")


def write(repository, content: bytes = b"content", kind: Kind = Kind.BACKUP):
    with repository.begin() as draft:
        (draft.folder_of("redis") / "dump.rdb").write_bytes(content)
        draft.add("redis", [Part("dump.rdb", datetime.now(tz=UTC), {"keys": 1}, {"valkey": "9"})])
        return draft.publish("p", "embedded", kind)


def test_a_published_point_is_found_and_whole(repository):
    point = write(repository)
    assert [found.id for found in repository.list().points] == [point.id]
    assert point.size == len(b"content")
    assert point.folder.parent == repository.folder
    point.check()
    assert point.extra_files() == ()
    assert stat.S_IMODE((point.folder / "redis" / "dump.rdb").stat().st_mode) == 0o600
    assert stat.S_IMODE(point.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(repository.folder.stat().st_mode) == 0o700


def test_newest_first_and_latest_was_asked_for(repository):
    first, second, safety = write(repository), write(repository), write(repository, kind=Kind.SAFETY)
    assert [point.id for point in repository.list().points] == [safety.id, second.id, first.id]
    assert repository.get("latest").id == second.id
    assert repository.latest().id == second.id


def test_get_by_id_and_by_its_start(repository):
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


def test_an_empty_repository(repository):
    assert repository.list().points == ()
    assert repository.latest() is None
    with pytest.raises(MissingError) as caught:
        repository.get("latest")
    assert "ragops backup run" in caught.value.hint


def test_a_failed_one_leaves_nothing(repository):
    with pytest.raises(KeyboardInterrupt), repository.begin() as draft:
        (draft.folder_of("redis") / "dump.rdb").write_bytes(b"x")
        raise KeyboardInterrupt
    assert list(repository.folder.iterdir()) == []


@pytest.mark.fault
def test_a_killed_one_is_invisible_and_cleared(repository):
    code = """
        import os, signal, sys
        from pathlib import Path
        from ragops.recovery.repository import Repository
        with Repository(Path(sys.argv[1]), "default").begin() as draft:
            (draft.folder_of("redis") / "dump.rdb").write_bytes(b"x")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    arguments = [sys.executable, "-c", textwrap.dedent(code), str(repository.folder.parent)]
    assert subprocess.run(arguments, check=False, env=environment, timeout=60).returncode == -signal.SIGKILL
    assert len(list(repository.folder.iterdir())) == 1
    assert repository.list().points == ()
    point = write(repository)
    assert list(repository.folder.iterdir()) == [point.folder]


def test_every_damage_is_named(repository):
    with repository.begin() as draft:
        for name in ("a", "b", "c", "d"):
            (draft.folder_of("redis") / name).write_bytes(b"content")
            draft.add("redis", [Part(name, datetime.now(tz=UTC), {}, {})])
        point = draft.publish("p", "embedded", Kind.BACKUP)
    (point.folder / "redis" / "a").unlink()
    (point.folder / "redis" / "b").write_bytes(b"conten")
    (point.folder / "redis" / "c").write_bytes(b"Content")
    (point.folder / "redis" / "e").write_bytes(b"")
    with pytest.raises(IntegrityError) as caught:
        point.check()
    assert caught.value.exit_code is ExitCode.INTEGRITY
    assert "redis/a is missing" in caught.value.message
    assert "redis/b has 6 bytes, 7 were written" in caught.value.message
    assert "redis/c has changed" in caught.value.message
    assert "redis/d" not in caught.value.message
    assert point.extra_files() == ("redis/e",)
    point.check(["timescaledb"])


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe"])
def test_an_unreadable_manifest_does_not_hide_the_others(repository, content):
    bad, good = write(repository), write(repository)
    path = bad.folder / FILE_NAME
    path.unlink() if content is None else path.write_bytes(content)
    listing = repository.list()
    assert [point.id for point in listing.points] == [good.id]
    assert [error.code for error in listing.unreadable] == ["manifest_invalid"]
    with pytest.raises(IntegrityError):
        repository.get(bad.id)


def test_a_renamed_folder_is_not_trusted(repository):
    point = write(repository)
    point.folder.rename(point.folder.with_name("20200101T000000Z-000000"))
    assert repository.list().points == ()
    assert "says that it is" in repository.list().unreadable[0].message


def test_other_things_in_the_folder_are_left_alone(repository):
    write(repository)
    (repository.folder / "notes.txt").write_text("mine")
    write(repository)
    assert (repository.folder / "notes.txt").read_text() == "mine"
    assert len(repository.list().points) == 2
    assert repository.list().unreadable == ()


def test_a_file_in_its_place_is_said(tmp_path):
    (tmp_path / "backups").write_text("a file")
    with pytest.raises(RagopsError) as caught:
        write(Repository(tmp_path / "backups", "default"))
    assert "backups" in caught.value.message


def test_a_full_disk_is_said(repository):
    with pytest.raises(MissingError) as caught, repository.begin():
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.code == "disk_full"
    assert caught.value.exit_code is ExitCode.MISSING
    assert list(repository.folder.iterdir()) == []
