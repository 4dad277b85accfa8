"""The state of a service's process right now, however it was started or ended."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ragops.adapters.ports import port_owner
from ragops.adapters.state_file import StateFile
from ragops.runtimes.contract import RUNNING, STOPPED
from ragops.runtimes.embedded.processes import by_log_file
from ragops.runtimes.embedded.processes.exec_wrapper import identity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.adapters.ports import PortOwner

CONFIG, HOT = "config", "hot"  # folders inside a run folder
RECORD = "process.json"
SPEC = "spec.json"


_STORES = frozenset({"redis", "timescaledb", "qdrant"})  # services whose folder holds something from their start on


@dataclass(frozen=True)
class Record:
    """Who the service's process is; written by the process itself before it became the service."""

    pid: int
    identity: str
    digest: str
    started: float

    @property
    def alive(self) -> bool:
        """Whether this very process runs, not a later one with its pid."""
        return bool(self.identity) and identity(self.pid) == self.identity


def read_record(run_dir: Path) -> Record | None:
    """Return the record of the process last started in `run_dir`; None if there is none that can be read."""
    return StateFile(run_dir / RECORD, Record).read()


def make_record(pid: int) -> Record:
    """Return a record made from the living process itself, which is adopted for no provisioned one."""
    return Record(pid, identity(pid), "", 0.0)


def find_living(run_dir: Path) -> Record | None:
    """Return the record of the process that runs in `run_dir`, made again if it is lost; None if none runs."""
    record = read_record(run_dir)
    if record and record.alive:
        return record
    return next((make_record(pid) for pid in by_log_file.find_leaders(run_dir)), None)


def read_spec(run_dir: Path) -> dict[str, object]:
    """Return the values of the ProcessSpec that was last started; empty if there is none."""
    return StateFile(run_dir / SPEC, dict[str, object]).read() or {}


def state_of(run_dir: Path, ports: Mapping[str, int], digests: Mapping[str, str], data_dir: str = "") -> str:
    """Return the state of the process provisioned in `run_dir` with these ports and files: `running`, or what is wrong.

    With `data_dir` also whether the folder of its data is still the one that it works in.
    """
    record = read_record(run_dir)
    if record is None or not record.alive:
        if lost := by_log_file.find_leaders(run_dir):
            return f"running without its record (pid {lost[0]})"
        strangers = [str(owner) for port in ports.values() if (owner := port_owner(port))]
        return f"replaced by {strangers[0]}" if strangers else STOPPED
    if data_dir and lost_data(record, Path(data_dir)):
        return f"running without its data: {data_dir} is gone"
    changed = changed_files(run_dir, digests)
    return f"running with {', '.join(changed)} changed by hand" if changed else RUNNING


def lost_data(record: Record, folder: Path) -> bool:
    """Whether the folder of the process's data was removed under it, replaced, or its disk is not mounted any more.

    A process that works elsewhere than in its data is judged by the folder alone: a store's is never empty.
    """
    try:
        there = folder.stat()
        is_empty = folder.name in _STORES and not any(folder.iterdir())
    except FileNotFoundError:
        return True
    except OSError:  # not for this user to see
        return False
    place = Path(f"/proc/{record.pid}/cwd")
    try:
        works_in, seen = str(place.readlink()), place.stat()
    except OSError:
        return is_empty
    if works_in == "/":
        return is_empty
    return (seen.st_dev, seen.st_ino) != (there.st_dev, there.st_ino)


def changed_files(run_dir: Path, digests: Mapping[str, str]) -> tuple[str, ...]:
    """Return names of configuration files that are not what was rendered, those that restart nothing as `hot/NAME`."""
    folders = {name: run_dir if name.startswith(f"{HOT}/") else run_dir / CONFIG for name in digests}
    return tuple(name for name, digest in digests.items() if _file_digest(folders[name] / name) != digest)


def _file_digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def belongs_to(owner: PortOwner, record: Record) -> bool:
    """Whether the listener is the recorded process or one that it started, such as one of several workers."""
    try:
        return record.pid in (owner.pid, *(parent.pid for parent in psutil.Process(owner.pid).parents()))
    except psutil.Error:
        return False
