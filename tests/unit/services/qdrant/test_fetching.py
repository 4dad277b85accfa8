"""How a snapshot comes from its server: downloaded, and removed there whatever happens."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from ragops.errors import UnhealthyError
from ragops.services.qdrant.backup.snapshot_download import fetch
from ragops.services.qdrant.backup.snapshot_journal import ServerCopies

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = os.urandom(200_000)
SNAPSHOTS = "/collections/docs/shards/0/snapshots"


class Server:
    """What `HttpClient` asks; `others` were there before, a snapshot is made even if the answer is lost."""

    name = "qdrant"

    def __init__(self, journal: Path) -> None:
        self.journal = journal
        self.kept = {"others"}
        self.loses_answer = self.fails = False

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

    def download(self, path: str, target: Path) -> None:
        assert path == f"{SNAPSHOTS}/ours"
        if self.fails:
            raise UnhealthyError("qdrant_unreachable", "told to fail")
        assert "others" in self.journal.read_text()
        target.write_bytes(CONTENT)


def test_it_is_here_and_gone_from_the_server(tmp_path: Path) -> None:
    server, copies = Server(tmp_path / "journal"), ServerCopies(tmp_path / "journal")
    checksum = fetch(server, SNAPSHOTS, tmp_path / "copy", copies)  # type: ignore[arg-type]
    assert hashlib.sha256((tmp_path / "copy").read_bytes()).hexdigest() == checksum
    assert server.kept == {"others"}
    assert "others" not in (tmp_path / "journal").read_text()


@pytest.mark.parametrize("when", ["made", "read"])
def test_a_failure_leaves_no_snapshot_of_ours_on_the_server(tmp_path: Path, when: str) -> None:
    server, copies = Server(tmp_path / "journal"), ServerCopies(tmp_path / "journal")
    server.loses_answer, server.fails = when == "made", when == "read"
    with pytest.raises(UnhealthyError, match="told to fail"):
        fetch(server, SNAPSHOTS, tmp_path / "copy", copies)  # type: ignore[arg-type]
    assert server.kept == {"others"}
