"""One platform for all tests of this folder: killed, damaged and filled up, and whole again after each."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.faults.lab import NAMES, Lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DATA_SIZE = "700m"


class Mounts:
    """Small file systems of our own, where that is permitted."""

    def __init__(self) -> None:
        self._mounted: list[Path] = []

    def make(self, folder: Path, size: str) -> bool:
        """Mount a tmpfs of `size`; whether that was permitted."""
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() != 0:
            return False
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0711", "tmpfs", folder], capture_output=True, check=False
        )
        if done.returncode == 0:
            self._mounted.append(folder)
        return done.returncode == 0

    def require(self, folder: Path, size: str) -> None:
        """The same, or the test is skipped."""
        if not self.make(folder, size):
            pytest.skip("mounting a small file system needs root")

    @staticmethod
    def change(folder: Path, options: str) -> None:
        """Mount anew with other options."""
        subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)

    def close(self) -> None:
        """Take all away."""
        while self._mounted:
            folder = self._mounted.pop()
            if subprocess.run(["umount", folder], check=False).returncode:
                subprocess.run(["umount", "--lazy", folder], check=False)


@pytest.fixture
def mounts() -> Iterator[Mounts]:
    """Mounts that end with the test."""
    mounts = Mounts()
    yield mounts
    mounts.close()


@contextmanager
def _folder(processes_of: Callable[[Path], list[Any]], mounts: Mounts) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ragops-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        left = processes_of(folder)
        for process in left:
            process.kill()
        mounts.close()
        shutil.rmtree(folder, ignore_errors=True)
    assert not left, f"left running: {left}"


@pytest.fixture(scope="session")
def package_lab(processes_of: Callable[[Path], list[Any]], free_port: Callable[[], int]) -> Iterator[Lab]:
    mounts = Mounts()
    with _folder(processes_of, mounts) as folder:
        lab = Lab(folder, {name: free_port() for name in NAMES})
        lab.on_small_disk = mounts.make(lab.paths.all_data, _DATA_SIZE)
        try:
            lab.build()
            yield lab
        finally:
            lab.close()


@pytest.fixture
def lab(package_lab: Lab) -> Lab:
    """The platform, up and with contents A, its usual configuration, no recovery points."""
    package_lab.renew()
    package_lab.fill("A")
    return package_lab


@pytest.fixture(scope="module")
def point_a(package_lab: Lab) -> str:
    """A recovery point of contents A, taken once for a module."""
    package_lab.renew()
    package_lab.fill("A")
    return package_lab.take()


@pytest.fixture
def changed(package_lab: Lab, point_a: str) -> Lab:
    """Contents B, of which no recovery point is left."""
    package_lab.fill("B")
    package_lab.empty_repositories(keep=point_a)
    package_lab.paths.restore_journal.unlink(missing_ok=True)
    return package_lab
