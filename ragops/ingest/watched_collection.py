"""A collection between two ingests: the folders to watch, and whether an ingest would find a change."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ragops.adapters.storage.mounts import is_local
from ragops.errors import RagopsError
from ragops.ingest.ignore import GIT, OWN
from ragops.ingest.walk import Walk, endings, walk_collection

if TYPE_CHECKING:
    from collections.abc import Collection as Some
    from collections.abc import Mapping
    from pathlib import Path

    from ragops.ingest.ignore import Rules
    from ragops.ingest.rows import Collection

# Seconds between two looks: at a directory whose changes the kernel reports, and at any other one (a share, one that
# is gone, too many folders). Looks take at most a twentieth of the time.
_SURE, _UNSURE = 600.0, 10.0
_SHARE = 20


@dataclass
class WatchedCollection:
    """What the last look at the directory of `collection` found; a relative one is relative to `root`.

    `can_watch`: the kernel reports changes in its folders, as far as it does for that file system.
    """

    collection: Collection
    root: Path
    folders: Mapping[str, tuple[str, Rules]] = field(default_factory=dict)
    can_watch: bool = True
    _signature: int | None = None
    _place: tuple[int, int] | None = None
    _next_look: float = 0.0

    @property
    def directory(self) -> Path:
        """The directory of its files."""
        return self.root / self.collection.directory

    def look(self, changed: Some[str] = ()) -> bool:
        """Look at the directory; return whether an ingest has something to do. `changed` are paths of events.

        A file that was written twice within a tick of its clock looks the same: an event for it counts all the same.
        """
        began = time.monotonic()
        try:
            found = walk_collection(self.collection, self.directory)
            signature = hash((found.files, found.closed, found.unusable))
        except RagopsError as error:  # the ingest has it in its report
            found, signature = Walk(()), hash(error.code)
        before = self._signature
        self.folders, self._signature, self._place = found.folders, signature, _place_of(self.directory)
        is_sure = bool(found.folders) and is_local(self.directory) and _have_names(found.folders)
        self._plan_look(began, _SURE if is_sure and self.can_watch else _UNSURE)
        return signature != before or self._holds(found, changed)

    def is_due(self) -> bool:
        """Return whether it is time for a look without an event, or the directory has become another one."""
        return time.monotonic() >= self._next_look or _place_of(self.directory) != self._place

    def look_often(self) -> None:
        """Look at it often from now on: its folders cannot be watched."""
        if self.can_watch:
            self.can_watch = False
            self._next_look = min(self._next_look, time.monotonic() + _UNSURE)

    def concerns(self, path: str) -> bool:
        """Return whether a change of `path` may change what an ingest finds: nothing that is left out does."""
        place, _, name = path.rpartition("/")
        if path in self.folders:
            return True
        if place not in self.folders:
            return False
        prefix, rules = self.folders[place]
        if name in (OWN, GIT):
            return True
        is_folder = os.path.isdir(path)  # noqa: PTH112  any bytes
        if rules.reason(f"{prefix}{name}", name, is_folder=is_folder):
            return False
        wanted = endings(self.collection.file_types)
        return is_folder or not wanted or name.casefold().endswith(wanted)

    def _plan_look(self, began: float, pause: float) -> None:
        self._next_look = began + max(pause, _SHARE * (time.monotonic() - began))

    def _holds(self, found: Walk, changed: Some[str]) -> bool:
        if not changed:
            return False
        parts = [path.rpartition("/") for path in changed]
        paths = {f"{self.folders[place][0]}{name}" for place, _, name in parts if place in self.folders}
        return any(file.path in paths for file in found.files)


def _place_of(directory: Path) -> tuple[int, int] | None:
    try:
        status = directory.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _have_names(folders: Mapping[str, object]) -> bool:
    """Whether all are UTF-8: others cannot be watched."""
    try:
        "".join(folders).encode()
    except UnicodeEncodeError:
        return False
    return True
