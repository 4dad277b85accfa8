"""One run at a time in a repository, from whatever machine, in a store that can only write, read, list and remove.

Who wants the lock writes a file of its own below `locks/` and then lists them. Of two who do so at once, at least
the later one sees the other; nobody goes on who sees another living one, so there are never two holders. The one
whose name sorts first stays and looks again, the others step back, so that one goes on.

A holder writes its file anew every half minute, with a count. A lock is dead, and taken over with a word,
- of this machine: when its process is gone (its pid may be another's by now), or when the machine was started since;
- of another one: when its last sign is ten minutes off the clock here, before or after, and its count then stands
  still for two and a half of its beats. The clock only says when to look: whoever still counts is alive, however
  wrong its clock or ours, and a time that lies ahead keeps nobody alive.
"""

from __future__ import annotations

import contextlib
import json
import random
import secrets
import threading
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.adapters.locks import Holder
from ragops.errors import LockedError, RagopsError
from ragops.recovery.lock_owner import Identity, myself

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ragops.adapters.store import Store

_FOLDER = "locks"
_SLOWEST = 120.0  # seconds between beats that we believe a note


@dataclass(frozen=True)
class Timing:
    """Seconds: between two beats, until a lock without them is suspicious, between two looks, for a tie to break."""

    beat: float = 30.0
    stale: float = 600.0
    look: float = 0.2
    tie: float = 10.0


@dataclass(frozen=True)
class Note:
    """What a lock file says: who, since when, and how many times it was written at what time."""

    owner: Identity
    command: str
    since: str
    held: bool
    count: int
    time: float
    every: float

    def __str__(self) -> str:
        text = str(Holder(self.owner.host, self.owner.pid, self.command, self.since))
        return "".join(letter for letter in text if letter.isprintable())  # it comes from another machine


@dataclass(frozen=True)
class _Lock:
    path: str
    content: bytes
    note: Note | None

    def __str__(self) -> str:
        return str(self.note or "a run that did not say who it is")

    @property
    def held(self) -> bool:
        return self.note is None or self.note.held


