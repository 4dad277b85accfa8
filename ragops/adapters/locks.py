"""Named locks of an environment. The kernel frees them when their holder dies, however it dies."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from ragops.adapters.files import PUBLIC_MODE, explain_os_error, make_dir
from ragops.adapters.process_identity import format_mark, is_mark_gone
from ragops.adapters.state_file import StateFile
from ragops.errors import LockedError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

# An exclusive command takes every kind; a shared one its own, so that two of a kind exclude one another.
KINDS = ("backup", "ingest")


@dataclass(frozen=True)
class LockHolder:
    """The process that holds a lock; `process` distinguishes it from a later one with the same pid."""

    host: str
    pid: int
    command: str
    since: str
    process: str = ""

    def is_gone(self) -> bool:
        """Return whether it is known to run no more; of another machine nothing is known."""
        if self.host != socket.gethostname():
            return False
        try:
            since = datetime.fromisoformat(self.since).timestamp()
        except (TypeError, ValueError):
            return False
        return is_mark_gone(self.process or str(self.pid), since)

    def __str__(self) -> str:
        return f"`{self.command}` (pid {self.pid} on {self.host}, since {self.since})"


@contextlib.contextmanager
def hold_locks(
    folder: Path, kinds: Sequence[str], command: str, wait: float, notice: Callable[[str], None]
) -> Iterator[None]:
    """Hold the locks of `kinds` in `folder`, waiting at most `wait` seconds for all of them together.

    `notice` hears of a lock that is taken over from a run that died. Raises LockedError, which names the holder.
    """
    deadline = time.monotonic() + wait
    heard: set[str] = set()

    def note(text: str) -> None:
        if text not in heard:  # a run that died left a note for every kind it held
            heard.add(text)
            notice(text)

    make_dir(folder)
    with contextlib.ExitStack() as stack:
        try:
            for kind in kinds:
                stack.enter_context(_one(folder, kind, command, deadline, note))
        except OSError as error:
            raise explain_os_error(error, f"lock {folder}") from error
        yield  # outside: what the command itself fails with is not about locks


def find_holder(folder: Path, kind: str) -> LockHolder | None:
    """Return the holder of the lock by its note; None if there is none, or if its run on this machine has ended."""
    found = _file(folder / f"{kind}.holder.json").read()
    return None if found is not None and found.is_gone() else found


@contextlib.contextmanager
def _one(folder: Path, kind: str, command: str, deadline: float, notice: Callable[[str], None]) -> Iterator[None]:
    lock, note = FileLock(folder / f"{kind}.lock"), folder / f"{kind}.holder.json"
    try:
        lock.acquire(timeout=max(0.0, deadline - time.monotonic()), poll_interval=0.1)
    except Timeout as error:
        raise LockedError(
            "locked", f"cannot lock the environment: it is in use by {_file(note).read() or 'another run'}", _HINT
        ) from error
    try:
        if previous := _file(note).read():
            notice(f"took over the lock of {previous}, which is gone")
        _leave(note, command)
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _leave(note: Path, command: str) -> None:
    """Record who holds the lock. A full disk is no obstacle: the lock holds without, and may be what frees the disk."""
    since = datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        _file(note).write(LockHolder(socket.gethostname(), os.getpid(), command, since, format_mark()))
    except RagopsError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in _NO_ROOM:
            raise
        note.unlink(missing_ok=True)  # or it would name the one before


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_HINT = "wait for it, or run again with `--lock-wait SECONDS`"


def _file(note: Path) -> StateFile[LockHolder]:
    return StateFile(note, LockHolder, PUBLIC_MODE)
