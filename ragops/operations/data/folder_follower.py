"""The folders of collections while they are followed: which collections an ingest has something to do for."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from ragops.adapters.folder_watch import Changes, FolderWatch
from ragops.errors import RagopsError
from ragops.ingest.watched_collection import WatchedCollection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from ragops.ingest.rows import Collection

_WATCH_SECONDS = 600.0  # between two attempts to have folders watched
_ROUNDS = 5  # in which folders that are made all the while are watched; the next look finds the rest


@dataclass
class FolderFollower:
    """Follows the directories of collections; relative ones are relative to `root`. A context manager.

    Its methods return the names of the collections that changed. `message` shows what cannot be watched.
    """

    root: Path
    message: Callable[[str], None]
    _folders: FolderWatch = field(default_factory=FolderWatch)
    _watched: dict[str, WatchedCollection] = field(default_factory=dict)
    _followed: dict[str, frozenset[str]] = field(default_factory=dict)
    _next_watch: float = 0.0
    _shown_limit: str = ""

    def __enter__(self) -> Self:
        self._folders.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._folders.__exit__(*error)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the collections."""
        return tuple(self._watched)

    def remove(self, name: str) -> None:
        """Follow a collection no longer."""
        del self._watched[name]

    def add(self, collections: Iterable[Collection]) -> set[str]:
        """Follow these collections too, or as they are now."""
        changed = set()
        for one in collections:
            if one.name not in self._watched or self._watched[one.name].collection != one:
                self._watched[one.name] = WatchedCollection(one, self.root)
                self._watched[one.name].look()
                changed.add(one.name)
        return changed

    def wait(self, seconds: float) -> set[str]:
        """Wait for changes, so many seconds at most."""
        return self._take(self._folders.wait(seconds))

    def look(self) -> set[str]:
        """Look at the directories whose changes nothing reports, and have the kernel watch all folders that are new."""
        changed = {one.collection.name for one in self._watched.values() if one.is_due() and one.look()}
        return changed | self.watch()

    def watch(self) -> set[str]:
        """Watch the folders that there are. Files may have come into a new one before: it is looked at once more."""
        found: set[str] = set()
        for _ in range(_ROUNDS):
            if time.monotonic() < self._next_watch:
                break
            wanted = {name: frozenset(one.folders) for name, one in self._watched.items()}
            try:
                found |= self._take(self._folders.watch(folder for folders in wanted.values() for folder in folders))
            except FileNotFoundError:  # a folder is gone: look again
                wanted = {}
            except RagopsError as error:
                self._look_often(error)
                break
            changed = [name for name in self._watched if wanted.get(name) != self._followed.get(name)]
            self._followed = wanted
            if not changed:
                break
            for name in changed:
                self._watched[name].can_watch = True
                if self._watched[name].look():
                    found.add(name)
        return found

    def _take(self, changes: Changes) -> set[str]:
        if changes.lost:  # all are looked at when their folders are watched again
            self._followed = {}
        found = set()
        for name, one in self._watched.items():
            paths = [path for path in changes.paths if one.concerns(path)]
            if paths and one.look(paths):
                found.add(name)
        return found

    def _look_often(self, error: RagopsError) -> None:
        """Do without the kernel for a while: each attempt takes watches that other programs may need."""
        self._followed, self._next_watch = {}, time.monotonic() + _WATCH_SECONDS
        for one in self._watched.values():
            one.look_often()
        if self._shown_limit != error.message:
            self._shown_limit = error.message
            hint = f"\n  → {error.hint}" if error.hint else ""
            self.message(f"{error.message}; files are looked at every 10 s instead{hint}")
