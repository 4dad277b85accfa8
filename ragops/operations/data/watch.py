"""Collections kept up to date: `ragops ingest --watch`. No lock is held between two batches of changes."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ragops.errors import ExitCode, InterruptedRunError, LockedError, RagopsError
from ragops.operations.data import ingest
from ragops.operations.data.folder_follower import FolderFollower

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
_GIVEN_UP = 600.0  # seconds until a retry without a change
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
class _Retries:
    """The attempts at a batch that failed, and when the next one is due."""

    attempts: int = 0
    due: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the last attempt has failed: a change is waited for, or a long time."""
        return self.attempts > len(_DELAYS)

    def plan(self) -> float | None:
        """Plan the next attempt; return the seconds until then, None after the last one."""
        delay = _vary(_DELAYS[self.attempts]) if self.attempts < len(_DELAYS) else None
        self.attempts += 1
        self.due = time.monotonic() + (_GIVEN_UP if delay is None else delay)
        return delay


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
    _pending: set[str] = field(default_factory=set)  # collections that an ingest has something to do for
    _retries: _Retries = field(default_factory=_Retries)
    _next_read: float = 0.0
    _is_lost: bool = False
    _shown_lock: str = ""

    def run(self) -> None:
        """Work until an interrupt. `is_working` is true while documents are ingested.

        Raises as `ingest.ingest_under_lock` if the first ingest cannot begin; locks are waited for.
        """
        session = self.open_session()
        with FolderFollower(session.project.paths.root, self.views.message) as folders:
            self._set(folders, ingest.choose(ingest.read_collections(session), self.names))
            folders.watch()
            self._pending.clear()  # the first ingest has them all
            while not self._begin():
                time.sleep(_vary(_LOCK_DELAY))
            names = ", ".join(folders.names) or "the database, for collections"
            self.views.message(f"watching {names}; Ctrl-C ends it")
            while True:
                self._round(folders)

    def _begin(self) -> bool:
        try:
            self._ingest(self.names)
        except LockedError as error:
            self._show_lock(error, self.names)
            return False
        return True

    def _round(self, folders: FolderFollower) -> None:
        self._add(folders.wait(self._pause()))
        if time.monotonic() >= self._next_read:
            self._read(folders)
        self._add(folders.look())
        if self._pending and time.monotonic() >= self._retries.due:
            self._bring_up_to_date()

    def _pause(self) -> float:
        """Seconds until something is due."""
        ends = [self._next_read, *([self._retries.due] if self._pending else [])]
        return max(0.05, min(ends) - time.monotonic())

    # --- which collections ----------------------------------------------------------------------------------------

    def _read(self, folders: FolderFollower) -> None:
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
            self._is_lost, self._retries.due = False, 0.0
            self.views.message("the collections can be read again")
        self._set(folders, [one for one in found if not self.names or one.name in self.names])

    def _set(self, folders: FolderFollower, found: Iterable[Collection]) -> None:
        wanted = {one.name: one._replace(built=None) for one in found if one.enabled}
        for name in set(folders.names) - wanted.keys():
            folders.remove(name)
            self._pending.discard(name)
            self.views.message(f"{name}: not watched any more, it was removed or disabled")
        self._add(folders.add(wanted.values()))

    # --- ingest ---------------------------------------------------------------------------------------------------

    def _add(self, names: set[str]) -> None:
        if names and (not self._pending or self._retries.is_over):  # a change ends the wait after the last retry
            self._retries, self._shown_lock = _Retries(), ""
        self._pending |= names

    def _bring_up_to_date(self) -> None:
        names = sorted(self._pending)
        try:
            self._ingest(names)
        except LockedError as error:
            self._retries.due = time.monotonic() + _vary(_LOCK_DELAY)
            self._show_lock(error, names)
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
        self.is_working, self._shown_lock = False, ""
        self._pending -= {one.name for one in report.collections}
        self.views.done(report, refreshed)
        passing = {one.name: one.refused for one in report.collections if one.refused}
        again = {name: fault for name, fault in passing.items() if fault.exit_code in _PASSING}
        if not again:
            self._retries.attempts = 0
            return
        self._pending |= again.keys()
        first = next(iter(again.values()))
        self._retry(RagopsError(first.code, first.message, first.hint, exit_code=first.exit_code), sorted(again))

    def _retry(self, error: RagopsError, names: Sequence[str]) -> None:
        """Plan the next attempt; after the last one, wait for a change."""
        self._next_read = 0.0  # a collection may be gone
        self.views.failed(error, names, self._retries.plan())

    def _show_lock(self, error: RagopsError, names: Sequence[str]) -> None:
        """Show who holds a lock, once."""
        if self._shown_lock != error.message:
            self._shown_lock = error.message
            self.views.failed(error, names, _LOCK_DELAY)


def _vary(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.5)  # noqa: S311  spreads retries, no secret
