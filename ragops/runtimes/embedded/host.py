"""The embedded runtime's day-2 side: host processes, their folders and their logs."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import psutil

from ragops.adapters.files import explain_os_error
from ragops.adapters.logs import follow, read_tail, rotate
from ragops.errors import RagopsError
from ragops.runtimes.checks import run_check
from ragops.runtimes.contract import RUNNING, Difference, Instance, LogLine, LogTail, ResourceDescription
from ragops.runtimes.embedded import checked_files
from ragops.runtimes.embedded import preflight as embedded_preflight
from ragops.runtimes.embedded.control import ProcessControl
from ragops.runtimes.embedded.facts import FACTS
from ragops.runtimes.embedded.processes.by_log_file import find_users
from ragops.runtimes.embedded.processes.state import find_living, lost_data, read_record, read_spec, state_of
from ragops.runtimes.embedded.processes.supervisor import log_path, ready_folder
from ragops.runtimes.embedded.programs import locate, unprivileged_user
from ragops.services import SERVICES
from ragops.services.contract import Check, Endpoint, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from ragops.adapters.progress import Progress
    from ragops.config.load import Project
    from ragops.runtimes.contract import Judgement
    from ragops.runtimes.embedded.gateway import EnvoyAdapter
    from ragops.runtimes.embedded.runtime import EmbeddedRuntime
    from ragops.services.spec import ConfigFile

_MIN_FREE_GB = 2


class EmbeddedRuntimeHost:
    """`RuntimeHost` of one environment whose services are host processes."""

    facts = FACTS

    def __init__(self, project: Project) -> None:
        self._project = project
        self._paths = project.paths

    def runtime(self) -> EmbeddedRuntime:
        """Return what makes a specification a `Process`; imports Pulumi."""
        from ragops.runtimes.embedded.runtime import EmbeddedRuntime

        return EmbeddedRuntime(self._paths, self._project.settings.run_as)

    def gateway(self) -> EnvoyAdapter:
        """Return Envoy, and the files that it watches."""
        from ragops.runtimes.embedded.gateway import EnvoyAdapter

        return EnvoyAdapter(self.runtime().layout("gateway"))

    def refuse_what_cannot_start(self) -> None:
        """Raise MissingError or UsageError as `embedded_preflight` does."""
        embedded_preflight.refuse_what_cannot_start(self._project)

    def prepare_up(self, on_progress: Callable[[Progress], None], known_ids: Callable[[], Collection[str]]) -> None:
        """Do nothing: the process provider adopts and starts by itself."""

    def will_restart(self) -> Collection[str]:
        """Return none: the engine starts a process that is stopped."""
        return ()

    def record_provisioned(self) -> None:
        """Do nothing: every process has a record of its own."""

    def engine_variables(self) -> Mapping[str, str]:
        """Return none: processes are started where the engine runs."""
        return {}

    def image_pins(self) -> Mapping[str, str]:
        """Return none: the wheels are this very ragops' own."""
        return {}

    def drift(self) -> tuple[Difference, ...]:
        """Return the services whose data folder was taken away; the process provider's refresh sees all else."""
        found = []
        for service in SERVICES:
            record, folder = find_living(self._paths.run_dir(service.name)), self._paths.data_dir(service.name)
            if record and lost_data(record, folder):
                found.append(
                    Difference(service.name, RUNNING, f"running without its data: {folder} is gone", service.name)
                )
        return tuple(found)

    def describe_resource(self, urn: str) -> ResourceDescription:
        """Return the name: a resource is a whole service, or the gateway's configuration."""
        return ResourceDescription(urn.rpartition("::")[2])

    def resources_of(self, instance: str) -> tuple[str, ...]:
        """Return the one process."""
        return (instance,)

    def control(self, endpoint: Endpoint, _instance: str = "") -> ProcessControl:
        """Return the control of the service's process."""
        return ProcessControl(Path(endpoint.runtime_id))

    def observe(self, endpoint: Endpoint) -> tuple[Instance, ...]:
        """Return the service's one process."""
        run_dir = Path(endpoint.runtime_id)
        digests = cast("dict[str, str]", read_spec(run_dir).get("digests", {}))
        record, data_dir = read_record(run_dir), str(self._paths.data_dir(endpoint.service))
        alive = record if record and record.alive else None
        found = Instance(
            service=endpoint.service,
            name=endpoint.service,
            state=state_of(run_dir, {endpoint.service: endpoint.port}, digests, data_dir),
            address=f"{endpoint.host}:{endpoint.port}",
            ident=str(alive.pid) if alive else "",
            uptime=max(0.0, time.time() - alive.started) if alive else 0.0,
            memory=_memory(alive.pid) if alive else 0,
        )
        return (found,)

    def containers(self) -> tuple[Instance, ...]:
        """Return none."""
        return ()

    def is_running(self, service: str) -> bool:
        """Whether its process runs, with its record or without."""
        return find_living(self._paths.run_dir(service)) is not None

    def has_data(self, service: str) -> bool:
        """Whether its data folder is there."""
        return self._paths.data_dir(service).exists()

    def lacks_data(self, service: str) -> bool:
        """Whether its folder is missing or empty, and a restore that was killed has left none that is ready."""
        folder = self._paths.data_dir(service)
        return not _holds_something(folder) and not _holds_something(ready_folder(folder))

    @property
    def data_location(self) -> str:
        """The folder of all data."""
        return str(self._paths.all_data)

    def data_file(self, service: str, instance: str, name: str) -> str | None:  # noqa: ARG002  each has one instance
        """Read it from its data folder."""
        path = self._paths.data_dir(service) / name
        return path.read_text() if path.exists() else None

    def list_data(self) -> tuple[str, ...]:
        """Return the folders of data, and what restores set aside."""
        folder = self._paths.all_data
        return tuple(map(str, sorted(folder.iterdir()))) if folder.exists() else ()

    def purge_data(self) -> None:
        """Remove every data folder. Raises RagopsError (data_in_use) where a living process uses one."""
        folders = [Path(name) for name in self.list_data()]
        refuse_used(folders)
        for folder in folders:
            _remove(folder)

    def stop_orphans(self) -> tuple[str, ...]:
        """Stop the processes that are in no stack's state."""
        running = tuple(service.name for service in SERVICES if self.is_running(service.name))
        for name in running:
            ProcessControl(self._paths.run_dir(name)).stop()
        return running

    def read_log(self, service: str, lines: int) -> LogTail | None:
        """Read it from the file that the process writes to."""
        path = log_path(self._paths.run_dir(service), service)
        if not path.exists():
            return None
        last, position = read_tail(path, lines)
        found = tuple(LogLine(service, text) for text in last)
        return LogTail(found, lambda: (LogLine(service, text) for text in follow(path, position)))

    def rotate_logs(self) -> None:
        """Bound the services' logs; cron's backup does it every night."""
        for service in SERVICES:
            rotate(log_path(self._paths.run_dir(service.name), service.name))

    def check_files(self, _image: str, command: Sequence[str], files: Sequence[ConfigFile]) -> Judgement | None:
        """Run the program of this machine in a temporary folder; None if it is neither there nor on PATH."""
        return checked_files.check_files(command, files)

    def doctor_checks(self) -> tuple[Check, ...]:
        """Check programs, disk, the user for PostgreSQL, and ports."""
        return (*programs(), disk(embedded_preflight.data_folder(self._project)), self._user(), *self._ports())

    def _user(self) -> Check:
        def look() -> str:
            embedded_preflight.refuse_blocked_data(self._project)
            user = unprivileged_user(self._project.settings.run_as)
            return user or "PostgreSQL runs as you"

        return run_check("user", look)

    def _ports(self) -> list[Check]:
        def free(service: str, port: int) -> str:
            embedded_preflight.refuse_taken_port(self._project, service, port)
            return f"{port} for {service}"

        return [
            run_check("port", lambda service=service, port=port: free(service, port))  # type: ignore[misc]
            for service, port in embedded_preflight.listened_ports(self._project)
        ]


