"""Folders watched by the real kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from ragops.adapters.folder_watch import FolderWatch
from ragops.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG = 30.0


@pytest.fixture
def watch() -> Iterator[FolderWatch]:
    with FolderWatch() as made:
        yield made


def test_only_the_folders_themselves_are_watched(watch: FolderWatch, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    watch.watch([str(tmp_path)])
    (tmp_path / "in" / "no.md").write_text("x")
    (tmp_path / "yes.md").write_text("x")
    assert watch.wait(LONG).paths == {str(tmp_path / "yes.md")}
    (tmp_path / "yes.md").unlink()
    assert watch.wait(LONG).paths == {str(tmp_path / "yes.md")}
    (tmp_path / "in" / "no.md").read_text()
    assert not watch.wait(0.3).paths


def test_changes_without_a_pause_are_one_batch(watch: FolderWatch, tmp_path: Path) -> None:
    watch.watch([str(tmp_path)])
    file = tmp_path / "long.md"

    def copy() -> None:
        with file.open("w") as stream:
            for _ in range(12):
                stream.write("x" * 1000)
                stream.flush()
                time.sleep(0.1)

    writer = threading.Thread(target=copy)
    writer.start()
    try:
        assert watch.wait(LONG).paths == {str(file)}
        assert file.stat().st_size == 12_000, "the batch came while the file was being written"
    finally:
        writer.join()


def test_what_came_before_a_change_of_the_folders_is_not_lost(watch: FolderWatch, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    watch.watch([str(tmp_path)])
    (tmp_path / "a.md").write_text("x")
    assert watch.watch([str(tmp_path), str(tmp_path / "new")]).paths == {str(tmp_path / "a.md")}
    (tmp_path / "new" / "b.md").write_text("x")
    assert watch.wait(LONG).paths == {str(tmp_path / "new" / "b.md")}


def test_a_name_that_is_not_utf_8_costs_that_batch(watch: FolderWatch, tmp_path: Path) -> None:
    watch.watch([str(tmp_path)])
    (tmp_path / os.fsdecode(b"caf\xe9.md")).write_text("x")
    assert watch.wait(LONG).lost
    watch.watch([str(tmp_path)])
    (tmp_path / "a.md").write_text("x")
    assert str(tmp_path / "a.md") in watch.wait(LONG).paths


def test_folders_that_are_gone_or_have_no_name(watch: FolderWatch, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    odd.mkdir()
    watch.watch([str(odd), str(tmp_path)])
    (tmp_path / "gone").mkdir()
    assert watch.wait(LONG).paths == {str(tmp_path / "gone")}
    shutil.rmtree(tmp_path / "gone")
    # Whether a folder can be read is looked at first: one that is gone cannot.
    assert str(tmp_path / "gone") in watch.watch([str(tmp_path), str(tmp_path / "gone")]).paths | watch.wait(LONG).paths


def test_without_folders_it_waits(watch: FolderWatch) -> None:
    assert not watch.wait(0.01).paths


def test_the_library_is_named_if_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles._rust_notify", None)
    with pytest.raises(MissingError) as caught:
        FolderWatch()
    assert (caught.value.code, "pip install" in caught.value.hint) == ("watcher_missing", True)


PROGRAM = """
import sys
from ragops.adapters.folder_watch import FolderWatch
from ragops.errors import RagopsError
try:
    FolderWatch().watch(sys.argv[1:])
except RagopsError as error:
    print(error.code, error.message, error.hint)
"""


@pytest.mark.parametrize("limit", ["watches", "instances"])
def test_the_kernels_limit_is_named(tmp_path: Path, limit: str) -> None:
    folders = [tmp_path / str(number) for number in range(4)]
    for folder in folders:
        folder.mkdir()
    number = {"watches": 2, "instances": 0}[limit]
    script = f'echo {number} > /proc/sys/user/max_inotify_{limit} || exit 99; exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", sys.executable, "-c", PROGRAM]
    try:
        done = subprocess.run([*command, *map(str, folders)], capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `unshare` here: what the limit of watches is reported as was not seen")
    if done.returncode:
        pytest.skip(f"no namespace can be made here, so the limit was not reached: {done.stderr.strip()[-200:]}")
    assert done.stdout.startswith("watch_limit cannot watch 4 folders"), done.stdout
    assert f"`sysctl fs.inotify.max_user_{limit}=" in done.stdout
