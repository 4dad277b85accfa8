"""Become a service's program: record its identity, give up root if that is asked for, and execute.

Run as a script with the standard library alone, `launch.py STARTER RECORD DIGEST USER PROGRAM ARG…`. The record is
written by the very process that becomes the service, so that no instant exists at which the service runs without a
knows its pid.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def identity(pid: int) -> str:
    """Return what distinguishes a process from a later one with its pid: boot and start time in clock ticks (proc(5)).

    Empty if there is no such process, or only its zombie. Start times in seconds would move with the wall clock.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    state, start_ticks = fields[0], fields[19]
    return "" if state in "ZX" else f"{boot}:{start_ticks}"


def _record(path: Path, digest: str) -> None:
    pid = os.getpid()
    record = {"pid": pid, "identity": identity(pid), "digest": digest, "started": time.time()}
    temporary = path.with_suffix(".new")
    with temporary.open("w") as stream:
        json.dump(record, stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def _become(user: str) -> None:
    import pwd

    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ["HOME"] = entry.pw_dir


def main(arguments: list[str]) -> None:
    """Record if `RECORD` is not empty, become `USER` if it is not empty, execute `PROGRAM ARG…`.

    Ends if the process `STARTER` is gone: a repetition of its work must not find two of us.
    """
    starter, record, digest, user, *command = arguments
    if os.getppid() != int(starter):
        sys.exit(f"pid {starter}, which was to start {command[0]}, is gone")
    os.umask(0o077)
    if record:
        _record(Path(record), digest)
    if user:
        _become(user)
    os.execv(command[0], command)  # noqa: S606  the service takes the place of this very process


if __name__ == "__main__":
    main(sys.argv[1:])
