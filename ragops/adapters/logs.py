"""Log files of services that do not rotate their own: bounded, followed, read from the end."""

from __future__ import annotations

import ctypes
import os
import shutil
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import RawIOBase
    from pathlib import Path
    from typing import BinaryIO

MAX_BYTES = 10 * 1024 * 1024
KEEP = 3
_BLOCK = 1 << 20
_TAIL_BLOCK = 1 << 16
_COLLAPSE_RANGE = 0x08  # FALLOC_FL_COLLAPSE_RANGE of fallocate(2)


def rotate(path: Path, max_bytes: int = MAX_BYTES, keep: int = KEEP) -> bool:
    """Move the content of a log over `max_bytes` to `.1` (older ones one further, `keep` in all), and keep its file.

    The service holds the file open in append mode, so it stays in its place. ext4 and XFS cut whole blocks off its
    start in one step, so that no line is lost; the last, incomplete block stays. Other file systems, and logs of less
    than a block, are emptied after the copy: a line between those two steps is lost.
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
        if cut := cut_start(log.fileno(), target.tell() - 1):
            target.truncate(cut)
        else:
            log.truncate(0)
    return True


def cut_start(descriptor: int, most: int) -> int:
    """Remove whole blocks from the start of an open file, in one step; returns how many bytes, 0 if it cannot.

    At most `most` bytes, which must be fewer than the file has.
    """
    size = os.fstatvfs(descriptor).f_bsize
    length = most - most % size
    fallocate = getattr(ctypes.CDLL(None), "fallocate", None)
    if length <= 0 or fallocate is None:
        return 0
    done = fallocate(descriptor, _COLLAPSE_RANGE, ctypes.c_int64(0), ctypes.c_int64(length)) == 0
    return length if done else 0


def _write_all(target: RawIOBase, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[target.write(rest) or 0 :]


def tail(path: Path, lines: int) -> list[str]:
    """Return the last `lines` lines, rotated ones too; empty if there is no log."""
    return read_tail(path, lines)[0]


def read_tail(path: Path, lines: int) -> tuple[list[str], int]:
    """Return the lines of `tail` and the position after them, where `follow` can continue without a gap."""
    try:
        with path.open("rb") as stream:
            end = stream.seek(0, os.SEEK_END)
            found = _last_lines(stream, end, lines)
    except FileNotFoundError:
        return [], 0
    for number in range(1, KEEP + 1):
        if len(found) >= lines:
            break
        try:
            with path.with_name(f"{path.name}.{number}").open("rb") as stream:
                found = _last_lines(stream, stream.seek(0, os.SEEK_END), lines - len(found)) + found
        except FileNotFoundError:
            break
    return found, end


def _last_lines(stream: BinaryIO, end: int, lines: int) -> list[str]:
    """Return the last `lines` lines before `end`; reads no more of the file than it has to."""
    blocks: list[bytes] = []
    breaks, start = 0, end
    while start > 0 and breaks <= lines and lines:
        size = min(_TAIL_BLOCK, start)
        start -= size
        stream.seek(start)
        blocks.append(stream.read(size))
        breaks += blocks[-1].count(b"\n")
    text = b"".join(reversed(blocks)).decode(errors="replace")
    found = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    return found[-lines:] if lines and text else []


def follow(path: Path, position: int, poll: float = 0.2) -> Iterator[str]:
    """Yield lines as they are appended from `position` on, until the caller stops.

    What stood between the position and a rotation is read from the rotated copy.
    """
    rest = b""
    while True:
        if _size(path) < position:
            rotated = path.with_name(f"{path.name}.1")
            rest += _read(rotated, position)
            position = max(0, position - _size(rotated))
        found = _read(path, position)
        position += len(found)
        *lines, rest = (rest + found).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
        time.sleep(poll)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _read(path: Path, position: int) -> bytes:
    try:
        with path.open("rb") as stream:
            stream.seek(position)
            return stream.read()
    except FileNotFoundError:
        return b""
