"""The lock of a repository against runs of all machines, in a store that can only write, read, list and remove.

A run that requests the lock writes a file below `locks/` and then lists them. Of two runs at once, at least
the later one sees the other; no run continues that sees another living one, so there are never two holders. The one
whose name sorts first stays and looks again, the others step back, so that one of them gets it.

A holder rewrites its file every half minute, with a count. A lock is dead, and taken over with a notice,
- of this machine: when its process is gone (its pid may be another's by now), or when the machine was started since;
- of another one: when its last sign is ten minutes off the clock here, before or after, and its count then stands
  still for two and a half heartbeats. The clock only decides when to look: a holder that still counts is alive, however
  wrong its clock or ours, and a time in the future keeps no lock alive.

If a repository takes new files only (object lock, a key that may not delete), files are added instead: see
`lock_files`. A lock that was not released lapses there by the same times.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.adapters.process_identity import current_process
from ragops.adapters.wait import wait_until
from ragops.errors import LockedError, RagopsError
from ragops.recovery.lock_files import SLOWEST, Lock, LockFiles, LockRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ragops.adapters.storage import Store

_FOLDER = "locks"


@dataclass(frozen=True)
class Timing:
    """Seconds: between heartbeats, until a lock without them is suspicious, between polls, and for a tie to break."""

    heartbeat: float = 30.0
    stale: float = 600.0
    poll: float = 0.2
    tie_break: float = 10.0


class LockHandle:
    """A lock that this run holds."""

    def __init__(self, files: LockFiles, name: str, path: str, note: LockRecord, timing: Timing) -> None:
        self.path = path
        self._files, self._name, self._note, self._timing = files, name, note, timing
        self._seen, self._gone = _boottime(), ""
        self._stop, self._turn = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._heartbeat, name="repository-lock", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Check in the repository that the lock is still ours; call it before publishing anything.

        Raises RagopsError (repository_lock_lost), and failures of the repository.
        """
        if not self._gone and _boottime() - self._seen > self._timing.stale / 2:
            self._gone = "it could not be renewed for too long"
        if not self._gone:
            with self._turn:  # not every store replaces a file without a moment in which there is none
                self._poll()
        if self._gone:
            raise RagopsError(
                "repository_lock_lost", f"this run no longer holds the lock of {self._files.store.name}: {self._gone}",
                "nothing was put in place; run the command again",
            )  # fmt: skip

    def _poll(self) -> None:
        """Check the locks: after a long sleep of this machine another run may hold one."""
        locks = self._files.list_active()
        if self._name not in {lock.name for lock in locks}:
            self._gone = "it was taken over or removed"
        for lock in locks:
            if lock.name != self._name and lock.is_held and not lock.is_dead_here:
                self._gone = f"{lock} holds it too"

    def _heartbeat(self) -> None:
        while not self._stop.wait(self._files.heartbeat_interval(self._timing.heartbeat)) and not self._gone:
            with contextlib.suppress(RagopsError), self._turn:  # `check` sees how long that has been so
                self._renew()

    def _renew(self) -> None:
        asked = _boottime()
        if self._files.find(self._name) is None:
            self._gone = "it was taken over or removed"  # and must not come back: another may hold it by now
            return
        self._note = replace(self._note, count=self._note.count + 1, time=time.time())
        self.path = self._files.write(self._name, self._note)
        self._seen = asked
        if self._stop.is_set():  # released while we wrote
            self._files.release(self._name)

    def release(self, notice: Callable[[str], None]) -> None:
        """Release it. If the repository is gone, only a notice is given: the lock ends with this process."""
        self._stop.set()
        self._thread.join(timeout=self._timing.tie_break)
        try:
            self._files.release(self._name)
        except RagopsError as error:
            notice(f"cannot remove the lock of {self._files.store.name}: {error.message}")


@contextlib.contextmanager
def hold_lock(
    store: Store, prefix: str, command: str, wait: float, notice: Callable[[str], None], timing: Timing | None = None
) -> Iterator[LockHandle]:
    """Hold the lock of what lies below the folder `prefix` of `store`, waiting at most `wait` seconds for its holder.

    A lock of another machine that looks dead is watched first, which takes 75 s even if `wait` is none.
    `notice` receives a message about that, and about a lock that is taken over.
    Raises LockedError (repository_locked), which names the
    holder, and failures of the store.
    """
    folder = f"{prefix.strip('/')}/{_FOLDER}".lstrip("/")
    held = _Acquisition(store, folder, command, notice, timing or Timing()).acquire(wait)
    try:
        yield held
    finally:
        held.release(notice)


