"""Collections kept up to date: `ragops ingest --watch`. No lock is held between two batches of changes."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters.folder_watch import Changes, FolderWatch
from ragops.errors import ExitCode, InterruptedRunError, LockedError, RagopsError
from ragops.ingest.watched_collection import WatchedCollection
from ragops.operations.data import ingest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from ragops.ingest.progress import Progress
    from ragops.ingest.report import IngestReport
    from ragops.ingest.rows import Collection
    from ragops.operations.session import Session

_READ_SECONDS = 5.0  # between two looks at what collections there are
_DELAYS = (2.0, 4.0, 8.0, 16.0, 30.0)  # seconds before each retry; they vary by half
_LOCK_DELAY = 3.0
_WATCH_SECONDS = 600.0  # between two attempts to have folders watched
_GIVEN_UP = 600.0  # seconds until a retry without a change
_ROUNDS = 5  # in which folders that are made all the while are watched; the next look finds the rest
_PASSING = (ExitCode.UNHEALTHY, ExitCode.LOCKED)


@dataclass(frozen=True)
class WatchViews:
    """How a caller shows what a watcher does.

    `done` has the report and whether the API's cache was cleared; `failed` the error, the collections, and the seconds
    until the retry, None if the next change is waited for.
    """

    progress: Callable[[], AbstractContextManager[Callable[[Progress], None]]]
    done: Callable[[IngestReport, bool], None]
    failed: Callable[[RagopsError, Sequence[str], float | None], None]
    message: Callable[[str], None]


@dataclass
class Watcher:
    """Ingests the named collections, all that are enabled if none is named, then what changes in them.

    `open_session` opens the environment for each batch: its endpoints and settings may have become others.
    """

    open_session: Callable[[], Session]
    names: Sequence[str]
    views: WatchViews
    allow_empty: bool = False
    is_working: bool = False
    _root: Path = Path()
    _folders: FolderWatch = field(default_factory=FolderWatch)
    _watched: dict[str, WatchedCollection] = field(default_factory=dict)
    _followed: dict[str, frozenset[str]] = field(default_factory=dict)
    _waiting: set[str] = field(default_factory=set)  # collections that an ingest has something to do for
    _attempts: int = 0
    _next_try: float = 0.0
    _next_read: float = 0.0
    _next_watch: float = 0.0
    _is_lost: bool = False
    _told: str = ""
    _told_limit: str = ""

    def run(self) -> None:
        """Work until an interrupt. `is_working` is true while documents are ingested.

        Raises as `ingest.ingest_under_lock` if the first ingest cannot begin; locks are waited for.
        """
        with self._folders:
            session = self.open_session()
            self._root = session.project.paths.root
            self._set(ingest.choose(ingest.read_collections(session), self.names))
            self._follow()
            self._waiting.clear()  # the first ingest has them all
            while not self._begin():
                time.sleep(_vary(_LOCK_DELAY))
            self._say_what_is_watched()
            while True:
                self._round()

    def _begin(self) -> bool:
        try:
            self._ingest(self.names)
        except LockedError as error:
            self._tell(error, self.names, _LOCK_DELAY)
            return False
        return True

    def _round(self) -> None:
        self._take(self._folders.wait(self._pause()))
        if time.monotonic() >= self._next_read:
            self._read()
        for one in self._watched.values():
            if one.is_due() and one.look():
                self._add(one.collection.name)
        self._follow()
        if self._waiting and time.monotonic() >= self._next_try:
            self._bring_up_to_date()

    def _pause(self) -> float:
        """Seconds until something is due."""
        ends = [self._next_read, *([self._next_try] if self._waiting else [])]
        return max(0.05, min(ends) - time.monotonic())

    # --- which collections ----------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Follow the collections of the database: changed, added, removed, enabled, disabled ones."""
        self._next_read = time.monotonic() + _READ_SECONDS
        try:
            found = ingest.read_collections(self.open_session())
        except RagopsError as error:
            if not self._is_lost:
                self._is_lost = True
                self.views.failed(error, (), _READ_SECONDS)
            return
        if self._is_lost:
            self._is_lost, self._next_try = False, 0.0
            self.views.message("the collections can be read again")
        self._set([one for one in found if not self.names or one.name in self.names])

    def _set(self, found: Iterable[Collection]) -> None:
        wanted = {one.name: one._replace(built=None) for one in found if one.enabled}
        for name in self._watched.keys() - wanted.keys():
            del self._watched[name]
            self._waiting.discard(name)
            self.views.message(f"{name}: not watched any more, it was removed or disabled")
        for name, one in wanted.items():
            if name not in self._watched or self._watched[name].collection != one:
                self._watched[name] = WatchedCollection(one, self._root)
                self._watched[name].look()
                self._add(name)

    # --- which folders --------------------------------------------------------------------------------------------

    def _take(self, changes: Changes) -> None:
        if changes.lost:  # all are looked at when their folders are watched again
            self._followed = {}
        for one in self._watched.values():
            paths = [path for path in changes.paths if one.concerns(path)]
            if paths and one.look(paths):
                self._add(one.collection.name)

    def _follow(self) -> None:
        """Watch the folders that there are. Files may have come into a new one before: it is looked at once more."""
        for _ in range(_ROUNDS):
            if time.monotonic() < self._next_watch:
                return
            wanted = {name: frozenset(one.folders) for name, one in self._watched.items()}
            try:
                self._take(self._folders.watch(folder for found in wanted.values() for folder in found))
            except FileNotFoundError:  # a folder is gone: look again
                wanted = {}
            except RagopsError as error:
                self._look_often(error)
                return
            changed = [name for name in self._watched if wanted.get(name) != self._followed.get(name)]
            self._followed = wanted
            if not changed:
                return
            for name in changed:
                self._watched[name].can_watch = True
                if self._watched[name].look():
                    self._add(name)

    def _look_often(self, error: RagopsError) -> None:
        """Do without the kernel for a while: each attempt takes watches that other programs may need."""
        self._followed, self._next_watch = {}, time.monotonic() + _WATCH_SECONDS
        for one in self._watched.values():
            one.look_often()
        if self._told_limit != error.message:
            self._told_limit = error.message
            hint = f"\n  → {error.hint}" if error.hint else ""
            self.views.message(f"{error.message}; files are looked at every 10 s instead{hint}")

    def _say_what_is_watched(self) -> None:
        names = ", ".join(self._watched) or "the database, for collections"
        self.views.message(f"watching {names}; Ctrl-C ends it")

    # --- ingest ---------------------------------------------------------------------------------------------------

    def _add(self, name: str) -> None:
        if not self._waiting or self._attempts > len(_DELAYS):  # a change ends the wait after the last retry
            self._attempts, self._next_try, self._told = 0, 0.0, ""
        self._waiting.add(name)

    def _bring_up_to_date(self) -> None:
        names = sorted(self._waiting)
        try:
            self._ingest(names)
        except LockedError as error:
            self._next_try = time.monotonic() + _vary(_LOCK_DELAY)
            self._tell(error, names, _LOCK_DELAY)
        except InterruptedRunError:
            raise
        except RagopsError as error:
            self._retry(error, names)

    def _ingest(self, names: Sequence[str]) -> None:
        self.is_working = True  # it stays so if an interrupt comes
        try:
            with self.views.progress() as on_progress:
                report, refreshed = ingest.ingest_under_lock(
                    self.open_session(), names, on_progress, allow_empty=self.allow_empty
                )
        except RagopsError:
            self.is_working = False
            raise
        self.is_working, self._told = False, ""
        self._waiting -= {one.name for one in report.collections}
        self.views.done(report, refreshed)
        passing = {one.name: one.refused for one in report.collections if one.refused}
        again = {name: fault for name, fault in passing.items() if fault.exit_code in _PASSING}
        if not again:
            self._attempts = 0
            return
        self._waiting |= again.keys()
        first = next(iter(again.values()))
        self._retry(RagopsError(first.code, first.message, first.hint, exit_code=first.exit_code), sorted(again))

    def _retry(self, error: RagopsError, names: Sequence[str]) -> None:
        """Plan the next attempt; after the last one, wait for a change."""
        is_last = self._attempts >= len(_DELAYS)
        delay = _GIVEN_UP if is_last else _vary(_DELAYS[self._attempts])
        self._attempts += 1
        self._next_read = 0.0  # a collection may be gone
        self._next_try = time.monotonic() + delay
        self.views.failed(error, names, None if is_last else delay)

    def _tell(self, error: RagopsError, names: Sequence[str], delay: float) -> None:
        """Show who holds a lock, once."""
        if self._told != error.message:
            self._told = error.message
            self.views.failed(error, names, delay)


def _vary(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.5)  # noqa: S311  spreads retries, no secret
