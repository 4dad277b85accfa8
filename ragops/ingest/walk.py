"""Which files of a directory are a collection's documents."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from ragops.errors import MissingError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# What rag.documents takes: its index cannot hold more.
_LONGEST_PATH = 2600
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FileEntry(NamedTuple):
    """A file: its path relative to the directory with `/` between the parts, size in bytes, time of its last change."""

    path: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class Walk:
    """What was found: `files` in the order of their paths, and what could not be looked at, with the reason.

    `closed` are folders that could not be read: what is below them is unknown, not gone. `left_out` are files that have
    no place in the database, `notes` are for the person.
    """

    files: tuple[FileEntry, ...]
    closed: tuple[tuple[str, str], ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def walk(directory: Path, file_types: Sequence[str], *, recursive: bool) -> Walk:
    """Find the files whose names end in one of `file_types` (none: all); hidden ones are left out.

    Links are followed as long as they stay inside `directory`, every folder is looked into once. Raises MissingError
    (directory_missing), RagopsError (directory_unreadable).
    """
    try:
        root = directory.resolve(strict=True)
        with os.scandir(root):
            pass
    except FileNotFoundError as error:
        hint = "correct `directory` of the collection; nothing was removed"
        raise MissingError("directory_missing", f"there is no {directory}", hint) from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        what = f"{directory} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise RagopsError("directory_unreadable", what, "make it readable; nothing was removed") from error
    return _Walker(str(root), endings(file_types), recursive).run()


def endings(file_types: Sequence[str]) -> tuple[str, ...]:
    """`md`, `.md` and `*.md` all mean names that end in .md, in small or capital letters; `*` means all."""
    bare = {kind.strip().lstrip("*").lstrip(".").casefold() for kind in file_types}
    return () if "" in bare else tuple(f".{kind}" for kind in sorted(bare))


def modified_at(status: os.stat_result) -> datetime:
    """Return the time of the last change in the database's microseconds; 1970 if no calendar has it."""
    try:
        return _EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)
    except OverflowError:
        return _EPOCH


@dataclass
class _Walker:
    root: str
    endings: tuple[str, ...]
    recursive: bool
    files: list[FileEntry] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _seen: set[tuple[int, int]] = field(default_factory=set)
    _linked: list[tuple[str, str]] = field(default_factory=list)

    def run(self) -> Walk:
        self._tree(self.root, "")
        # Links last: a folder has its own name if it has one inside the directory.
        while self._linked:
            self._linked.sort(reverse=True)
            relative, place = self._linked.pop()
            self._tree(place, relative + "/")
        self.files.sort()
        return Walk(tuple(self.files), tuple(self.closed), tuple(self.left_out), tuple(self.notes))

    def _tree(self, place: str, prefix: str) -> None:
        folders = [(place, prefix)]
        while folders:
            current, before = folders.pop()
            for entry in self._entries(current, before):
                if entry.name.startswith("."):
                    continue
                if self._take(entry, before + entry.name):
                    folders.append((entry.path, f"{before}{entry.name}/"))

    def _entries(self, place: str, prefix: str) -> Iterator[os.DirEntry[str]]:
        try:
            status = os.stat(place)  # noqa: PTH116  Path would cost more than the call
            if (status.st_dev, status.st_ino) in self._seen:
                return
            self._seen.add((status.st_dev, status.st_ino))
            with os.scandir(place) as entries:
                yield from sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.closed.append((prefix.rstrip("/"), f"folder cannot be read: {error.strerror}"))

    def _take(self, entry: os.DirEntry[str], relative: str) -> bool:
        """Note a file or a link; whether `entry` is a folder to look into."""
        try:
            if entry.is_symlink():
                self._link(entry, relative)
                return False
            if entry.is_dir(follow_symlinks=False):
                return self.recursive
            if entry.is_file(follow_symlinks=False) and self._wanted(entry.name):
                self._file(relative, entry.stat(follow_symlinks=False))
        except FileNotFoundError:
            pass  # it went while we looked
        except OSError as error:
            self.closed.append((relative, f"cannot be looked at: {error.strerror}"))
        return False

    def _link(self, entry: os.DirEntry[str], relative: str) -> None:
        try:
            target = os.path.realpath(entry.path, strict=True)
        except OSError:
            return  # it leads nowhere, or in a circle
        status = os.stat(target)  # noqa: PTH116
        is_folder = stat.S_ISDIR(status.st_mode)
        if not (is_folder and self.recursive) and not (stat.S_ISREG(status.st_mode) and self._wanted(entry.name)):
            return
        # A user who may write here must not publish what only ragops may read.
        if not target.startswith(self.root.rstrip("/") + "/"):
            if target != self.root:
                self.notes.append(f"link not followed, it leads out of the directory: {printable(relative)}")
        elif is_folder:
            self._linked.append((relative, target))
        else:
            self._file(relative, status)

    def _wanted(self, name: str) -> bool:
        return not self.endings or name.casefold().endswith(self.endings)

    def _file(self, relative: str, status: os.stat_result) -> None:
        try:
            length = len(relative.encode())
        except UnicodeEncodeError:
            self.left_out.append((printable(relative), "its name is not UTF-8: rename it"))
            return
        if length > _LONGEST_PATH:
            self.left_out.append((relative, f"its path is longer than {_LONGEST_PATH} bytes"))
            return
        self.files.append(FileEntry(relative, status.st_size, modified_at(status)))


def printable(name: str) -> str:
    """Return a file name with any bytes, fit for messages."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
