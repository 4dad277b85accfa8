"""Named locks of an environment. The kernel frees them when their holder dies, however it dies."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from ragops.adapters.files import explain_os_error, make_dir, write_atomic
from ragops.errors import LockedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

# An exclusive command takes every kind; a shared one its own, so that two of a kind exclude one another.
KINDS = ("backup", "ingest")


@dataclass(frozen=True)
class Holder:
    """Who holds a lock."""

    host: str
    pid: int
    command: str
    since: str

    def __str__(self) -> str:
        return f"`{self.command}` (pid {self.pid} on {self.host}, since {self.since})"


@contextlib.contextmanager
def hold(
    folder: Path, kinds: Sequence[str], command: str, wait: float, notice: Callable[[str], None]
) -> Iterator[None]:
    """Hold the locks of `kinds` in `folder`, waiting at most `wait` seconds for all of them together.

    `notice` hears of a lock that is taken over from a run that died. Raises LockedError, which names the holder.
    """
    deadline = time.monotonic() + wait
    make_dir(folder)
    with contextlib.ExitStack() as stack:
        try:
            for kind in kinds:
                stack.enter_context(_one(folder, kind, command, deadline, notice))
        except OSError as error:
            raise explain_os_error(error, f"lock {folder}") from error
        yield  # outside: what the command itself fails with is not about locks


@contextlib.contextmanager
def _one(folder: Path, kind: str, command: str, deadline: float, notice: Callable[[str], None]) -> Iterator[None]:
    lock, note = FileLock(folder / f"{kind}.lock"), folder / f"{kind}.holder.json"
    try:
        lock.acquire(timeout=max(0.0, deadline - time.monotonic()), poll_interval=0.1)
    except Timeout as error:
        raise LockedError("locked", f"the environment is in use by {_read(note) or 'another run'}", _HINT) from error
    try:
        if previous := _read(note):
            notice(f"took over the lock of {previous}, which is gone")
        since = datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        write_atomic(note, json.dumps(asdict(Holder(socket.gethostname(), os.getpid(), command, since))))
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


_HINT = "wait for it, or run again with `--lock-wait SECONDS`"


def _read(note: Path) -> Holder | None:
    try:
        return Holder(**json.loads(note.read_text()))
    except (OSError, ValueError, TypeError):
        return None
