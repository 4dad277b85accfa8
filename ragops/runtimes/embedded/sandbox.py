"""A throw-away folder of this machine, with the embedded engines' own programs."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ragops.adapters import subprocess_tool
from ragops.adapters.files import copy_private, explain_os_error
from ragops.adapters.temp_dirs import private_temp_dir
from ragops.runtimes.embedded.programs import ALIASES, locate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path


class HostSandbox:
    """The `Sandbox` protocol on a folder that only we may enter."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.local: Path | None = folder
        self._path = folder

    def tool(self, name: str) -> tuple[str, ...]:
        """Return the command line of the engine's program, from its wheel."""
        if name not in ALIASES:
            return (str(locate(name)),)
        link = self._path / name
        if not link.is_symlink():
            link.symlink_to(locate(ALIASES[name]))
        return (str(link),)

    def start_with_stdin(
        self, command: Sequence[str], limit: float
    ) -> AbstractContextManager[subprocess_tool.StdinProcess]:
        """Run the engine's program as a child of this process."""
        name, *arguments = command
        return subprocess_tool.piped_tool([*self.tool(name), *arguments], os.environ, limit, name=name)

    def output(self, command: Sequence[str], limit: float) -> str:
        """Return what the engine's program prints."""
        name, *arguments = command
        return subprocess_tool.read_tool_output([*self.tool(name), *arguments], os.environ, limit)

    def put(self, source: Path, name: str, *, changing: bool = False) -> None:
        """Make a link, unless they change it: the programs run as we do."""
        target = self._path / name
        if not changing:
            target.symlink_to(source.absolute())
            return
        try:
            target.parent.mkdir(mode=0o700, exist_ok=True)
            target.unlink(missing_ok=True)
            copy_private(source, target)
        except OSError as error:
            raise explain_os_error(error, f"copy {source} to {target}") from error

    def get(self, name: str, target: Path) -> None:
        """Copy a file out."""
        try:
            copy_private(self._path / name, target)
        except OSError as error:
            raise explain_os_error(error, f"copy {name} to {target}") from error

    def names(self, folder: str) -> tuple[str, ...]:
        """Return names of the files in a folder below."""
        return tuple(sorted(path.name for path in (self._path / folder).iterdir()))


@contextmanager
def host_sandbox() -> Iterator[HostSandbox]:
    """Make a sandbox on this machine; its folder is gone when the block ends."""
    with private_temp_dir() as folder:
        yield HostSandbox(folder)
