"""What counts as a disk of this machine."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from ragops.adapters.storage.mounts import is_local


@pytest.mark.parametrize(
    ("folder", "local"),
    [("/srv/backups/prod", True), ("/mnt/nas/backups", False), ("/mnt/nas2", True), ("/net/x", False)],
)
def test_the_nearest_mount_says_it(folder: str, local: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = [("/", "ext4"), ("/mnt/nas", "nfs4"), ("/net", "fuse.sshfs"), ("/srv", "cifs"), ("/srv", "xfs")]
    made = [SimpleNamespace(mountpoint=place, fstype=kind) for place, kind in mounts]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_all: made)
    assert is_local(Path(folder)) is local


def test_where_nothing_is_known_it_is_not_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_all: [])
    assert not is_local(tmp_path)


def test_this_machine(tmp_path: Path) -> None:
    assert is_local(tmp_path)
