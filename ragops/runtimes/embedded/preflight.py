"""Everything that would make `up` fail half-way, found before it starts anything."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters.ports import PortOwner, port_owner
from ragops.errors import MissingError, UsageError
from ragops.runtimes.checks import config_name, port_taken
from ragops.runtimes.embedded.processes.by_log_file import environment_of
from ragops.runtimes.embedded.processes.state import belongs_to, find_living, read_spec
from ragops.runtimes.embedded.programs import blocking_folder, locate, unprivileged_user
from ragops.services import SERVICES, by_name
from ragops.units import size

if TYPE_CHECKING:
    from ragops.config.load import Project

PROGRAMS = tuple(program.name for service in SERVICES for program in service.programs)
MIN_FREE_BYTES = 200 * 1024 * 1024


def refuse_what_cannot_start(project: Project) -> None:
    """Raise for a missing engine, a port of somebody else, a full disk, a folder that blocks the way, moved data."""
    for program in PROGRAMS:
        locate(program)
    for each in SERVICES:
        if each.host_programs and (section := project.settings.section(each.name)) is not None:
            locate(section.program or each.host_programs[0])
    refuse_full_disk(data_folder(project))
    refuse_blocked_data(project)
    for service, port in listened_ports(project):
        refuse_moved_data(project, service)
        refuse_taken_port(project, service, port)


def listened_ports(project: Project) -> tuple[tuple[str, int], ...]:
    """Return every port of this machine that is listened on, each with the service whose process does."""
    ports = project.settings.ports().items()
    return tuple((by_name(service).ports_of_others.get(key, service), port) for (service, key), port in ports)


def data_folder(project: Project) -> Path:
    """Return the folder of the services' data, or the nearest one above it that is there already."""
    wanted = project.paths.data_dir("timescaledb")
    return next(folder for folder in (wanted, *wanted.parents) if folder.exists())


def refuse_full_disk(folder: Path) -> None:
    """Raise MissingError (disk_full) where less is free than a first start needs."""
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        what = f"cannot start: {size(free)} are free where {folder} lies, {size(MIN_FREE_BYTES)} are needed"
        raise MissingError("disk_full", what, "free some space, or set `data_dir:` to a larger disk")


def refuse_blocked_data(project: Project) -> None:
    """Raise MissingError (data_unreachable) where the user that runs PostgreSQL may not pass to its files."""
    user = unprivileged_user(project.settings.run_as)
    for path in (project.paths.data_dir("timescaledb"), project.paths.run_dir("timescaledb")):
        if folder := blocking_folder(path, user):
            what = f"cannot start PostgreSQL: {user} may not pass through {folder} to its files"
            hint = f"run `chmod o+x {folder}`, or move the project to a public place such as /srv"
            raise MissingError("data_unreachable", what, hint)


def refuse_moved_data(project: Project, service: str) -> None:
    """Raise UsageError (data_moved) where a service would start empty because `data_dir:` now names another place."""
    before = read_spec(project.paths.run_dir(service)).get("data_dir")
    now = project.paths.data_dir(service)
    if isinstance(before, str) and before != str(now) and Path(before).exists() and not now.exists():
        what = f"cannot start {service}: it would start empty, its data lie in {before} and ragops.yaml has {now}"
        raise UsageError("data_moved", what, f"`ragops down`, then mkdir -p {now.parent} && mv {before} {now}")


def refuse_taken_port(project: Project, service: str, port: int) -> None:
    """Raise MissingError (port_taken) where another process than our own listens on `port`."""
    owner = port_owner(port)
    if owner is None:
        return
    record = find_living(project.paths.run_dir(service))
    if not (record and belongs_to(owner, record)):
        raise _taken(project, service, owner)


def _taken(project: Project, service: str, owner: PortOwner) -> MissingError:
    """Return the error for the port that `owner` has; another environment of this project is not to be stopped."""
    own, config = project.paths.environment, config_name(project)
    other = environment_of(owner.pid, project.paths.runs) if owner.pid else ""
    if other in ("", own):
        return port_taken(service, owner.port, str(owner), config)
    what = f"cannot start {service}: environment {other} of this project uses port {owner.port}"
    return MissingError("port_taken", what, f"give {service} another port in {config}")
