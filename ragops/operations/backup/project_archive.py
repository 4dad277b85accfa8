"""The project's own parts of a recovery point: its files, and, if they are encrypted, its secrets."""

from __future__ import annotations

import io
import tarfile
import tempfile
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

import ragops
from ragops.recovery.manifest import PLATFORM
from ragops.services.contract import Part

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ragops.operations.backup.part_writer import BackupWriter
    from ragops.operations.session import Platform

SEALED_PART = "sealed.tar"
_COPIES = {"history", "backups", "locks", "bin", "broken-state"}
OPTIONS = "options"  # the folder in it of files with keys of repositories


def add_project(backup: BackupWriter, platform: Platform, *, sealed: bool) -> None:
    """Add the project's files, and, if they are encrypted, its secrets in one archive."""
    writer = backup.writer_for(PLATFORM)
    versions = {"ragops": ragops.__version__}
    for name, path in platform.files.items():
        part = Part(name, datetime.now(tz=UTC), {}, versions)
        writer.store(name, io.BytesIO(path.read_bytes()), lambda part=part: part)  # type: ignore[misc]
    if sealed:
        with tempfile.TemporaryFile(dir=writer.folder) as archive:
            count = _pack(platform.sealed, archive)
            archive.seek(0)
            part = Part(SEALED_PART, datetime.now(tz=UTC), {"files": count}, versions)
            writer.store(SEALED_PART, archive, lambda: part)


def _pack(sealed: Mapping[str, Path], target: IO[bytes]) -> int:
    """Archive what is there of them, by name; return the number of files."""
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, path in sealed.items():
            if path.exists():
                archive.add(path, arcname=name, filter=_without_history)
        return sum(member.isfile() for member in archive.getmembers())


def _without_history(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Return the member if it belongs to a recovery point: copies that the engine keeps of its state do not."""
    parts = member.name.split("/")
    copies = parts[0] == "pulumi" and (_COPIES & set(parts) or member.name.endswith((".bak", ".attrs")))
    return None if copies else member
