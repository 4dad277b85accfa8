"""The tar streams in which Docker takes and gives files: made and read in bounded memory."""

from __future__ import annotations

import io
import tarfile
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_SPOOL = 1 << 20
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One folder (`content` None) or file of an archive; `path` is relative, a file's content bytes or where it is."""

    path: str
    mode: int
    uid: int
    gid: int
    content: bytes | Path | None = None


@contextmanager
def packed(entries: Iterable[Entry]) -> Iterator[IO[bytes]]:
    """A tar of `entries`, rewound, on disk where it is large and gone at the block's end. Raises OSError."""
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL) as stream:
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for entry in entries:
                _add(archive, entry)
        stream.seek(0)
        yield stream


def _add(archive: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.path)
    info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
    if entry.content is None:
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    elif isinstance(entry.content, bytes):
        info.size = len(entry.content)
        archive.addfile(info, io.BytesIO(entry.content))
    else:
        with entry.content.open("rb") as source:
            info.size = entry.content.stat().st_size
            archive.addfile(info, source)


class ChunkReader(io.RawIOBase):
    """An iterator of byte strings as a readable stream."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: object, /) -> int:
        """Fill what there is room for; 0 at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        target = memoryview(buffer)  # type: ignore[call-overload]
        size = min(len(target), len(self._rest))
        target[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


@contextmanager
def unpacked(chunks: Iterable[bytes]) -> Iterator[tarfile.TarFile]:
    """The archive that arrives in `chunks`, to be read front to back. Raises tarfile.TarError."""
    stream = io.BufferedReader(ChunkReader(chunks), _BLOCK)
    with tarfile.open(fileobj=stream, mode="r|", bufsize=_BLOCK) as archive:
        yield archive


@dataclass(frozen=True)
class User:
    """An entry of /etc/passwd."""

    name: str
    uid: int
    gid: int


def find_user(passwd: str, user: str) -> User | None:
    """The entry of `user`, a name or a uid, with or without `:gid`; None where the image does not know the name.

    A uid without an entry has the group of the same number, `root` is known everywhere.
    """
    wanted, _, group = user.partition(":")
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) >= 4 and wanted in (fields[0], fields[2]):
            found = User(fields[0], int(fields[2]), int(fields[3]))
            return User(found.name, found.uid, int(group)) if group.isdecimal() else found
    if wanted.isdecimal():
        return User("", int(wanted), int(group if group.isdecimal() else wanted))
    return User("root", 0, 0) if wanted in ("", "root") else None
