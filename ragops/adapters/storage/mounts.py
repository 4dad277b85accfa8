"""Return whether a folder lies on a disk of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from pathlib import Path

_LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay", "apfs"})


def is_local(folder: Path) -> bool:
    """By the kind of the file system that it, or what there is of its way, is mounted from; False if in doubt."""
    kinds = {mount.mountpoint: mount.fstype for mount in psutil.disk_partitions(all=True)}
    place = folder.resolve()
    return next((kinds[str(path)] in _LOCAL for path in (place, *place.parents) if str(path) in kinds), False)
