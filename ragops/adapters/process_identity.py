"""The identity of a process, by which others can see whether it still runs.

A pid alone does not prove it: after a reboot, or some days of a busy machine, another process has it.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from socket import gethostname


@dataclass(frozen=True)
class ProcessIdentity:
    """A process: `machine` is a hash of the machine's id, `boot` of this start of it, `space` numbers its pids,
    `started` distinguishes it from a later one with the same pid. What cannot be read is empty."""

    host: str
    machine: str
    boot: str
    space: str
    pid: int
    started: str

    def is_here(self) -> bool:
        """Return whether its pid means something in this very process."""
        here = current_process()
        same = (self.host, self.machine, self.boot, self.space) == (here.host, here.machine, here.boot, here.space)
        return same and isinstance(self.pid, int)

    def is_gone(self) -> bool:
        """Return whether it is known to run no more; of another machine nothing is known."""
        if self.is_here():
            now = _started(self.pid)
            return now != self.started if now else not _is_hidden(self.pid)
        here = current_process()
        rebooted = self.host == here.host and bool(self.machine) and self.machine == here.machine
        return rebooted and bool(self.boot and here.boot) and self.boot != here.boot


def current_process() -> ProcessIdentity:
    """Return the identity of this process."""
    pid = os.getpid()
    machine = _hash(_text("/etc/machine-id"))  # which its owner may want to keep private
    return ProcessIdentity(
        gethostname(), machine, _hash(_text("/proc/sys/kernel/random/boot_id")), _pid_namespace(), pid, _started(pid)
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
    """Return whether it is a process of another user, which /proc may be mounted to hide (hidepid)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        pass
    return False


def _pid_namespace() -> str:
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


# --- marks: an identity in a name ------------------------------------------------------------------------------------

# PID, then where that pid means something (host and machine, boot, pid namespace), then when the process was started.
MARK = re.compile(
    r"(?P<pid>\d+)-(?P<place>[0-9a-f]{8})(?P<boot>[0-9a-f]{4})(?P<space>[0-9a-f]{4})-(?P<started>[0-9.]+)"
)
_SLACK = 5.0  # seconds between two clocks: that of a file system and that of the processes


def format_mark() -> str:
    """Return this process as part of a file's name, some 30 characters of digits, letters and hyphens."""
    me = current_process()
    return f"{me.pid}-{_place(me)}-{me.started or 0}"


def is_mark_gone(text: str, written: float | None = None) -> bool:
    """Return whether the process whose mark `text` begins with is known to run no more.

    A text with a pid alone, as older versions of ragops left it, is judged by the pid, and by when it was `written`
    (seconds since the epoch): a process that was started later did not write it.
    """
    found = MARK.match(text)
    if found is None:
        pid = text.partition("-")[0]
        return pid.isdecimal() and is_pid_gone(int(pid), written)
    here = _place(current_process())
    theirs = found["place"] + found["boot"] + found["space"]
    if theirs == here:
        now = _started(int(found["pid"]))
        return now != found["started"] if now else not _is_hidden(int(found["pid"]))
    return theirs[:8] == here[:8] and theirs[8:12] != here[8:12] and "0000" not in (theirs[8:12], here[8:12])


def is_pid_gone(pid: int, written: float | None = None) -> bool:
    """Return whether no process of this machine has the pid, or only one that started after `written` (epoch)."""
    import psutil

    try:
        started = psutil.Process(pid).create_time()
    except psutil.AccessDenied:
        return False
    except (psutil.Error, OverflowError, ValueError):
        return not _is_hidden(pid)
    return written is not None and written > 0 and started > written + _SLACK and started <= time.time() + _SLACK


def _place(identity: ProcessIdentity) -> str:
    boot = sha256(identity.boot.encode()).hexdigest()[:4] if identity.boot else "0000"
    space = sha256(identity.space.encode()).hexdigest()[:4] if identity.space else "0000"
    return sha256(f"{identity.host} {identity.machine}".encode()).hexdigest()[:8] + boot + space