class Held:
    """The lock while we hold it."""

    def __init__(self, store: Store, path: str, note: Note, timing: Timing) -> None:
        self.path = path
        self._store, self._note, self._timing = store, note, timing
        self._seen, self._gone = _boottime(), ""
        self._stop, self._turn = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._beat, name="repository-lock", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Ask the repository whether the lock is still ours: to be called before what others are to see.

        Raises RagopsError (repository_lock_lost), or what the repository fails with.
        """
        if not self._gone and _boottime() - self._seen > self._timing.stale / 2:
            self._gone = "it could not be renewed for too long"
        if not self._gone:
            with self._turn:  # not every store replaces a file without a moment in which there is none
                self._look()
        if self._gone:
            raise RagopsError(
                "repository_lock_lost", f"this run no longer holds the lock of {self._store.name}: {self._gone}",
                "nothing was put in place; run the command again",
            )  # fmt: skip

    def _look(self) -> None:
        """One that was gone for long, such as a machine that slept, may find another run at work."""
        locks = _locks(self._store, self.path.rpartition("/")[0])
        if self.path not in {lock.path for lock in locks}:
            self._gone = "it was taken over or removed"
        for lock in locks:
            if lock.path != self.path and lock.held and not _is_dead_here(lock):
                self._gone = f"{lock} holds it too"

    def _beat(self) -> None:
        while not self._stop.wait(self._timing.beat) and not self._gone:
            with contextlib.suppress(RagopsError), self._turn:  # `check` sees how long that has been so
                self._renew()

    def _renew(self) -> None:
        asked = _boottime()
        if not self._store.read_all([self.path]):
            self._gone = "it was taken over or removed"  # and must not come back: another may hold it by now
            return
        self._note = replace(self._note, count=self._note.count + 1, time=time.time())
        _write(self._store, self.path, self._note)
        self._seen = asked
        if self._stop.is_set():  # released while we wrote
            self._store.remove([self.path])

    def release(self, notice: Callable[[str], None]) -> None:
        """Give it back; a repository that is gone is a word, not a failure: the lock ends with this process."""
        self._stop.set()
        self._thread.join(timeout=self._timing.tie)
        try:
            self._store.remove([self.path])
        except RagopsError as error:
            notice(f"the lock of {self._store.name} could not be removed: {error.message}")


@contextlib.contextmanager
def hold(
    store: Store, prefix: str, command: str, wait: float, notice: Callable[[str], None], timing: Timing | None = None
) -> Iterator[Held]:
    """Hold the lock of what lies below the folder `prefix` of `store`, waiting at most `wait` seconds for its holder.

    A lock of another machine that looks dead is watched first, which takes 75 s even where `wait` is none.
    `notice` hears of that, and of a lock that is taken over. Raises LockedError (repository_locked), which names the
    holder, and what the store raises.
    """
    folder = f"{prefix.strip('/')}/{_FOLDER}".lstrip("/")
    held = _Attempt(store, folder, command, notice, timing or Timing()).acquire(wait)
    try:
        yield held
    finally:
        held.release(notice)


class _Attempt:
    def __init__(self, store: Store, folder: str, command: str, notice: Callable[[str], None], timing: Timing) -> None:
        self._store, self._folder, self._timing, self._notice = store, folder, timing, notice
        self._alive: dict[str, float] = {}  # seen counting, however wrong its clock
        since = datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._note = Note(myself(), command, since, held=False, count=0, time=time.time(), every=timing.beat)

    def acquire(self, wait: float) -> Held:
        deadline = time.monotonic() + wait
        pause = self._timing.look
        while True:
            other = self._living(watch=True) or self._ask()
            if isinstance(other, Held):
                return other
            if time.monotonic() >= deadline:
                raise self._locked(other)
            pause = min(pause * 1.5, 5.0)
            time.sleep(min(random.uniform(0.5, 1.0) * pause, max(0.0, deadline - time.monotonic())))  # noqa: S311

    def _ask(self) -> Held | _Lock:
        """Write a lock of our own; ours when nobody else shows up, or the one to step back for."""
        now = datetime.now(tz=UTC)
        path = f"{self._folder}/{now:%Y%m%dT%H%M%S}{now.microsecond:06d}Z-{secrets.token_hex(6)}.json"
        held: Held | None = None
        try:
            _write(self._store, path, self._note)
            if other := self._tie(path):
                return other
            note = replace(self._note, held=True, count=1, time=time.time())
            _write(self._store, path, note)
            held = Held(self._store, path, note, self._timing)
            return held
        finally:
            if held is None:
                with contextlib.suppress(RagopsError):  # the first error is the one to tell
                    self._store.remove([path])

    def _tie(self, path: str) -> _Lock | None:
        deadline = time.monotonic() + self._timing.tie
        needed = 1 if self._store.steady else 2  # there may be a moment without a file that is being replaced
        quiet = 0
        while quiet < needed:
            other = self._living(besides=path)
            if other and (other.held or other.path < path or time.monotonic() > deadline):
                return other
            quiet = 0 if other else quiet + 1
            if quiet < needed:
                time.sleep(random.uniform(0.5, 1.0) * self._timing.look)  # noqa: S311
        return None

    def _living(self, besides: str = "", *, watch: bool = False) -> _Lock | None:
        """A lock of a living run, its holder's before all others; dead ones are removed."""
        living = [lock for lock in _locks(self._store, self._folder) if lock.path != besides]
        for lock in [lock for lock in living if _is_dead_here(lock) or (watch and self._is_silent(lock))]:
            self._store.remove([lock.path])
            self._notice(f"took over the lock of {lock} in {self._store.name}, which is gone")
            living.remove(lock)
        return min(living, key=lambda lock: (not lock.held, lock.path), default=None)

    def _is_silent(self, lock: _Lock) -> bool:
        note = lock.note
        if note and (note.owner.is_here() or abs(time.time() - note.time) <= self._timing.stale):
            return False
        if _boottime() < self._alive.get(lock.path, 0.0):
            return False
        seconds = 2.5 * min(note.every if note else self._timing.beat, _SLOWEST)
        self._notice(f"the lock of {lock} in {self._store.name} looks left behind: watching it for {seconds:.0f} s")
        silent = _stands_still(self._store, lock, seconds)
        if not silent:
            self._alive[lock.path] = _boottime() + self._timing.stale
        return silent

    def _locked(self, lock: _Lock) -> LockedError:
        minutes = round(self._timing.stale / 60)
        return LockedError(
            "repository_locked", f"the repository {self._store.name} is in use by {lock}",
            f"wait for it with `--lock-wait SECONDS`; where its machine is gone for good, the lock ends by itself "
            f"after {minutes} minutes, or remove {lock.path} from the repository",
        )  # fmt: skip


def _stands_still(store: Store, lock: _Lock, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(min(seconds / 10, max(0.0, deadline - time.monotonic())))
        if store.read_all([lock.path]).get(lock.path) != lock.content:
            return False
    return True


def _locks(store: Store, folder: str) -> list[_Lock]:
    contents = store.read_all(entry.path for entry in store.entries(folder))
    return [_Lock(path, contents[path], _parse(contents[path])) for path in sorted(contents)]


def _parse(content: bytes) -> Note | None:
    try:
        values = json.loads(content)
        note = Note(**{**values, "owner": Identity(**values["owner"])})
        return note if float(note.time) >= 0 and float(note.every) > 0 else None
    except (ValueError, TypeError, KeyError):
        return None


def _write(store: Store, path: str, note: Note) -> None:
    with store.writing(path) as stream:
        stream.write(json.dumps(asdict(note)).encode())


def _is_dead_here(lock: _Lock) -> bool:
    return lock.note is not None and lock.note.owner.is_gone()


def _boottime() -> float:
    """A clock that goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
