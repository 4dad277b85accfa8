"""Which files of a directory are a collection's documents."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from ragops.errors import MissingError, RagopsError
from ragops.ingest.ignore import Rules, rules_above
from ragops.services.timescaledb.collections.file_keys import file_rules
from ragops.units import size as shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ragops.ingest.rows import Collection

# What rag.documents takes: its index cannot hold more.
_LONGEST_PATH = 2600
# A file is read into memory to be converted, and a larger one has hardly more text: it has pictures, or is a log.
LARGEST_FILE = 64 << 20
_LISTED = 10_000  # of what is left out: a disk full of pictures is counted, not held
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FileEntry(NamedTuple):
    """A file: its path relative to the directory with `/` between the parts, size in bytes, time of its last change."""

    path: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class Walk:
    """What was found: `files` in the order of their paths, and what could not be looked at, with the reason.

    `closed` are folders that could not be read: what is below them is unknown, not gone. `unusable` are files that have
    no place in the database, `notes` are for the person. `left_out` are files and whole folders that a rule leaves out,
    at most 10,000 of them, `left_out_counts` how many of all by reason. `folders` are those that were looked into, by
    their real path: what the paths of their files begin with, and the rules that hold there.
    """

    files: tuple[FileEntry, ...]
    closed: tuple[tuple[str, str], ...] = ()
    unusable: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    left_out_counts: Mapping[str, int] = field(default_factory=dict)
    folders: Mapping[str, tuple[str, Rules]] = field(default_factory=dict)


def walk_collection(collection: Collection, directory: Path) -> Walk:
    """Find the files of a collection in its directory.

    Raises as `walk`, and UsageError (collection_key_invalid).
    """
    rules = file_rules(collection.extra, collection.defaults)
    return walk(
        directory,
        collection.file_types,
        recursive=collection.recursive,
        exclude=rules.exclude,
        largest=rules.largest or LARGEST_FILE,
    )


def walk(
    directory: Path,
    file_types: Sequence[str],
    *,
    recursive: bool,
    exclude: Sequence[str] = (),
    largest: int = LARGEST_FILE,
) -> Walk:
    """Find the files whose names end in one of `file_types` (none: all) and that no rule of `ignore` leaves out.

    `exclude` are patterns of git, `largest` is in bytes. Links are followed as long as they stay inside `directory`,
    every folder is looked into once. Raises MissingError (directory_missing), RagopsError (directory_unreadable).
    """
    try:
        root = directory.resolve(strict=True)
        with os.scandir(root):
            pass
    except FileNotFoundError as error:
        hint = "mount it or correct it: `ragops collection set NAME --directory FOLDER`; nothing was removed"
        raise MissingError("directory_missing", f"there is no {directory}", hint) from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        what = f"{directory} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise RagopsError("directory_unreadable", what, "make it readable; nothing was removed") from error
    walker = _Walker(str(root), endings(file_types), recursive, largest)
    return walker.run(rules_above(root, exclude, walker.notes))


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
    largest: int
    files: list[FileEntry] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)
    unusable: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    folders: dict[str, tuple[str, Rules]] = field(default_factory=dict)
    _seen: set[tuple[int, int]] = field(default_factory=set)
    _linked: list[tuple[str, str, Rules]] = field(default_factory=list)

    def run(self, rules: Rules) -> Walk:
        self._tree(self.root, "", rules)
        # Links last: a folder has its own name if it has one inside the directory.
        while self._linked:
            self._linked.sort(key=lambda link: link[:2], reverse=True)
            relative, place, rules = self._linked.pop()
            self._tree(place, relative + "/", rules)
        self.files.sort()
        return Walk(
            tuple(self.files), tuple(self.closed), tuple(self.unusable), tuple(self.notes), tuple(self.left_out),
            dict(self.counts), self.folders,
        )  # fmt: skip

    def _tree(self, place: str, prefix: str, rules: Rules) -> None:
        folders = [(place, prefix, rules)]
        while folders:
            current, before, above = folders.pop()
            entries = list(self._entries(current, before))
            here = above.below(current, before, {entry.name for entry in entries}, self.notes)
            self.folders.setdefault(current, (before, here))
            folders += [
                (entry.path, f"{before}{entry.name}/", here)
                for entry in entries
                if self._take(entry, before + entry.name, here)
            ]

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

    def _take(self, entry: os.DirEntry[str], relative: str, rules: Rules) -> bool:
        """Note a file or a link; whether `entry` is a folder to look into."""
        try:
            if entry.is_symlink():
                self._link(entry, relative, rules)
                return False
            if entry.is_dir(follow_symlinks=False):
                return self.recursive and not self._leave_out(relative, entry.name, rules, is_folder=True)
            if entry.is_file(follow_symlinks=False) and not self._leave_out(relative, entry.name, rules):
                self._file(relative, entry.stat(follow_symlinks=False))
        except FileNotFoundError:
            pass  # it went while we looked
        except OSError as error:
            self.closed.append((relative, f"cannot be looked at: {error.strerror}"))
        return False

    def _link(self, entry: os.DirEntry[str], relative: str, rules: Rules) -> None:
        try:
            target = os.path.realpath(entry.path, strict=True)
        except OSError:
            return  # it leads nowhere, or in a circle
        status = os.stat(target)  # noqa: PTH116
        is_folder = stat.S_ISDIR(status.st_mode)
        if not (is_folder and self.recursive) and not stat.S_ISREG(status.st_mode):
            return
        if self._leave_out(relative, entry.name, rules, is_folder=is_folder):
            return
        # A user who may write here must not publish what only ragops may read.
        if not target.startswith(self.root.rstrip("/") + "/"):
            if target != self.root:
                self.notes.append(f"link not followed, it leads out of the directory: {printable(relative)}")
        elif is_folder:
            self._linked.append((relative, target, rules))
        else:
            self._file(relative, status)

    def _leave_out(self, relative: str, name: str, rules: Rules, *, is_folder: bool = False) -> bool:
        """Whether a rule leaves it out, which is counted."""
        if reason := rules.reason(relative, name, is_folder=is_folder):
            self._count(f"{relative}/" if is_folder else relative, reason)
            return True
        if is_folder or self._wanted(name):
            return False
        self._count(relative, "other types")
        return True

    def _count(self, relative: str, reason: str) -> None:
        self.counts[reason] += 1
        if len(self.left_out) < _LISTED:
            self.left_out.append((printable(relative), reason))

    def _wanted(self, name: str) -> bool:
        return not self.endings or name.casefold().endswith(self.endings)

    def _file(self, relative: str, status: os.stat_result) -> None:
        try:
            length = len(relative.encode())
        except UnicodeEncodeError:
            self.unusable.append((printable(relative), "its name is not UTF-8: rename it"))
            return
        if length > _LONGEST_PATH:
            self.unusable.append((relative, f"its path is longer than {_LONGEST_PATH} bytes"))
            return
        if status.st_size > self.largest:
            self._count(relative, f"larger than {shown(self.largest)}")
            return
        self.files.append(FileEntry(relative, status.st_size, modified_at(status)))


def printable(name: str) -> str:
    """Return a file name with any bytes, fit for messages."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