class _Acquisition:
    def __init__(self, store: Store, folder: str, command: str, notice: Callable[[str], None], timing: Timing) -> None:
        self._store, self._timing, self._notice = store, timing, notice
        self._files = LockFiles(store, folder)
        self._alive: dict[str, float] = {}  # its count grows, however wrong its clock
        since = datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._note = LockRecord(
            current_process(), command, since, held=False, count=0, time=time.time(), every=timing.heartbeat
        )

    def acquire(self, wait: float) -> LockHandle:
        deadline = time.monotonic() + wait
        pause = self._timing.poll
        while True:
            other = self._find_active(watch=True) or self._request()
            if isinstance(other, LockHandle):
                return other
            if time.monotonic() >= deadline:
                raise self._locked(other)
            pause = min(pause * 1.5, 5.0)
            time.sleep(min(random.uniform(0.5, 1.0) * pause, max(0.0, deadline - time.monotonic())))  # noqa: S311

    def _request(self) -> LockHandle | Lock:
        """Write a lock of our own; return its handle if there is no other, or the lock to step back for."""
        now = datetime.now(tz=UTC)
        name = f"{self._files.folder}/{now:%Y%m%dT%H%M%S}{now.microsecond:06d}Z-{secrets.token_hex(6)}"
        held: LockHandle | None = None
        try:
            self._files.write(name, self._note)
            if other := self._break_tie(name):
                return other
            note = replace(self._note, held=True, count=1, time=time.time())
            path = self._files.write(name, note)
            held = LockHandle(self._files, name, path, note, self._timing)
            self._files.remove_released()
            return held
        finally:
            if held is None:
                with contextlib.suppress(RagopsError):  # the first error is the one to report
                    self._files.release(name)

    def _break_tie(self, name: str) -> Lock | None:
        deadline = time.monotonic() + self._timing.tie_break
        needed = (
            1 if self._store.has_atomic_replace else 2
        )  # there may be a moment without a file that is being replaced
        quiet = 0
        while quiet < needed:
            other = self._find_active(besides=name)
            if other and (other.is_held or other.name < name or time.monotonic() > deadline):
                return other
            quiet = 0 if other else quiet + 1
            if quiet < needed:
                time.sleep(random.uniform(0.5, 1.0) * self._timing.poll)  # noqa: S311
        return None

    def _find_active(self, besides: str = "", *, watch: bool = False) -> Lock | None:
        """Return a lock of a living run, its holder's before all others; dead ones are removed."""
        living = [lock for lock in self._files.list_active() if lock.name != besides]
        for lock in [lock for lock in living if lock.is_dead_here or (watch and self._is_stale(lock))]:
            self._files.release(lock.name)
            self._notice(f"took over the lock of {lock} in {self._store.name}, which is gone")
            living.remove(lock)
        return min(living, key=lambda lock: (not lock.is_held, lock.name), default=None)

    def _is_stale(self, lock: Lock) -> bool:
        note = lock.record
        if note and (note.owner.is_here() or abs(time.time() - note.time) <= self._timing.stale):
            return False
        if _boottime() < self._alive.get(lock.name, 0.0):
            return False
        seconds = 2.5 * min(note.every if note else self._timing.heartbeat, SLOWEST)
        self._notice(f"the lock of {lock} in {self._store.name} seems stale: watching it for {seconds:.0f} s")
        silent = _stands_still(self._files, lock, seconds)
        if not silent:
            self._alive[lock.name] = _boottime() + self._timing.stale
        return silent

    def _locked(self, lock: Lock) -> LockedError:
        minutes = round(self._timing.stale / 60)
        return LockedError(
            "repository_locked", f"the repository {self._store.name} is in use by {lock}",
            f"wait for it with `--lock-wait SECONDS`; if its machine is gone for good, the lock ends by itself "
            f"after {minutes} minutes, or remove {lock.path} from the repository",
        )  # fmt: skip


def _stands_still(files: LockFiles, lock: Lock, seconds: float) -> bool:
    return not wait_until(lambda: files.find(lock.name) != lock, seconds, seconds / 10)


def _boottime() -> float:
    """Return a clock that continues while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
