"""The repository goes away half-way: a folder that is moved, unmounted or read-only, a server of S3 that is killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.faults.conftest import Mounts
    from tests.integration.faults.lab import Lab

pytestmark = [pytest.mark.fault, pytest.mark.campaign(of="repositories gone", sample=2)]

MISSING = 7
# Moments of a backup, by what it is about to do.
DURING = {
    "the first part": r"open project/backups/.*redis/\.partial",
    "a part is put in place": r"os.rename project/backups/.*rag\.dump",
    "a part was stored": r"os.rename project/backups/.*0002-0\.snapshot",
    "the manifest": r"os.rename project/backups/.*manifest\.json",
}


# --- folders -----------------------------------------------------------------


@contextmanager
def away(repository: Path) -> Iterator[Callable[..., None]]:
    """A function that takes the repository away, or leaves what an unmounted disk leaves; back when the block ends."""
    aside = repository.with_name("aside")
    left: list[Path] = []

    def go_away(*, emptied: bool = False) -> None:
        repository.rename(aside)
        if emptied:
            repository.mkdir()

    try:
        yield go_away
    finally:
        if aside.exists():
            left += [path for path in repository.rglob("*") if path.is_file()]
            made_anew = sorted(repository.rglob("*"))
            shutil.rmtree(repository, ignore_errors=True)
            aside.rename(repository)
    assert not left, f"written beside the repository: {left}"
    assert not made_anew, f"it was made anew, on a disk that is not the repository's: {made_anew}"


@pytest.mark.parametrize(
    ("moment", "emptied"),
    [(moment, True) for moment in DURING] + [("the first part", False), ("the manifest", False)],
    ids=lambda value: value if isinstance(value, str) else "unmounted" if value else "moved",
)
def test_gone_during_a_backup(lab: Lab, moment: str, emptied: bool) -> None:
    repository = lab.repositories[0]
    before = lab.take()
    with away(repository) as go_away, lab.paused("backup", "run", "--json", at=DURING[moment], code=MISSING) as ended:
        go_away(emptied=emptied)
    assert ended[0].error["code"] == "repository_unreachable", ended[0].error
    assert [point["id"] for point in lab.listed()] == [before]
    after = lab.take()
    assert [point["id"] for point in lab.listed()] == [after, before]
    lab("backup", "verify", after, "--deep")
    assert not lab.leftovers()


@pytest.mark.parametrize(
    "moment",
    {
        "while it is read": r"open .*staging/.*redis/dump\.rdb",
        "while the way back is written": r"os.rename project/backups/.*rag\.dump",
        "before the way back is seen": r"os.rename project/backups/.*manifest\.json",
    }.items(),
    ids=lambda moment: moment[0],
)
def test_gone_during_a_restore(lab: Lab, moment: tuple[str, str]) -> None:
    """Before anything is replaced: then nothing is."""
    point = lab.take()
    lab.fill("B")
    with (
        away(lab.repositories[0]) as go_away,
        lab.paused("restore", point, "--yes", "--json", at=moment[1], code=MISSING) as ended,
    ):
        go_away()
    assert ended[0].error["code"] == "repository_unreachable", ended[0].error
    assert lab.contents() == lab.expected("B")
    assert [item["id"] for item in lab.listed()] == [point]
    lab("restore", point, "--yes")
    assert lab.contents() == lab.expected("A")


def test_gone_while_the_services_are_restored(lab: Lab) -> None:
    """It was read before; what is under way comes to its end without it."""
    point = lab.take()
    lab.fill("B")
    with away(lab.repositories[0]) as go_away, lab.paused("restore", point, "--yes", at=r"start .*--jobs", code=0):
        go_away()
    assert lab.contents() == lab.expected("A")


@pytest.mark.parametrize("moment", DURING)
def test_read_only_during_a_backup(lab: Lab, mounts: Mounts, moment: str) -> None:
    """The lock cannot be removed then: the next run takes it over."""
    mounts.require(lab.repositories[0], "8m")
    before = lab.take()
    # One part at a time: a file system on which a file is open for writing does not become read-only.
    with lab.paused("backup", "run", "--jobs", "1", "--json", at=DURING[moment]) as ended:
        mounts.change(lab.repositories[0], "ro")
    assert ended[0].code == MISSING, ended[0].err
    assert ended[0].error["code"] == "repository_read_only", ended[0].error
    assert [point["id"] for point in lab.listed()] == [before]
    mounts.change(lab.repositories[0], "rw")
    after = lab.take()
    assert [point["id"] for point in lab.listed()] == [after, before]
    assert not lab.leftovers()


# --- S3 --------------------------------------------------------------------------------------------------------------


# Without a cache of folders rclone locks itself up now and then when the last file of one is removed.
class S3:
    """rclone serving a folder; dies and comes back on the same port."""

    def __init__(self, folder: Path, port: int, wait_until: Callable[..., None]) -> None:
        self.folder, self._port, self._wait = folder, port, wait_until
        (folder / "data" / "bucket").mkdir(parents=True)
        options = folder / "options.yaml"
        options.write_text("key: AKIAragops\nsecret: of-the-bucket\n")
        options.chmod(0o600)
        self.place: dict[str, Any] = {
            "url": "s3://bucket/points", "options": {"endpoint_url": f"http://127.0.0.1:{port}"},
            "options_file": str(options),
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Serve."""
        program = Path(sys.executable).with_name("rclone")
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "serve", "s3", "--addr", f"127.0.0.1:{self._port}", "--dir-cache-time", "1h",
                 "--auth-key", "AKIAragops,of-the-bucket", str(self.folder / "data")],
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "RCLONE_CONFIG": str(self.folder / "none")},
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._wait(self._listens, 60, "S3")

    def kill(self) -> None:
        """At once."""
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def manifests(self) -> list[str]:
        """Of what there is to be seen."""
        return sorted(path.parent.name for path in (self.folder / "data").rglob("manifest.json"))

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
            return True
        return False


