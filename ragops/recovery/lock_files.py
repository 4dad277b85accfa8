"""The files of locks: one for each run, rewritten at each heartbeat, and removed at its end.

If a repository takes new files only, a run adds a file with a higher number at each heartbeat, and ends with an
empty one, `<name>.ended`. The newest file of a name counts, and none if the lock has ended.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from ragops.adapters.locks import LockHolder
from ragops.adapters.process_identity import ProcessIdentity
from ragops.errors import RagopsError, StoreRefusedError

if TYPE_CHECKING:
    from ragops.adapters.storage import Store

SLOWEST = 120.0  # the longest heartbeat interval that is accepted in a record
_FIRST, _ENDED = ".json", ".ended"
_SPARING = 4  # times the interval, as each heartbeat is a file that stays


@dataclass(frozen=True)
class LockRecord:
    """The content of a lock file: the holder, since when, the number of heartbeats and the time of the last one."""

    owner: ProcessIdentity
    command: str
    since: str
    held: bool
    count: int
    time: float
    every: float

    def __str__(self) -> str:
        text = str(LockHolder(self.owner.host, self.owner.pid, self.command, self.since))
        return "".join(letter for letter in text if letter.isprintable())  # it comes from another machine


@dataclass(frozen=True)
class Lock:
    """The lock of one run: its name, the newest of its files, and its content."""

    name: str
    path: str
    content: bytes
    record: LockRecord | None

    def __str__(self) -> str:
        return str(self.record or "an unknown run")

    @property
    def is_held(self) -> bool:
        """Return whether the lock is held, not only requested."""
        return self.record is None or self.record.held

    @property
    def is_dead_here(self) -> bool:
        """Return whether its process was one of this machine, and is gone."""
        return self.record is not None and self.record.owner.is_gone()


class LockFiles:
    """The files of all locks in the folder `folder` of `store`. All methods raise what the store raises."""

    def __init__(self, store: Store, folder: str) -> None:
        self.store = store
        self.folder = folder
        self.is_append_only = False
        self._numbers: dict[str, int] = {}

    def list_active(self) -> list[Lock]:
        """Return the locks that have not ended, in the order of their names."""
        found = [entry.path for entry in self.store.list_entries(self.folder)]
        ended = {_name(path) for path in found if path.endswith(_ENDED)}
        alive = sorted((path for path in found if _name(path) not in ended), key=_number)
        paths = {_name(path): path for path in alive}  # the highest number comes last
        contents = self.store.read_all(paths.values())
        return [
            Lock(name, path, contents[path], _parse(contents[path]))
            for name, path in sorted(paths.items())
            if path in contents
        ]

    def find(self, name: str) -> Lock | None:
        """Return the lock of that name, None if it has ended."""
        return next((lock for lock in self.list_active() if lock.name == name), None)

    def write(self, name: str, note: LockRecord) -> str:
        """Write the first file of a lock, or the next one in its place or after it; return its path."""
        number = self._numbers.setdefault(name, -1)
        if number >= 0 and not self.is_append_only:
            try:
                return self._put(_path(name, number), self._content(note))
            except StoreRefusedError:
                self.is_append_only = True
        self._numbers[name] = number + 1
        return self._put(_path(name, number + 1), self._content(note))

    def heartbeat_interval(self, beat: float) -> float:
        """Return the seconds between two heartbeats of a run that asks for one every `beat` seconds."""
        return min(beat * _SPARING, SLOWEST) if self.is_append_only else beat

    def release(self, name: str) -> None:
        """Remove its files, the newest last; if they may not be removed, record that it has ended."""
        paths = sorted(entry.path for entry in self.store.list_entries(self.folder) if _name(entry.path) == name)
        try:
            self.store.remove(sorted(paths, key=_number))
        except StoreRefusedError:
            self.is_append_only = True
            with contextlib.suppress(StoreRefusedError):  # another run has done so
                self._put(f"{name}{_ENDED}", b"")

    def remove_released(self) -> None:
        """Remove the files of ended locks as far as that is allowed; failures are ignored."""
        with contextlib.suppress(RagopsError):
            found = [entry.path for entry in self.store.list_entries(self.folder)]
            ended = {_name(path) for path in found if path.endswith(_ENDED)}
            paths = [path for path in found if _name(path) in ended]
            self.store.remove(sorted(paths, key=lambda path: (path.endswith(_ENDED), path)))

    def _content(self, note: LockRecord) -> bytes:
        return json.dumps(asdict(replace(note, every=self.heartbeat_interval(note.every)))).encode()

    def _put(self, path: str, content: bytes) -> str:
        with self.store.open_write(path) as stream:
            stream.write(content)
        return path


def _path(name: str, number: int) -> str:
    return f"{name}.{number:06d}{_FIRST}" if number else f"{name}{_FIRST}"


def _name(path: str) -> str:
    folder, slash, file = path.rpartition("/")
    return f"{folder}{slash}{file.partition('.')[0]}"


def _number(path: str) -> int:
    text = path.rpartition("/")[2].partition(".")[2].partition(".")[0]
    return int(text) if text.isdecimal() else 0


def _parse(content: bytes) -> LockRecord | None:
    try:
        values = json.loads(content)
        note = LockRecord(**{**values, "owner": ProcessIdentity(**values["owner"])})
        return note if float(note.time) >= 0 and float(note.every) > 0 else None
    except (ValueError, TypeError, KeyError):
        return None
