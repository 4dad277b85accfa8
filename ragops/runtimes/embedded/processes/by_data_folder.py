"""Processes that work in a data folder. Engines stand in theirs: the working directory counts, not a lock file."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psutil

from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_END_WAIT = 5.0


def clear(folder: Path, program: str, lock_files: Sequence[str]) -> None:
    """End what a killed engine left running in its data folder, and remove the engine's own lock files.

    A backend of PostgreSQL outlives its killed postmaster until its query ends, and no new server starts before that.
    Raises RagopsError (data_in_use) where a whole engine serves the folder: one that its lock file names, or any where
    the engine writes none.
    """
    found = find_occupants(folder, program)
    named = {_pid(folder / name) for name in lock_files}
    for process in found:
        if not lock_files or process.pid in named:
            what = f"cannot use {folder}: {program} (pid {process.pid}) already runs on it"
            raise RagopsError("data_in_use", what, f"stop it: kill -INT {process.pid}")
    _end(found)
    for name in lock_files:
        (folder / name).unlink(missing_ok=True)


def find_occupants(folder: Path, program: str) -> list[psutil.Process]:
    """Return the living processes of `program` whose working directory is `folder`."""
    place = str(folder.resolve())
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.name() == program and process.cwd() == place:
                found.append(process)
    return found


def _pid(lock_file: Path) -> int:
    """Return the process that a lock file names; 0 if it names none, as after a full disk."""
    try:
        return int(lock_file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def _end(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, stubborn = psutil.wait_procs(processes, timeout=_END_WAIT)
    for process in stubborn:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=_END_WAIT)
