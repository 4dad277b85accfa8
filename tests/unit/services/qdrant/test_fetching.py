"""How a snapshot comes from its server: read while it comes, and removed there whatever happens."""

from __future__ import annotations

import hashlib
import os
import threading
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote

import pytest

from ragops.errors import RagopsError, UnhealthyError
from ragops.services.qdrant.backup.snapshot_download import Download, follow_snapshot, start_download
from ragops.services.qdrant.backup.snapshot_journal import ServerCopies

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

CONTENT = os.urandom(200_000)
HALF = len(CONTENT) // 2
SNAPSHOTS = "/collections/docs/shards/0/snapshots"


class Server:
    """What `HttpClient` asks; `others` were there before, a snapshot is made even if the answer is lost."""

    name = "qdrant"

    def __init__(self, journal: Path) -> None:
        self.journal = journal
        self.kept = {"others"}
        self.loses_answer = self.fails = False
        self.half_read = threading.Event()

    def get(self, _path: str) -> list[dict[str, str]]:
        return [{"name": name} for name in sorted(self.kept)]

    def send(self, method: str, path: str, **_query: str) -> dict[str, str] | bool:
        if method == "DELETE":
            self.kept.remove(path.rpartition("/")[2])
            return True
        self.kept.add("ours")
        if self.loses_answer:
            raise UnhealthyError("qdrant_unreachable", "told to fail")
        return {"name": "ours", "checksum": hashlib.sha256(CONTENT).hexdigest()}

    def download(self, path: str, target: BinaryIO) -> None:
        assert path == f"{SNAPSHOTS}/ours"
        assert "others" in self.journal.read_text()
        target.write(CONTENT[:HALF])
        target.flush()
        assert self.half_read.wait(10)
        if self.fails:
            raise UnhealthyError("qdrant_unreachable", "told to fail")
        target.write(CONTENT[HALF:])
        target.flush()

    def start(self, target: Path) -> AbstractContextManager[Download]:
        return start_download(self, SNAPSHOTS, target, ServerCopies(self.journal))  # type: ignore[arg-type]

    def read_half(self, download: Download) -> bytes:
        read = b""
        while len(read) < HALF:
            read += download.read(1 << 16)
        self.half_read.set()
        return read


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "journal")


def test_it_is_read_while_it_comes_and_gone_from_the_server_then(server: Server, tmp_path: Path) -> None:
    with server.start(tmp_path / "copy") as download:
        read = server.read_half(download)
        while block := download.read(1 << 16):
            read += block
        assert hashlib.sha256(read).hexdigest() == download.checksum()
        assert download.wait().read_bytes() == CONTENT
        assert server.kept == {"others"}
    assert not (tmp_path / "copy").exists()
    assert "others" not in server.journal.read_text()


@pytest.mark.parametrize("when", ["made", "read"])
def test_a_failure_leaves_no_snapshot_of_ours_on_the_server(server: Server, tmp_path: Path, when: str) -> None:
    server.loses_answer, server.fails = when == "made", when == "read"
    with pytest.raises(UnhealthyError, match="told to fail"), server.start(tmp_path / "copy") as download:
        server.read_half(download)
        while download.read(1 << 16):
            pass
    assert server.kept == {"others"}
    assert not (tmp_path / "copy").exists()


def test_a_reader_that_fails_ends_the_download(server: Server, tmp_path: Path) -> None:
    server.fails = True
    with pytest.raises(ValueError, match="the encoder"), server.start(tmp_path / "copy"):
        raise ValueError("the encoder")
    server.half_read.set()
    assert server.kept == {"others"}
    assert not (tmp_path / "copy").exists()


def test_a_disk_that_takes_no_file_is_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(RagopsError, match="cannot write"), server.start(tmp_path / "missing" / "copy"):
        pass
    assert server.kept == {"others"}


# --- from the folder of a server on this machine ---------------------------------------------------------------------


class FolderServer(Server):
    """A development server, which writes the snapshot of the given name into its folder."""

    def __init__(self, journal: Path, storage: Path) -> None:
        super().__init__(journal)
        self.storage = storage
        self.folder = storage / "collections" / "1" / "snapshots"
        self.folder.mkdir(parents=True)
        self.own_name = ""

    def send(self, method: str, path: str, name: str = "", **query: str) -> dict[str, str] | bool:
        name = self.own_name or name
        if method == "DELETE":
            path = unquote(path)
            (self.folder / path.rpartition("/")[2]).unlink()
            return super().send(method, path, **query)
        draft = self.folder / f".{name}"
        with draft.open("xb", buffering=0) as stream:
            stream.write(CONTENT[:HALF])
            assert self.half_read.wait(10)
            if self.fails:
                draft.unlink()
                raise UnhealthyError("qdrant_unreachable", "told to fail")
            stream.write(CONTENT[HALF:])
        draft.rename(self.folder / name)
        self.kept.add(name)
        return {"name": name, "checksum": hashlib.sha256(CONTENT).hexdigest()}

    def follow(self) -> AbstractContextManager[Download]:
        return follow_snapshot(self, SNAPSHOTS, self.storage, ServerCopies(self.journal))  # type: ignore[arg-type]


@pytest.fixture
def folder_server(tmp_path: Path) -> FolderServer:
    return FolderServer(tmp_path / "journal", tmp_path / "storage")


def test_the_file_of_a_server_here_is_read_while_it_is_written(folder_server: FolderServer) -> None:
    with folder_server.follow() as download:
        read = folder_server.read_half(download)
        while block := download.read(1 << 16):
            read += block
        assert hashlib.sha256(read).hexdigest() == download.checksum()
        assert download.wait().read_bytes() == CONTENT
    assert folder_server.kept == {"others"}
    assert list(folder_server.folder.iterdir()) == []


def test_a_snapshot_that_is_whole_before_it_is_looked_for(folder_server: FolderServer) -> None:
    folder_server.half_read.set()
    with folder_server.follow() as download:
        while not download._task.wait(1):
            pass
        assert download.read(1 << 20) == CONTENT
        assert download.read(1 << 20) == b""


def test_a_server_that_fails_while_it_writes(folder_server: FolderServer) -> None:
    folder_server.fails = True
    with pytest.raises(UnhealthyError, match="told to fail"), folder_server.follow() as download:
        folder_server.read_half(download)
        while download.read(1 << 16):
            pass
    assert folder_server.kept == {"others"}


def test_a_snapshot_of_a_reader_that_failed_is_removed(folder_server: FolderServer) -> None:
    with pytest.raises(ValueError, match="the encoder"), folder_server.follow() as download:
        folder_server.read_half(download)
        download.wait()
        raise ValueError("the encoder")
    assert folder_server.kept == {"others"}


def test_a_server_of_the_release_before_names_the_snapshot_itself(folder_server: FolderServer) -> None:
    folder_server.own_name = "docs [1].snapshot"
    folder_server.half_read.set()
    with folder_server.follow() as download:
        assert download.wait().read_bytes() == CONTENT
        assert download.read(1 << 20) == CONTENT
    assert folder_server.kept == {"others"}
    assert list(folder_server.folder.iterdir()) == []
