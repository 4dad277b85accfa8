"""Log files of services that do not rotate their own: bounded, followed, read from the end."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import RawIOBase
    from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024
KEEP = 3
_BLOCK = 1 << 20


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
    copy = path.with_name(f"{path.name}.1")
    with path.open("r+b", buffering=0) as log, copy.open("wb", buffering=0) as target:
        shutil.copystat(path, copy)
        while block := log.read(_BLOCK):  # until there is no more: lines that are written during the copy belong to it
            _write_all(target, block)
        log.truncate(0)
    return True


def _write_all(target: RawIOBase, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[target.write(rest) or 0 :]


def tail(path: Path, lines: int) -> list[str]:
    """Return the last `lines` lines, at most 64 KiB from the end; empty if there is no log."""
    return read_tail(path, lines)[0]


def read_tail(path: Path, lines: int) -> tuple[list[str], int]:
    """Return the lines of `tail` and the position after them, where `follow` can continue without a gap."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - 65536))
            block = stream.read()
            return block.decode(errors="replace").splitlines()[-lines:] if lines else [], stream.tell()
    except FileNotFoundError:
        return [], 0


def follow(path: Path, position: int | None = None, poll: float = 0.2) -> Iterator[str]:
    """Yield lines as they are appended from `position` (None: the end) on, until the caller stops.

    What stood between the position and a rotation is read from the rotated copy.
    """
    if position is None:
        position = _size(path)
    while True:
        if _size(path) < position:
            yield from _lines(path.with_name(f"{path.name}.1"), position)[0]
            position = 0
        found, position = _lines(path, position)
        yield from found
        time.sleep(poll)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _lines(path: Path, position: int) -> tuple[list[str], int]:
    """Return the complete lines of a file from `position`, and the position after them."""
    try:
        with path.open("rb") as stream:
            stream.seek(position)
            complete, newline, _ = stream.read().rpartition(b"\n")
    except FileNotFoundError:
        return [], position
    if not newline:
        return [], position
    return complete.decode(errors="replace").split("\n"), position + len(complete) + 1
