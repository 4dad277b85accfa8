"""The tar streams in which Docker takes files, made in bounded memory, and the users that own them."""

from __future__ import annotations

import os
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters.files import explain_os_error
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BLOCK = 1 << 20


@dataclass(frozen=True)
class ArchiveEntry:
    """One entry of an archive, by its relative path: a link that leads to `link`, a folder (`content` None), or a file.

    A file's content is bytes, or a file of this machine.
    """

    path: str
    mode: int
    uid: int
    gid: int
    content: bytes | Path | None = None
    link: str = ""


def pack_tar(entries: Iterable[ArchiveEntry]) -> Iterator[bytes]:
    """Yield a tar of `entries`, block by block. Raises RagopsError (file_error, not_permitted) for unreadable files."""
    for entry in entries:
        if isinstance(entry.content, Path):
            yield from _file(entry, entry.content)
        else:
            content = entry.content or b""
            yield _head(entry, len(content))
            yield content + _padding(len(content))
    yield tarfile.NUL * (2 * tarfile.BLOCKSIZE)


def _file(entry: ArchiveEntry, path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            size = left = os.fstat(stream.fileno()).st_size
            yield _head(entry, size)
            while left and (data := stream.read(min(left, _BLOCK))):
                left -= len(data)
                yield data
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    if left:
        raise RagopsError("file_error", f"cannot read {path}: it became shorter during that", "run the command again")
    yield _padding(size)


def _head(entry: ArchiveEntry, size: int) -> bytes:
    info = tarfile.TarInfo(entry.path)
    info.mode, info.uid, info.gid, info.size = entry.mode, entry.uid, entry.gid, size
    info.mtime = int(time.time())
    info.type = tarfile.DIRTYPE if entry.content is None else tarfile.REGTYPE
    if entry.link:
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return tarfile.NUL * (-size % tarfile.BLOCKSIZE)


@dataclass(frozen=True)
class User:
    """An entry of /etc/passwd."""

    name: str
    uid: int
    gid: int


def find_user(passwd: str, user: str) -> User | None:
    """Return the entry of `user`, a name or a uid, with or without `:gid`; None if the image has no such name.

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
