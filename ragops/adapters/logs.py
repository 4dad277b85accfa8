"""Log files of services that do not rotate their own: bounded, followed, read from the end."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024
KEEP = 3


def rotate(path: Path, max_bytes: int = MAX_BYTES, keep: int = KEEP) -> bool:
    """Copy a log that is over `max_bytes` to `.1` (older ones one further, `keep` in all) and empty it in place.

    In place because the service holds it open, in append mode: its next line starts the emptied file.
    """
    try:
        if path.stat().st_size <= max_bytes:
            return False
    except FileNotFoundError:
        return False
    for number in range(keep - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    shutil.copy2(path, path.with_name(f"{path.name}.1"))
    with path.open("r+b") as stream:
        stream.truncate(0)
    return True


def tail(path: Path, lines: int) -> list[str]:
    """The last `lines` lines, at most 64 KiB from the end; empty where there is no log."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - 65536))
            return stream.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []


def follow(path: Path, poll: float = 0.2) -> Iterator[str]:
    """Yield lines as they are appended, through rotations, until the caller stops."""
    position = path.stat().st_size if path.exists() else 0
    while True:
        size = path.stat().st_size if path.exists() else 0
        if size < position:
            position = 0
        if size > position:
            with path.open("rb") as stream:
                stream.seek(position)
                block = stream.read(size - position)
            complete = block.rpartition(b"\n")[0]
            if complete:
                position += len(complete) + 1
                yield from complete.decode(errors="replace").split("\n")
        time.sleep(poll)
