"""The audit trail: one JSON line for every change, appended, never rewritten."""

from __future__ import annotations

import getpass
import json
import os
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.adapters.files import SECRET_MODE, explain_os_error, make_dir

if TYPE_CHECKING:
    from pathlib import Path


def append(path: Path, **fields: object) -> None:
    """Append a line with time, user, host, pid and `fields`.

    One write of one line in append mode: lines of runs at the same time do not mix.
    """
    line = {
        "time": datetime.now(tz=UTC).isoformat(timespec="milliseconds"),
        "user": find_user(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        **fields,
    }
    try:
        make_dir(path.parent)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, SECRET_MODE)
        try:
            os.write(descriptor, (json.dumps(line) + "\n").encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise explain_os_error(error, f"append to {path}") from error


def find_user() -> str:
    """Return the user who runs this: with sudo, the person behind it."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):  # a uid without a name
        return str(os.getuid())
