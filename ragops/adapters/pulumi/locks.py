"""The lock of a Pulumi state: who holds it, and whether that process is known to run no more."""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import psutil

from ragops.adapters.process_identity import is_pid_gone

if TYPE_CHECKING:
    from collections.abc import Iterable

_HELD = re.compile(
    r"created by (?P<user>\S+)@(?P<host>\S+) \(pid (?P<pid>\d+)\)"
    r"(?: at (?P<since>\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-][0-9:]+)))?"
)
_ENGINE = "pulumi"


@dataclass(frozen=True)
class StateLockHolder:
    """The recorded holder of the lock; `since` is ISO 8601, empty if it is unknown."""

    user: str
    host: str
    pid: int
    since: str = ""

    def __str__(self) -> str:
        return f"pid {self.pid} of {self.user} on {self.host}{f', since {self.since}' if self.since else ''}"

    @property
    def is_here(self) -> bool:
        """Return whether it is a process of this machine."""
        return self.host == socket.gethostname()

    def is_gone(self) -> bool:
        """Return whether it runs no more: no such pid, or the pid of a process that began later or is no engine."""
        if not self.is_here:
            return False
        return is_pid_gone(self.pid, self._since()) or not _is_engine(self.pid)

    def _since(self) -> float | None:
        with contextlib.suppress(ValueError):
            return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", self.since)).timestamp()
        return None


def parse_holders(text: str) -> tuple[StateLockHolder, ...]:
    """Return the holders in the engine's message about a locked state."""
    return tuple(
        StateLockHolder(found["user"], found["host"], int(found["pid"]), found["since"] or "")
        for found in _HELD.finditer(text)
    )


def are_all_gone(found: Iterable[StateLockHolder]) -> bool:
    """Return whether there are some, and none of them runs."""
    known = list(found)
    return bool(known) and all(holder.is_gone() for holder in known)


def _is_engine(pid: int) -> bool:
    """Return whether the process is a Pulumi engine; one that cannot be inspected counts as one."""
    try:
        process = psutil.Process(pid)
        return _ENGINE in process.name().lower() or any(_ENGINE in word for word in process.cmdline()[:1])
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
