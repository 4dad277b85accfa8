"""How a snapshot comes from its server: downloaded, and removed there whatever happens."""

from __future__ import annotations

import hashlib
import os
import threading
from typing import TYPE_CHECKING, BinaryIO

import pytest

from ragops.errors import RagopsError, UnhealthyError
from ragops.services.qdrant.backup.snapshot_download import Download, start_download
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
        assert hashlib.sha256(read).hexdigest() == download.checksum
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
