"""Tar archives of shards: Edge's files are mostly holes (138 MB for 160 KB of data), so the archive keeps them holes.

The format is GNU tar's old sparse one (the manual, "Storing Sparse Files"), which tarfile reads and does not write.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ragops.devserver.qdrant.errors import bad_input

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 20
_MAP, _IN_HEADER, _IN_EXTENSION = 386, 4, 21
_CHECKSUM = slice(148, 156)


class _Hashed:
    """Writes to a file and hashes what it writes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self.digest.update(data)
        self._stream.write(data)


def write(folder: Path, target: Path) -> str:
    """Archive everything in `folder`, durably; returns the SHA-256 of `target`. Nothing may write in `folder`."""
    with target.open("xb") as stream:
        target.chmod(0o600)
        archive = _Hashed(stream)
        for path in sorted(folder.rglob("*")):
            info = _info(path, path.relative_to(folder).as_posix())
            if path.is_dir():
                archive.write(info.tobuf(tarfile.GNU_FORMAT))
            else:
                _write_file(archive, info, path)
        archive.write(bytes(2 * _BLOCK))
        stream.flush()
        os.fsync(stream.fileno())
    return archive.digest.hexdigest()


def _info(path: Path, name: str) -> tarfile.TarInfo:
    """Leave out owner and mode: the reader sets its own."""
    info = tarfile.TarInfo(name)
    info.mtime = int(path.stat().st_mtime)
    info.type, info.mode = (tarfile.DIRTYPE, 0o700) if path.is_dir() else (tarfile.REGTYPE, 0o600)
    return info


def _write_file(archive: _Hashed, info: tarfile.TarInfo, path: Path) -> None:
    with path.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        extents = list(_extents(source.fileno(), size))
        info.size = sum(length for _, length in extents)
        archive.write(info.tobuf(tarfile.GNU_FORMAT) if info.size == size else _sparse_header(info, size, extents))
        for start, length in extents:
            _copy(archive, source, start, length)
        archive.write(bytes(-info.size % _BLOCK))


def _extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Where the file has data: start and length (lseek(2), SEEK_DATA)."""
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole follows
            return
        position = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
        yield start, position - start


def _sparse_header(info: tarfile.TarInfo, size: int, extents: Sequence[tuple[int, int]]) -> bytes:
    """Return the header of a file with holes, a long map of them continued in blocks of their own."""
    info.type = tarfile.GNUTYPE_SPARSE
    entries = [_number(start) + _number(length) for start, length in (*extents, (size, 0))]
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    inner = memoryview(header)[-_BLOCK:]
    first, rest = entries[:_IN_HEADER], entries[_IN_HEADER:]
    packed = b"".join(first).ljust(24 * _IN_HEADER, b"\0") + bytes([bool(rest)]) + _number(size)
    inner[_MAP : _MAP + len(packed)] = packed
    inner[_CHECKSUM] = b" " * 8
    inner[_CHECKSUM] = b"%06o\0 " % sum(inner)
    inner.release()
    while rest:
        some, rest = rest[:_IN_EXTENSION], rest[_IN_EXTENSION:]
        header += (b"".join(some).ljust(24 * _IN_EXTENSION, b"\0") + bytes([bool(rest)])).ljust(_BLOCK, b"\0")
    return bytes(header)


def _number(value: int) -> bytes:
    """Encode into 12 bytes: octal digits, or base 256 for larger numbers (GNU tar)."""
    return b"%011o\0" % value if value < 8**11 else b"\x80" + value.to_bytes(11, "big")


def _copy(archive: _Hashed, source: BinaryIO, start: int, length: int) -> None:
    source.seek(start)
    while length:
        block = source.read(min(length, _CHUNK))
        if not block:
            raise OSError("the file has become shorter while it was archived")
        archive.write(block)
        length -= len(block)


def check(path: Path) -> None:
    """Refuse what is no archive, or would write outside of the folder it is unpacked in. Raises ApiError (400)."""
    try:
        with tarfile.open(path, "r:") as archive:
            names = [(member.name, member.isreg() or member.isdir()) for member in archive]
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise bad_input(f"the snapshot is not a readable archive: {error}") from error
    for name, ordinary in names:
        parts = PurePosixPath(name)
        if not ordinary or parts.is_absolute() or ".." in parts.parts:
            raise bad_input(f"the snapshot holds {name!r}, which is not a plain file or folder inside it")


def sha256(path: Path) -> str:
    """Return the checksum of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
