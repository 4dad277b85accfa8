"""What day-2 operations may do to an embedded service: the `Control` protocol on a host process."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters.files import copy_private, explain_os_error, make_dir, size_below, sync_dir
from ragops.config.paths import PASSAGE_MODE
from ragops.errors import RagopsError, UsageError
from ragops.runtimes.embedded.processes import rendered_files, supervisor
from ragops.runtimes.embedded.processes.by_log_file import find_users
from ragops.runtimes.embedded.processes.spec import ProcessSpec
from ragops.runtimes.embedded.processes.state import find_living, read_spec
from ragops.runtimes.embedded.programs import locate
from ragops.runtimes.embedded.sandbox import HostSandbox, host_sandbox
from ragops.services.control import DataFile
from ragops.services.kept_data import Kept, is_aside, since

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

_STOP_SIGNAL = "SIGINT"  # to PostgreSQL SIGTERM means to wait for its clients, to the others both are the same
_STOP_GRACE = 60.0


class ProcessControl:
    """Control of the host process whose run folder is `run_dir`."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def stop(self) -> None:
        """Stop it with its own signal and grace, or where those are lost with ones that suit every engine."""
        props = read_spec(self._run_dir)
        stop_signal, grace = props.get("stop_signal", _STOP_SIGNAL), props.get("stop_grace", _STOP_GRACE)
        supervisor.stop(self._run_dir, str(stop_signal), float(str(grace)))

    def start(self, extra_args: Sequence[str] = ()) -> None:
        """Start it as it was provisioned, with `extra_args` added, and wait until it is healthy."""
        supervisor.start(self._spec(), extra_args)

    def is_running(self) -> bool:
        """Whether what was started in the run folder runs, with its record or without."""
        return find_living(self._run_dir) is not None

    def move_data_aside(self, label: str) -> str:
        """Rename the data folder, put an empty one in its place; returns the new name's path."""
        return self.swap_data({}, label)

    def swap_data(self, files: Mapping[str, Path], label: str) -> str:
        """Fill a folder next to the data with copies of `files`, then let it take their place by two renames."""
        data = self._data()
        stamp = f"{datetime.now(tz=UTC):%Y%m%dT%H%M%S%f}"
        aside = data.with_name(f"{data.name}.{label}-{stamp}")
        try:
            fresh = self._fresh_folder()
            for name, source in files.items():
                self._fill(fresh / name, source)
            sync_dir(fresh)
            _swap(fresh.rename(supervisor.ready_folder(data)), data, aside)
        except OSError as error:
            raise explain_os_error(error, f"replace the data in {data}") from error
        return str(aside)

    def rollback_data(self, aside: str) -> None:
        """Put the folder that was set aside in place again; what is there now keeps a name of its own."""
        data = self._data()
        try:
            if aside and Path(aside).exists():
                self.move_data_aside("failed-restore")
                Path(aside).rename(data)  # over the empty folder that was left there
                sync_dir(data.parent)
        except OSError as error:
            raise explain_os_error(error, f"put {aside} back in place") from error

    def list_kept(self) -> tuple[Kept, ...]:
        """List the folders next to the data."""
        data = self._data()
        try:
            names = sorted(item.name for item in data.parent.iterdir() if is_aside(item.name, data.name))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise explain_os_error(error, f"list {data.parent}") from error
        folders = [data.parent / name for name in names]
        return tuple(Kept("folder", str(folder), since(folder.name), size_below(folder)) for folder in folders)

    def remove_aside(self, name: str) -> None:
        """Remove a folder that lies next to the data and is not in use."""
        data, folder = self._data(), Path(name)
        if folder.parent != data.parent or not is_aside(folder.name, data.name):
            raise UsageError("not_kept", f"cannot remove {name}: no restore set it aside", "see `ragops restore clean`")
        for process in find_users(folder):
            hint = "end that process, then run the command again"
            raise RagopsError("data_in_use", f"cannot remove {folder}: pid {process.pid} uses it", hint)
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise explain_os_error(error, f"remove {folder}") from error

    @property
    def local_data(self) -> Path | None:
        """The data folder."""
        return self._data()

    def data_files(self) -> dict[str, DataFile]:
        """Return every file below the data folder."""
        data = self._data()
        try:
            found = {path: path.stat() for path in data.rglob("*") if path.is_file()}
        except OSError as error:
            raise explain_os_error(error, f"read {data}") from error
        return {str(path.relative_to(data)): DataFile(info.st_size, info.st_mtime) for path, info in found.items()}

    def get_data_file(self, name: str, target: Path) -> None:
        """Copy the file `name` of the data folder."""
        try:
            copy_private(self._data() / name, target)
        except OSError as error:
            target.unlink(missing_ok=True)
            raise explain_os_error(error, f"copy {self._data() / name} to {target}") from error

    def free_bytes(self) -> int | None:
        """Return free space of the file system that holds the data."""
        folder = next(folder for folder in (self._data(), *self._data().parents) if folder.exists())
        return shutil.disk_usage(folder).free

    def tool(self, name: str) -> tuple[str, ...]:
        """Return the command line of the engine's own tool, from the same wheel."""
        return (str(locate(name)),)

    def sandbox(self) -> AbstractContextManager[HostSandbox]:
        """Return a scratch folder of this machine."""
        return host_sandbox()

    def _data(self) -> Path:
        return Path(self._spec().data_dir)

    def _fresh_folder(self) -> Path:
        """Return an empty folder next to the data; what a killed run left of one is cleared."""
        fresh = self._data().with_name(f"{self._data().name}.new")
        for left_over in (fresh, supervisor.ready_folder(self._data())):
            shutil.rmtree(left_over, ignore_errors=True)
        make_dir(fresh.parent, PASSAGE_MODE)
        fresh.mkdir(mode=0o700)
        self._own(fresh)
        return fresh

    def _fill(self, target: Path, source: Path) -> None:
        """Copy `source` to `target` inside a fresh folder, durably."""
        if not target.parent.exists():
            target.parent.mkdir(mode=0o700)
            self._own(target.parent)
        copy_private(source, target, durable=True)
        self._own(target)
        sync_dir(target.parent)

    def _own(self, path: Path) -> None:
        rendered_files.own(path, self._spec().user)

    def _spec(self) -> ProcessSpec:
        """Return the spec that was started last, its files read back from the configuration folder."""
        props = read_spec(self._run_dir)
        if not props:
            raise RagopsError(
                "not_provisioned",
                f"cannot control the service in {self._run_dir}: it was never started",
                "run `ragops up`",
            )
        bare = ProcessSpec.from_props(props)
        try:
            contents = _texts(bare.config_dir)
            hot = _texts(bare.hot_dir) if bare.hot_dir.exists() else {}
        except OSError as error:
            raise explain_os_error(error, f"read {bare.config_dir}") from error
        return ProcessSpec.from_props({**props, "secret_files": contents, "hot": hot})


def _texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def _swap(fresh: Path, data: Path, aside: Path) -> None:
    """Give `data` the name `aside` and `fresh` its place; where the second rename fails the first is undone.

    Killed between the two, the next start of the service finishes it.
    """
    moved = data.exists()
    if moved:
        data.rename(aside)
    try:
        fresh.rename(data)
    except OSError:
        if moved:
            aside.rename(data)
        raise
    sync_dir(data.parent)
