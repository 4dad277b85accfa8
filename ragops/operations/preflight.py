"""Everything that would make `up` fail half-way, found before it starts anything."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from ragops.errors import MissingError
from ragops.runtimes.observe import port_owner, read_record
from ragops.runtimes.programs import blocking_folder, locate, unprivileged_user
from ragops.runtimes.supervise import port_taken

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.config.load import Project

PROGRAMS = {"redis": "valkey-server", "timescaledb": "postgres"}
MIN_FREE_BYTES = 200 * 1024 * 1024


def refuse_what_cannot_start(project: Project) -> None:
    """Raise MissingError for a missing engine, a port of somebody else, a full disk, a folder that blocks the way."""
    for program in PROGRAMS.values():
        locate(program)
    refuse_full_disk(project.paths.root)
    refuse_blocked_data(project)
    for service, port in project.settings.ports().items():
        refuse_taken_port(project, service, port)


def refuse_full_disk(folder: Path) -> None:
    """Raise MissingError (disk_full) where less is free than a first start needs."""
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        what = f"{free // 2**20} MiB are free where {folder} lies; {MIN_FREE_BYTES // 2**20} MiB are needed"
        raise MissingError("disk_full", what, "free some space, or set `data_dir:` to a larger disk")


def refuse_blocked_data(project: Project) -> None:
    """Raise MissingError (data_unreachable) where the user that runs PostgreSQL may not pass to its data."""
    user = unprivileged_user(project.settings.run_as)
    data = project.paths.data_dir("timescaledb")
    if folder := blocking_folder(data, user):
        what = f"PostgreSQL does not run as root, and the user {user} may not pass through {folder} to its data"
        raise MissingError("data_unreachable", what, f"run `chmod o+x {folder}`, or set `data_dir:` to a public place")


def refuse_taken_port(project: Project, service: str, port: int) -> None:
    """Raise MissingError (port_taken) where another process than our own listens on `port`."""
    owner = port_owner(port)
    record = read_record(project.paths.run_dir(service))
    if owner and not (record and record.alive and record.pid == owner.pid):
        raise port_taken(service, port, str(owner))