def refuse_used(folders: Sequence[Path]) -> None:
    """Raise RagopsError (data_in_use) where a living process uses one of the folders."""
    for folder in folders:
        for process in find_users(folder):
            what = f"cannot remove the data: pid {process.pid} uses {folder}"
            raise RagopsError("data_in_use", what, f"end it (`kill {process.pid}`), then run the command again")


def check_machine(folder: Path) -> tuple[Check, ...]:
    """Return the checks of a machine for a project that is to be in `folder`."""
    return (*programs(), disk(folder))


def programs() -> list[Check]:
    """Check that each engine's program is here."""

    def look(program: str) -> str:
        locate(program)
        return "is installed"

    return [
        run_check(program, lambda program=program: look(program))  # type: ignore[misc]
        for program in embedded_preflight.PROGRAMS
    ]


def disk(folder: Path) -> Check:
    """Check the free space of the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:.1f} GiB free where {folder} lies"
    if free < embedded_preflight.MIN_FREE_BYTES:
        return Check("disk", Status.DOWN, text, "free some space, or set `data_dir:` to a larger disk")
    status = Status.OK if free >= _MIN_FREE_GB * 2**30 else Status.DEGRADED
    return Check("disk", status, text, "" if status is Status.OK else "recovery points will soon need more")


def _holds_something(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise explain_os_error(error, f"read {folder}") from error


def _memory(pid: int) -> int:
    """Return resident memory of a process and its children, in bytes; shared pages count for each of them."""
    try:
        process = psutil.Process(pid)
        return sum(item.memory_info().rss for item in (process, *process.children(recursive=True)))
    except psutil.Error:
        return 0


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise explain_os_error(error, f"remove {folder}") from error
