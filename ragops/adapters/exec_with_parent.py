"""Execute a program that the kernel ends when its starter dies: `exec_with_parent.py STARTER PROGRAM ARG…` (Linux).

Run as a script with the standard library alone. The death signal is set by the very process that becomes the program;
a callback between fork and exec (`preexec_fn`) may deadlock in a process with threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # prctl(2)
NOT_STARTED = 127


def _environment() -> dict[bytes, bytes]:
    """Return the variables as they were given: Python may have added LC_CTYPE to its own."""
    entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    return dict(entry.split(b"=", 1) for entry in entries if b"=" in entry)


def main(arguments: list[str]) -> None:
    """Execute `PROGRAM ARG…`, or exit if the process `STARTER` has ended already."""
    starter, *command = arguments
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(starter):  # it died before the signal was set
        sys.exit(f"pid {starter}, which started {command[0]}, has ended")
    try:
        os.execve(command[0], command, _environment())  # noqa: S606  the program replaces this process
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
        sys.exit(NOT_STARTED)


if __name__ == "__main__":
    main(sys.argv[1:])
