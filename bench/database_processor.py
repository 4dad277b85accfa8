"""Processor time of the process that serves a connection, if that is one of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from database_fill import Connection


def server_process(connection: Connection) -> int:
    """Return the id of the server's process, 0 if it is not one that can be seen here."""
    [pid] = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
    try:
        return int(pid) if "postgres" in Path(f"/proc/{pid}/comm").read_text() else 0
    except OSError:
        return 0


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used (proc(5), schedstat), 0 for the process 0."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9 if pid else 0.0
