"""Which process holds a lock, so that others can tell whether it still runs."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from socket import gethostname


@dataclass(frozen=True)
class Identity:
    """A process: `machine` is a hash of the machine's id, `boot` of this start of it, `space` numbers its pids,
    `started` tells it from another one that has its pid later. What cannot be found out is empty."""

    host: str
    machine: str
    boot: str
    space: str
    pid: int
    started: str

    def is_here(self) -> bool:
        """Whether its pid means something in this very process."""
        here = myself()
        same = (self.host, self.machine, self.boot, self.space) == (here.host, here.machine, here.boot, here.space)
        return same and isinstance(self.pid, int)

    def is_gone(self) -> bool:
        """Whether it is known to run no more; of another machine nothing is known."""
        if self.is_here():
            now = _started(self.pid)
            return now != self.started if now else not _is_hidden(self.pid)
        here = myself()
        rebooted = self.host == here.host and bool(self.machine) and self.machine == here.machine
        return rebooted and bool(self.boot and here.boot) and self.boot != here.boot


def myself() -> Identity:
    """This process."""
    pid = os.getpid()
    machine = _hash(_text("/etc/machine-id"))  # which its owner may want to keep private
    return Identity(
        gethostname(), machine, _hash(_text("/proc/sys/kernel/random/boot_id")), _space(), pid, _started(pid)
    )


def _started(pid: int) -> str:
    """When a process was started, in a form that setting the clock does not change; empty when there is none."""
    if Path("/proc/self/stat").exists():
        fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
        return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else ""
    import psutil

    with contextlib.suppress(psutil.Error):
        return str(psutil.Process(pid).create_time())
    return ""


def _is_hidden(pid: int) -> bool:
    """Whether there is such a process of another user, which /proc may be told not to show (hidepid)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        pass
    return False


def _space() -> str:
    """Containers number their processes each on their own, under one host's name when they share its network."""
    with contextlib.suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""


def _text(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    return ""


def _hash(text: str) -> str:
    return sha256(f"ragops {text}".encode()).hexdigest()[:16] if text else ""
