"""Finds the processes that ragops started when their record is lost: each writes to the log of its run folder.

Command lines would not do: valkey-server puts an address in the place of its arguments, and an editor that shows a
configuration file has its path among its own. The log stays an engine's output for life, even once it is deleted.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator


def find_leaders(folder: Path) -> list[int]:
    """Return pids of the living services whose run folder is `folder` or lies below it."""
    place = folder.resolve()
    # The log first: it is one system call, and leaves out nearly every process of the machine.
    return [pid for pid in psutil.pids() if place in _log(pid).parents and _leads(pid)]


def environment_of(pid: int, runs: Path) -> str:
    """Return the environment below `runs` that started the process or one of its parents; empty if none did."""
    try:
        log = _log(os.getsid(pid))
    except OSError:
        return ""
    place = runs.resolve()
    return log.relative_to(place).parts[0] if place in log.parents else ""


def find_users(folder: Path) -> Iterator[psutil.Process]:
    """Return the living processes that stand in `folder`, name something in it as an argument, or have it open."""
    place = folder.resolve()
    family = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid not in family and process.status() != psutil.STATUS_ZOMBIE and _uses(process, place):
                yield process


def _uses(process: psutil.Process, place: Path) -> bool:
    paths = [process.cwd(), *process.cmdline(), *(file.path for file in process.open_files())]
    return any(place == path or place in path.parents for path in map(Path, paths))


def _leads(pid: int) -> bool:
    """Whether it leads a session of its own without a terminal, as every service does.

    The path distinguishes it from PostgreSQL's backends, which lead sessions too but show what they do instead.
    """
    try:
        process = psutil.Process(pid)
        by_path = "".join(process.cmdline()[:1]).startswith("/")  # a zombie has none
        return os.getsid(pid) == pid and process.terminal() is None and by_path
    except (OSError, psutil.Error):
        return False


def _log(pid: int) -> Path:
    """Return the target of the process's output; the root folder if the system does not show it."""
    try:
        return Path(str(Path(f"/proc/{pid}/fd/1").readlink()).removesuffix(" (deleted)"))
    except OSError:
        return Path("/")
