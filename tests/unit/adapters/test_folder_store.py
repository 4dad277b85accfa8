"""A repository in a folder: durable, private, and in words when the disk is not there any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ragops.adapters.storage.folder import FolderStore
from ragops.adapters.storage.open import open_store
from ragops.config.backup import PlaceSettings
from ragops.errors import ExitCode, MissingError, RagopsError, StoreMissingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def put(store: FolderStore, path: str, content: bytes = b"1") -> None:
    with store.open_write(path) as stream:
        stream.write(content)


def paths(store: FolderStore) -> list[str]:
    return [entry.path for entry in store.list_entries()]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A small file system of its own; it may be unmounted in the block."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(("size=1m", *options)), "none", folder],
        capture_output=True, check=False, text=True,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        if folder.is_mount():
            subprocess.run(["umount", folder], check=True)


def test_what_is_new_is_private_and_what_was_there_keeps_its_mode(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    put(FolderStore(folder), "prod/id/part")
    assert (mode(folder), mode(folder / "prod"), mode(folder / "prod/id")) == (0o755, 0o700, 0o700)
    assert mode(folder / "prod/id/part") == 0o600
    put(FolderStore(tmp_path / "a/b"), "prod/part")
    assert (mode(tmp_path / "a"), mode(tmp_path / "a/b")) == (0o700, 0o700)


def test_private_whatever_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        with FolderStore(tmp_path / "repository").open_write("prod/part") as stream:
            stream.write(b"x")
            assert {mode(path) for path in (tmp_path / "repository/prod").iterdir()} == {0o600}
    finally:
        os.umask(previous)
    assert (mode(tmp_path / "repository/prod"), mode(tmp_path / "repository/prod/part")) == (0o700, 0o600)


def test_symbolic_links_are_neither_listed_nor_followed(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "repository")
    put(store, "prod/part", b"mine")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"theirs")
    (store.folder / "prod/file").symlink_to(tmp_path / "outside/secret")
    (store.folder / "folder").symlink_to(tmp_path / "outside")
    assert paths(store) == ["prod/part"]
    assert store.list_entries("folder") == []
    for path in ("prod/file", "folder/secret"):
        with pytest.raises(StoreMissingError), store.open_read(path):
            pass
    assert store.read_all(["prod/file", "folder/secret", "prod/part"]) == {"prod/part": b"mine"}
    store.remove(["folder/secret"])
    assert (tmp_path / "outside/secret").exists()


def test_what_is_no_regular_file_is_no_file(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert paths(store) == []
    with pytest.raises(StoreMissingError), store.open_read("pipe"):
        pass


def test_a_folder_that_is_in_the_way_is_told(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    put(store, "prod")
    with pytest.raises(RagopsError) as caught:
        put(store, "prod/part")
    assert caught.value.code == "file_error"
    with pytest.raises(StoreMissingError), store.open_read("prod/part"):
        pass


def test_empty_folders_go_with_their_last_file_but_not_the_repository(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    put(store, "prod/id/redis/part")
    put(store, "other/part")
    store.remove(["prod/id/redis/part"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other"]
    store.remove(["other/part"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault
def test_files_of_killed_runs_are_cleared_and_those_of_living_ones_are_not(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from ragops.adapters.storage.folder import FolderStore\n"
        "with FolderStore(pathlib.Path(sys.argv[1])).open_write('prod/' + sys.argv[2]) as stream:\n"
        "    stream.write(b'x' * 5_000_000); print('begun', flush=True); time.sleep(600)\n"
    )

    def writer(name: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name], stdout=subprocess.PIPE)
        assert process.stdout and process.stdout.readline() == b"begun\n"
        return process

    with writer("killed") as killed, writer("living") as living:
        try:
            killed.send_signal(signal.SIGKILL)
            killed.wait()
            assert len(list(tmp_path.rglob(".partial-*"))) == 2
            assert paths(FolderStore(tmp_path)) == []
            FolderStore(tmp_path).clear_leftovers()
            (left,) = tmp_path.rglob(".partial-*")
            assert left.name.startswith(f".partial-{living.pid}-")
        finally:
            living.kill()


def test_leftovers_that_nobody_touched_for_a_day_are_cleared(tmp_path: Path) -> None:
    old, new = tmp_path / ".partial-20250101T000000Z-abcdef", tmp_path / ".partial-1-of-another-machine"
    old.mkdir()
    (old / "part").touch()
    new.touch()
    os.utime(old, (time.time() - 90_000,) * 2)
    FolderStore(tmp_path).clear_leftovers()
    assert list(tmp_path.iterdir()) == [new]
    FolderStore(tmp_path / "none").clear_leftovers()


@pytest.mark.fault
def test_a_full_disk_is_told_and_leaves_what_was_there(tmp_path: Path) -> None:
    with mounted(tmp_path / "small") as folder:
        store = FolderStore(folder)
        put(store, "prod/part", b"before")
        with pytest.raises(MissingError) as caught, store.open_write("prod/part") as stream:
            for _ in range(100):
                stream.write(b"x" * 100_000)
        assert (caught.value.code, caught.value.exit_code) == ("disk_full", ExitCode.MISSING)
        assert [path.name for path in (folder / "prod").iterdir()] == ["part"]
        assert store.read_all(["prod/part"]) == {"prod/part": b"before"}
        free = store.free_bytes()
        assert free is not None
        assert free < 1 << 20


@pytest.mark.fault
def test_a_repository_that_cannot_be_written(tmp_path: Path) -> None:
    with mounted(tmp_path / "small") as folder:
        put(FolderStore(folder), "prod/part", b"1")
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        store = FolderStore(folder)
        with pytest.raises(MissingError) as caught:
            put(store, "prod/new")
        assert caught.value.code == "repository_read_only"
        assert caught.value.message == f"cannot write to {folder}"
        assert "read-only" in caught.value.hint
        with pytest.raises(MissingError) as caught:
            store.remove(["prod/part"])
        assert caught.value.code == "repository_read_only"
        assert store.read_all(["prod/part"]) == {"prod/part": b"1"}


@pytest.mark.fault
def test_a_mount_that_vanishes_is_not_written_around(tmp_path: Path) -> None:
    with mounted(tmp_path / "small") as folder:
        store = FolderStore(folder)
        put(store, "prod/part")
        with pytest.raises(MissingError) as caught, store.open_write("prod/new") as stream:
            stream.write(b"1")
            subprocess.run(["umount", "-l", folder], check=True)
        assert caught.value.code == "repository_unreachable"
        for attempt in (lambda: put(store, "prod/new"), store.list_entries, lambda: store.read_all(["prod/part"])):
            with pytest.raises(MissingError) as caught:
                attempt()
            assert (caught.value.code, caught.value.hint) == ("repository_unreachable", "is it still mounted?")
        assert list(folder.iterdir()) == []  # what is below the mount stays empty
        folder.rmdir()
        with pytest.raises(MissingError, match="is gone"):
            store.list_entries()
        folder.mkdir()


def test_free_space_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert (FolderStore(tmp_path / "a/b").free_bytes() or 0) > 0


# --- from ragops.yaml -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("backups", "{root}/backups"),
        ("/srv/backups", "/srv/backups"),
        ("file:///srv/my%20backups", "/srv/my backups"),
        ("s3://bucket/prefix/", "s3://bucket/prefix"),
        ("sftp://me:hush@host:22/folder", "sftp://host:22/folder"),
        ("sftp://me@host/folder?x=hush#y", "sftp://host/folder"),
    ],
)
def test_what_places_are_called(tmp_path: Path, url: str, name: str) -> None:
    assert open_store(PlaceSettings(url=url), tmp_path).name == name.format(root=tmp_path)


@pytest.mark.parametrize(
    "url", ["s3://KEY:hush@bucket/x", "simplecache::s3://hush@b", "file://other/x", "gs://b?t=hush"]
)
def test_places_that_are_refused_without_their_secrets(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(PlaceSettings(url=url), tmp_path)
    assert caught.value.code == "repository_options"
    assert "hush" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("content", "permissions", "says"),
    [
        (None, 0, "does not exist"),
        ("key: hush", 0o640, "chmod 600"),
        ("- hush", 0o600, "not a mapping"),
        ("1: hush", 0o600, "not a mapping"),
        ("key: [hush", 0o600, "not YAML"),
        ("", 0o600, "not a mapping"),
        ("secret: 12345", 0o600, "quotes"),
        (b"key: \xff hush", 0o600, "UTF-8"),
    ],
)
def test_options_files_that_are_refused(
    tmp_path: Path, content: str | bytes | None, permissions: int, says: str
) -> None:
    path = tmp_path / "s3.yaml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(permissions)
    with pytest.raises(UsageError) as caught:
        open_store(PlaceSettings(url="s3://bucket", options_file="s3.yaml"), tmp_path)
    told = caught.value.message + caught.value.hint
    assert says in told
    assert str(path) in told
    assert "hush" not in told
    assert "12345" not in told