@pytest.fixture
def s3(lab: Lab, free_port: Callable[[], int], wait_until: Callable[..., None], tmp_path: Path) -> Iterator[S3]:
    server = S3(lab.folder / f"s3-{tmp_path.name}", free_port(), wait_until)
    server.start()
    yield server
    server.kill()


def test_s3_dies_during_a_backup(lab: Lab, s3: S3) -> None:
    """Once parts are there; the run ends in words, in bounded time, and the next one completes."""
    lab.configure(repository=s3.place, copies=[])
    with lab.paused("backup", "run", "--json", at=r"http DELETE .*/snapshots/", code=MISSING) as ended:
        s3.kill()
    assert ended[0].error["code"] == "repository_unreachable", ended[0].error
    s3.start()
    assert not s3.manifests()
    assert not lab.listed()
    point = lab.take()
    assert s3.manifests() == [point]
    lab("backup", "verify", "--deep")
    lab.fill("B")
    lab("restore", point, "--yes", "--no-safety")
    assert lab.contents() == lab.expected("A")


def test_s3_dies_during_a_copy(lab: Lab, s3: S3) -> None:
    """The recovery point is whole where it was taken, the copy that is missing is a failure, and is made later."""
    lab.configure(copies=[s3.place])
    with lab.paused("backup", "run", "--json", at=r"os.rmdir .*staging/default/[^/]+-[0-9a-f]{8}$", code=1) as ended:
        s3.kill()
    assert ended[0].error["code"] == "copy_failed", ended[0].error
    (listed,) = lab("backup", "list", "--json").json()["points"]
    lab("backup", "verify", listed["id"])
    s3.start()
    assert not s3.manifests()
    lab("backup", "copy")
    assert s3.manifests() == [listed["id"]]
    lab.fill("B")
    lab("restore", listed["id"], "--yes", "--no-safety", "--repository", "2")
    assert lab.contents() == lab.expected("A")
