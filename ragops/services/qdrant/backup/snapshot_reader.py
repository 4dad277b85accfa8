"""Reads a shard snapshot with the engine, without a server."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tarfile
import tempfile
from typing import TYPE_CHECKING

from ragops.adapters import subprocess_tool
from ragops.adapters.installation import install_command
from ragops.adapters.temp_dirs import private_temp_dir
from ragops.errors import IntegrityError, MissingError, RagopsError
from ragops.hints import OTHER_POINT
from ragops.services.qdrant.backup import snapshot_unpack
from ragops.services.qdrant.names import SERVER_ENGINE

if TYPE_CHECKING:
    from pathlib import Path

# Minor versions of the server whose snapshots Qdrant Edge 0.9 opens (seen: 1.18; 1.19 is its own).
_READABLE = ((1, 18), (1, 19))
_LIMIT = 3600.0


def is_readable(engine: str, version: str) -> bool:
    """Return whether the engine of this machine can open snapshots of that engine."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return engine != SERVER_ENGINE or (found is not None and (int(found[1]), int(found[2])) in _READABLE)


def count_points(snapshot: Path) -> int:
    """Unpack and open a snapshot, its own or a Qdrant server's, and count its points.

    In a process of its own: the engine blocks all threads of its process while it works, and a damaged file that it
    maps may end the process. Raises IntegrityError (snapshot_unreadable), MissingError (engine_not_installed,
    disk_full).
    """
    with private_temp_dir() as folder:
        arguments = (sys.executable, "-P", "-m", snapshot_unpack.__name__, str(snapshot), str(folder / "shard"))
        try:
            return int(subprocess_tool.read_tool_output(arguments, os.environ, _LIMIT, name="the engine"))
        except RagopsError as error:
            if error.code == "disk_full" or (error.code == "tool_failed" and _is_full(folder, snapshot)):
                what = f"cannot open {snapshot.name}: no space left in {tempfile.gettempdir()}"
                raise MissingError("disk_full", what, "free some space, or set TMPDIR") from error
            if error.code != "tool_failed":
                raise
            if snapshot_unpack.NOT_HERE in error.message:
                what = "cannot read snapshots: qdrant-edge-py is not installed, or does not work here"
                raise MissingError("engine_not_installed", what, f"run `{install_command('docker')}`") from error
            what = f"cannot read {snapshot.name} with the engine: {error.message}"
            raise IntegrityError("snapshot_unreadable", what, OTHER_POINT) from error


def _is_full(folder: Path, snapshot: Path) -> bool:
    """Return whether the disk is too full for the snapshot: Edge reports no reason if it cannot unpack."""
    return shutil.disk_usage(folder).free < snapshot.stat().st_size


def check_archive(snapshot: Path) -> None:
    """Read a snapshot to its end as the archive that it is. Raises IntegrityError (snapshot_unreadable)."""
    try:
        with tarfile.open(snapshot, "r:") as archive:
            whole = sum(1 for member in archive if member.isreg())
    except (tarfile.TarError, OSError, EOFError) as error:
        what = f"cannot read {snapshot.name}: it is not a whole archive: {error}"
        raise IntegrityError("snapshot_unreadable", what, OTHER_POINT) from error
    if not whole:
        raise IntegrityError("snapshot_unreadable", f"cannot read {snapshot.name}: it is an empty archive", OTHER_POINT)
