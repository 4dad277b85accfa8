"""A small disk of its own kind: a file system in a file, which is a disk to the machine, unlike tmpfs."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount an ext4 of this size below `folder`, gone with the block; skips the test if this machine cannot."""
    image, where = folder / "disk.img", folder / "disk"
    where.mkdir()
    with image.open("wb") as file:
        file.truncate(megabytes * 1_048_576)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True, capture_output=True, timeout=30)
        subprocess.run(["mount", "-o", "loop", image, where], check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this machine mounts no file system in a file: {error}")
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", where], check=True, capture_output=True, timeout=30)
