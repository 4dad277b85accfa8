"""Temporary files of a repository: their names, and when they can be removed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from hashlib import sha256
from pathlib import Path
from socket import gethostname

from ragops.adapters.process_identity import MARK, format_mark, is_mark_gone, is_pid_gone
from ragops.adapters.storage.names import PARTIAL

DAY = 86_400


def make_temporary_name() -> str:
    """Return a name of our own for a file that is being written."""
    return f"{PARTIAL}{format_mark()}-{secrets.token_hex(6)}"


def is_leftover(name: str, age: float) -> bool:
    """Return whether the writer of the temporary file is dead, or it is untouched for a day (`age` in seconds)."""
    written = name.removeprefix(PARTIAL)
    if MARK.match(written):
        return is_mark_gone(written) or age > DAY
    pid, _, rest = written.partition("-")  # as older versions of ragops named it
    dead = rest.startswith(_host()) and pid.isdecimal() and is_pid_gone(int(pid), time.time() - age)
    return dead or age > DAY


def clear_folder(folder: Path | str) -> None:
    """Remove what is left below `folder`. Raises OSError."""
    try:
        with os.scandir(folder) as found:
            children = list(found)
    except FileNotFoundError:
        return
    for child in children:
        if child.name.startswith(PARTIAL):
            with contextlib.suppress(FileNotFoundError):
                _clear_one(child)
        elif child.is_dir(follow_symlinks=False):
            clear_folder(child.path)
            with contextlib.suppress(OSError):  # not empty, most of the time
                Path(child.path).rmdir()


def _clear_one(child: os.DirEntry[str]) -> None:
    if not is_leftover(child.name, time.time() - child.stat(follow_symlinks=False).st_mtime):
        return
    if child.is_dir(follow_symlinks=False):
        shutil.rmtree(child.path, ignore_errors=True)
    else:
        Path(child.path).unlink()


def _host() -> str:
    """Return a hash of the host: a folder may be mounted on several machines, each with its own pids."""
    return sha256(gethostname().encode()).hexdigest()[:8]
