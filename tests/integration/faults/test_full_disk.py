"""No room left: in the repository, on the way to it, where engines write; small file systems that are full for real."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.integration.faults.lab import NAMES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.faults.conftest import Mounts
    from tests.integration.faults.lab import Lab

pytestmark = [pytest.mark.fault, pytest.mark.campaign(of="full disks", sample=2)]

MISSING = 7


def fill_up(mounts: Mounts, folder: Path, leave: int) -> None:
    """Make the file system no larger than what is on it and `leave` bytes."""
    found = os.statvfs(folder)
    used = (found.f_blocks - found.f_bfree) * found.f_frsize
    mounts.change(folder, f"size={used + leave}")


# --- the repository -----------------------------------------------------------------


@pytest.mark.parametrize("size", ["12k", "24k", "32k", "40k"])
def test_the_repository_is_full(lab: Lab, mounts: Mounts, size: str) -> None:
    small = lab.folder / "small"
    mounts.require(small, size)
    lab.configure(repository=str(small), copies=[])
    done = lab("backup", "run", "--json", code=MISSING)
    assert done.error["code"] == "disk_full", done.error
    assert not lab.listed()
    mounts.change(small, "size=4m")
    point = lab.take()
    assert [item["id"] for item in lab.listed()] == [point]
    lab("backup", "verify", "--deep")
    assert not [path for path in small.rglob("*") if path.name.startswith(".partial-")]


def test_the_other_repository_is_full(lab: Lab, mounts: Mounts) -> None:
    """The recovery point stays, and the copy that is missing is a failure."""
    small = lab.folder / "small"
    mounts.require(small, "28k")
    lab.configure(copies=[str(small)])
    done = lab("backup", "run", "--json", code=1)
    assert done.error["code"] == "copy_failed"
    (listed,) = lab.listed()
    assert listed["copies"] == {str(lab.repositories[0]): True, str(small): None}
    mounts.change(small, "size=4m")
    lab("backup", "copy", listed["id"])
    lab("backup", "verify", listed["id"], "--repository", "2", "--deep")


def test_no_room_for_the_way_back(lab: Lab, mounts: Mounts) -> None:
    """No safety recovery point, no restore."""
    small = lab.folder / "small"
    mounts.require(small, "4m")
    lab.configure(repository=str(small), copies=[])
    point = lab.take()
    lab.fill("B")
    fill_up(mounts, small, 20 << 10)
    done = lab("restore", point, "--yes", "--json", code=MISSING)
    assert done.error["code"] == "disk_full"
    assert lab.contents() == lab.expected("B")
    assert [item["id"] for item in lab.listed()] == [point]
    mounts.change(small, "size=4m")
    lab("restore", point, "--yes")
    assert lab.contents() == lab.expected("A")


# --- on the way -----------------------------------------------------------------


def test_staging_is_full(lab: Lab, mounts: Mounts) -> None:
    """Of a restore before it begins, and of one that saw room enough; a backup here needs no room in it."""
    staging = lab.folder / "staging"
    mounts.require(staging, "400k")
    lab.configure(staging=str(staging))
    point = lab.take()
    lab.fill("B")

    mounts.change(staging, "size=2m")
    done = lab("restore", point, "--yes", "--json", code=MISSING)
    assert done.error["code"] == "disk_full"
    assert lab.contents() == lab.expected("B")

    mounts.change(staging, "size=400m")
    with lab.paused("restore", point, "--yes", "--json", at="open staging/.*0002-0.snapshot", code=MISSING) as ended:
        fill_up(mounts, staging, 16 << 10)
    assert ended[0].error["code"] == "disk_full"
    assert lab.contents() == lab.expected("B")
    assert not [path for path in staging.rglob("*") if path.is_file() and path.parent.name != "journal"]

    mounts.change(staging, "size=400m")
    lab("restore", point, "--yes")
    assert lab.contents() == lab.expected("A")


def test_the_temporary_folder_is_full(lab: Lab, mounts: Mounts) -> None:
    """Where engines read back what they wrote, and make what takes the place of the data."""
    point = lab.take()
    mounts.require(lab.folder / "tmp", "100k")
    done = lab("backup", "run", "--json", code=MISSING)
    assert done.error["code"] == "disk_full"
    assert [item["id"] for item in lab.listed()] == [point]
    lab.fill("B")
    done = lab("restore", point, "--yes", "--json", code=MISSING)
    assert done.error["code"] == "disk_full"
    assert lab.contents() == lab.expected("B")


# --- where the data lie -----------------------------------------------------------------

MOMENTS = {
    "the new database is filled": r"start .*pg_restore.*--jobs",
    "the databases are renamed": r"sql .*ALTER DATABASE",
    "the new data of Valkey are written": r"os.mkdir .*redis\.new",
    "Valkey starts": r"start .*exec_wrapper\.py.*redis",
    "a copy beside is made": r"http POST /collections/books__ragops-restore/.*upload",
    "a collection is replaced": r"http POST /collections/books/.*upload",
    "the last collection is replaced": r"http PUT /collections/notes$",
}


@pytest.fixture
def roomy(lab: Lab, mounts: Mounts) -> Lab:
    """Its data lie on a file system of their own."""
    if not lab.on_small_disk:
        pytest.skip("mounting a small file system needs root")
    return lab


def test_a_restore_sees_beforehand_that_there_is_no_room(roomy: Lab, mounts: Mounts) -> None:
    lab = roomy
    point = lab.take()
    lab.fill("B")
    with room_again(lab, mounts):
        fill_up(mounts, lab.paths.all_data, 16 << 10)
        done = lab("restore", point, "--yes", "--json", code=MISSING)
    assert done.error["code"] == "disk_full"
    assert lab.contents() == lab.expected("B")


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_disk_of_the_data_is_full(roomy: Lab, mounts: Mounts, moment: str) -> None:
    """Each store keeps its old or has its new contents, though an engine may have gone down for want of room."""
    lab = roomy
    point = lab.take()
    lab.fill("B")
    with room_again(lab, mounts), lab.paused("restore", point, "--yes", "--json", at=MOMENTS[moment]) as ended:
        fill_up(mounts, lab.paths.all_data, 16 << 10)
    if ended[0].code:  # there may be room enough for what was left to do
        assert ended[0].code != 6, ended[0].err
        assert "fault in ragops" not in ended[0].out
    lab.start()
    for name in NAMES:
        assert lab.old_or_new(name, old="B", new="A"), f"{name} has neither its old nor its new contents"
    lab("restore", point, "--yes")
    assert lab.contents() == lab.expected("A")
    assert not lab.leftovers()


class room_again:
    """The usual room when the block ends, whatever happened in it."""

    def __init__(self, lab: Lab, mounts: Mounts) -> None:
        self._lab, self._mounts = lab, mounts

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_error: object) -> None:
        self._mounts.change(self._lab.paths.all_data, "size=700m")
