"""How a snapshot comes from its server: by a second name of its file while that grows, or over the line."""

from __future__ import annotations

import hashlib
import os
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from ragops.devserver.qdrant import places
from ragops.errors import UnhealthyError
from ragops.services.qdrant.backup import snapshot_download
from ragops.services.qdrant.backup.snapshot_download import Source, fetch
from ragops.services.qdrant.backup.snapshot_journal import ServerCopies
from tests.backup_helpers import KeepingWriter

if TYPE_CHECKING:
    from pathlib import Path

NAME = "docs"
CONTENT = os.urandom(200_000)


class Server:
    """What `HttpClient` asks, on files: it writes a snapshot in two halves, the second one when `go_on` is set."""

    name = "qdrant"

    def __init__(self, storage: Path, collection: str = NAME) -> None:
        self.folder = storage / places.COLLECTIONS / "a1" / places.SNAPSHOTS
        self.folder.mkdir(parents=True)
        self.collection = collection
        self.go_on = threading.Event()
        self.fails = False
        self.downloads = 0

    def get(self, _path: str) -> list[dict[str, str]]:
        return [{"name": path.name} for path in self.folder.glob("[!.]*")]

    def send(self, method: str, path: str, **_query: str) -> dict[str, str] | bool:
        if method == "DELETE":
            (self.folder / path.rpartition("/")[2]).unlink()
            return True
        final = self.folder / places.snapshot_name(self.collection, datetime.now(tz=UTC))
        draft = places.draft_of(final)
        with draft.open("wb") as stream:
            stream.write(CONTENT[:100_000])
            stream.flush()
            assert self.go_on.wait(10)
            if self.fails:
                draft.unlink()
                raise UnhealthyError("qdrant_unreachable", "told to fail")
            stream.write(CONTENT[100_000:])
        draft.rename(final)
        return {"name": final.name, "checksum": hashlib.sha256(CONTENT).hexdigest()}

    def download(self, path: str, target: Path) -> None:
        self.downloads += 1
        target.write_bytes((self.folder / path.rpartition("/")[2]).read_bytes())


class PartWriter(KeepingWriter):
    """Lets the server go on once its file is followed, or at once where it cannot be."""

    def __init__(self, folder: Path, server: Server) -> None:
        super().__init__(folder)
        self._server = server
        self.size_when_followed = -1

    def stream(self, name: str, also: Any = lambda _block: None) -> Any:
        path = self.folder / name
        self.size_when_followed = path.stat().st_size if path.exists() else -1
        self._server.go_on.set()
        return super().stream(name, also)


def run(server: Server, tmp_path: Path, storage: Path | None) -> tuple[PartWriter, Path, str]:
    writer = PartWriter(tmp_path / "parts", server)
    target, copies = writer.folder / "0001-0.snapshot", ServerCopies(writer.journal)
    said = fetch(server, Source(server.collection, 0, storage), target, copies, writer)  # type: ignore[arg-type]
    return writer, target, said


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "storage"


def test_a_snapshot_is_ours_while_the_server_writes_it(tmp_path: Path, storage: Path) -> None:
    server = Server(storage)
    writer, target, said = run(server, tmp_path, storage)
    assert writer.size_when_followed == 100_000
    assert (target.read_bytes(), said) == (CONTENT, hashlib.sha256(CONTENT).hexdigest())
    assert (server.downloads, list(server.folder.iterdir())) == (0, [])


@pytest.mark.parametrize("why", ["elsewhere", "no link"])
def test_it_is_downloaded_where_its_file_cannot_be_had(
    tmp_path: Path, storage: Path, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(storage)
    server.go_on.set()
    monkeypatch.setattr(snapshot_download, "link", lambda *_paths: False)
    _, target, _ = run(server, tmp_path, None if why == "elsewhere" else storage)
    assert (target.read_bytes(), server.downloads, list(server.folder.iterdir())) == (CONTENT, 1, [])


def test_another_clients_snapshot_of_the_same_instant_is_not_taken_for_ours(
    tmp_path: Path, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(storage)
    others = server.folder / ".docs-shard-0-2026-01-01-00-00-00-000000.snapshot"
    others.write_bytes(b"of another client")
    seen = iter([set(), *[{others}] * 1000])
    monkeypatch.setattr(places, "drafts", lambda *_arguments: next(seen))
    _, target, _ = run(server, tmp_path, storage)
    assert (target.read_bytes(), server.downloads) == (CONTENT, 1)
    assert list(server.folder.iterdir()) == [others]


def test_a_server_that_fails_half_way_leaves_the_failure_and_no_snapshot(tmp_path: Path, storage: Path) -> None:
    server = Server(storage)
    server.fails = True
    with pytest.raises(UnhealthyError, match="told to fail"):
        run(server, tmp_path, storage)
    assert list(server.folder.iterdir()) == []


def test_drafts_are_those_of_one_collection(tmp_path: Path, storage: Path) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    folder = storage / places.COLLECTIONS / "a1" / places.SNAPSHOTS
    folder.mkdir(parents=True)
    for name in ("docs", "docs-shard-0-1", "dxcs", "d.cs"):
        places.draft_of(folder / places.snapshot_name(name, when)).touch()
    (folder / places.snapshot_name("docs", when)).touch()
    assert [path.name for path in places.drafts(storage, "docs")] == [
        ".docs-shard-0-2026-01-02-03-04-05-000006.snapshot"
    ]
    assert len(places.drafts(storage, "d.cs")) == 1


def test_the_longest_name_of_a_collection_leaves_room_for_its_snapshots(storage: Path) -> None:
    name = places.snapshot_name("ä" * 127, datetime.now(tz=UTC))
    assert len(places.draft_of(storage / name).name.encode()) <= 255
    assert "ää-shard-0-" in name
