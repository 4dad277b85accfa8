"""Processor time of the process that serves a connection, if that is one of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from database_fill import Connection


def server_process(connection: Connection) -> int:
    """Return the id of the server's process as this machine counts, in a container or not; 0 if it cannot be seen."""
    [pid] = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
    found = [number for number in psutil.pids() if _inner_id(number) == pid]
    return found[0] if len(found) == 1 else 0


def _inner_id(pid: int) -> int:
    """Return the id that a process of PostgreSQL has in its own namespace (proc(5), NSpid), 0 for other processes."""
    try:
        if "postgres" not in Path(f"/proc/{pid}/comm").read_text():
            return 0
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[-1]) for line in lines if line.startswith("NSpid:")), 0)


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used (proc(5), schedstat), 0 for the process 0."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9 if pid else 0.0
