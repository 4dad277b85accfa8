"""How a snapshot comes from its server: as a stream, removed there whatever happens, with a copy for the engine."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ragops.adapters import cancellation
from ragops.adapters.background import BackgroundTask
from ragops.errors import InterruptedRunError, RagopsError, UnhealthyError
from ragops.services.qdrant.backup.snapshot_download import open_copy, open_snapshot
from ragops.services.qdrant.backup.snapshot_journal import ServerCopies

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.adapters.streams import ByteReader

CONTENT = os.urandom(200_000)
SNAPSHOTS = "/collections/docs/shards/0/snapshots"


class Server:
    """What `HttpClient` asks; `others` were there before, a snapshot is made even if the answer is lost."""

    name = "qdrant"

    def __init__(self) -> None:
        self.kept = {"others"}
        self.loses_answer = False

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

    @contextmanager
    def open_download(self, path: str) -> Iterator[ByteReader]:
        assert path == f"{SNAPSHOTS}/ours"
        yield io.BytesIO(CONTENT)


def test_it_is_read_as_a_stream_and_gone_from_the_server(tmp_path: Path) -> None:
    server, copies = Server(), ServerCopies(tmp_path / "journal")
    with open_snapshot(server, SNAPSHOTS, copies) as (source, checksum):  # type: ignore[arg-type]
        assert hashlib.sha256(source.read(1 << 20)).hexdigest() == checksum
        assert "others" in (tmp_path / "journal").read_text()
    assert server.kept == {"others"}
    assert "others" not in (tmp_path / "journal").read_text()


@pytest.mark.parametrize("when", ["made", "read"])
def test_a_failure_leaves_no_snapshot_of_ours_on_the_server(tmp_path: Path, when: str) -> None:
    server, copies = Server(), ServerCopies(tmp_path / "journal")
    server.loses_answer = when == "made"
    with (
        pytest.raises(UnhealthyError, match="told to fail"),
        open_snapshot(server, SNAPSHOTS, copies),  # type: ignore[arg-type]
    ):
        raise UnhealthyError("qdrant_unreachable", "told to fail")
    assert server.kept == {"others"}


def test_a_copy_is_ours_alone_whole_and_gone_at_the_end(tmp_path: Path) -> None:
    with open_copy(tmp_path / "copy") as copy:
        waiting = BackgroundTask(lambda: copy.wait_whole().read_bytes())
        copy.write(CONTENT)
        assert not waiting.wait(0.1)
        assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600
        copy.write(b"")
        assert waiting.result() == CONTENT
    assert not list(tmp_path.iterdir())


def test_one_that_waits_for_a_copy_ends_with_the_run(tmp_path: Path) -> None:
    with cancellation.new_run() as run, open_copy(tmp_path / "copy") as copy:
        threading.Timer(0.1, run.cancel).start()
        with pytest.raises(InterruptedRunError):
            copy.wait_whole()


def test_a_copy_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(RagopsError, match="cannot write"), open_copy(tmp_path / "no folder" / "copy"):
        pass
