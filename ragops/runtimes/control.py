"""What day-2 operations may do to an embedded service: the `Control` protocol on a host process."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters.files import explain_os_error, sync_dir
from ragops.errors import RagopsError
from ragops.runtimes import supervise
from ragops.runtimes.observe import read_record, read_spec
from ragops.runtimes.process_spec import ProcessSpec
from ragops.runtimes.programs import locate
from ragops.services.contract import ConfigFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.services.contract import Endpoint


class ProcessControl:
    """Control of the host process whose run folder is `run_dir`."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def stop(self) -> None:
        """Stop it with its own grace."""
        spec = self._spec()
        supervise.stop(self._run_dir, spec.stop_signal, spec.stop_grace)

    def start(self, extra_args: Sequence[str] = ()) -> None:
        """Start it as it was provisioned, with `extra_args` added, and wait until it is healthy."""
        supervise.start(self._spec(), extra_args)

    def is_running(self) -> bool:
        """Whether the very process that was started last runs."""
        record = read_record(self._run_dir)
        return record is not None and record.alive

    def set_data_aside(self, label: str) -> str:
        """Rename the data folder, put an empty one in its place; returns the new name's path."""
        data = Path(self._spec().data_dir)
        aside = data.with_name(f"{data.name}.{label}-{datetime.now(tz=UTC):%Y%m%dT%H%M%S%f}")
        try:
            if data.exists():
                data.rename(aside)
            data.mkdir(mode=0o700)
            self._own(data)
            sync_dir(data.parent)
        except OSError as error:
            raise explain_os_error(error, f"set {data} aside") from error
        return str(aside)

    def bring_data_back(self, aside: str) -> None:
        """Put the folder that was set aside in place again; what is there now keeps a name of its own."""
        if Path(aside).exists():
            self.set_data_aside("failed-restore")
            data = Path(self._spec().data_dir)
            data.rmdir()
            Path(aside).rename(data)
            sync_dir(data.parent)

    def put_data_file(self, source: Path, name: str) -> None:
        """Copy `source` into the data folder."""
        target = Path(self._spec().data_dir) / name
        try:
            shutil.copyfile(source, target)
            target.chmod(0o600)
            self._own(target)
            with target.open("rb") as stream:
                os.fsync(stream.fileno())
            sync_dir(target.parent)
        except OSError as error:
            raise explain_os_error(error, f"write {target}") from error

    def tool(self, name: str) -> tuple[str, ...]:
        """The engine's own tool, from the same wheel."""
        return (str(locate(name)),)

    def _own(self, path: Path) -> None:
        supervise.own(path, self._spec().user)

    def _spec(self) -> ProcessSpec:
        """The spec that was started last, its files read back from the configuration folder."""
        props = read_spec(self._run_dir)
        if not props:
            raise RagopsError("not_provisioned", f"nothing was started in {self._run_dir} yet", "run `ragops up`")
        bare = ProcessSpec.from_props(props)
        names = sorted(path.name for path in bare.config_dir.iterdir())
        files = tuple(ConfigFile(name, (bare.config_dir / name).read_text(), secret=True) for name in names)
        return ProcessSpec.from_props({**props, "secret_files": {file.name: file.content for file in files}})


def control(endpoint: Endpoint) -> ProcessControl:
    """Control of the service behind `endpoint`."""
    return ProcessControl(Path(endpoint.handle))
