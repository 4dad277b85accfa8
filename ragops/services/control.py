"""What a runtime can do to a service beyond provisioning it: `Control` of the live one, a `Sandbox` away from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path


@dataclass(frozen=True)
class DataFile:
    """A file of a data folder: bytes, and when it was written last (seconds since 1970)."""

    size: int
    modified: float


class Control(Protocol):
    """What a runtime can do to one service besides provisioning it; used by restores and repairs."""

    def stop(self) -> None:
        """Stop the service with its own grace; nothing to do if it is down."""

    def start(self, extra_args: Sequence[str] = ()) -> None:
        """Start it as provisioned, with `extra_args` added to its command, and wait for its health check."""

    def is_running(self) -> bool:
        """Whether the very process or container that was provisioned runs."""

    def move_data_aside(self, label: str) -> str:
        """Rename the data folder of the stopped service and leave an empty one; returns the new path."""

    def rollback_data(self, aside: str) -> None:
        """Undo `move_data_aside`; data that were put in since are moved away under another name, never deleted."""

    def swap_data(self, files: Mapping[str, Path], label: str) -> str:
        """Like `move_data_aside`, with copies of `files` (by their path inside the data folder) in place at once.

        They are owned and readable as the service needs, and durable before the folder takes its place.
        """

    @property
    def local_data(self) -> Path | None:
        """The data folder on this machine, None if it has no access to it."""

    def data_files(self) -> Mapping[str, DataFile]:
        """Every file of the data folder by its path in it, whether the service runs or not; empty without a folder."""

    def get_data_file(self, name: str, target: Path) -> None:
        """Copy the file `name` of the data folder to `target`, readable by us alone."""

    def free_bytes(self) -> int | None:
        """Free space where the data lie; None if the runtime cannot see it."""

    def tool(self, name: str) -> tuple[str, ...]:
        """Return the arguments that run the engine's tool `name` (such as pg_dump) next to the running service.

        It shares nothing with us for certain but its standard streams: no files, no environment, no addresses.
        """

    def run_to_file(
        self, command: Sequence[str], target: Path, limit: float
    ) -> AbstractContextManager[Callable[[], None]]:
        """Run any program next to the service, without input, with its output in our new file `target` (0600).

        What is yielded waits for its end, `limit` seconds at most; the end of the block ends it. Raises RagopsError
        (tool_failed, tool_timeout), MissingError (disk_full).
        """

    def sandbox(self) -> AbstractContextManager[Sandbox]:
        """Make a place to run the engine's own programs on copies of data, whether the service runs or not."""


class StdinProcess(Protocol):
    """A program that runs and takes its input as it comes."""

    def write(self, block: bytes) -> None:
        """Give it some of its input; nothing (`b""`) is the end of it. One that has ended misses nothing.

        Raises RagopsError (tool_timeout).
        """

    def output(self) -> str:
        """Return its output once it has ended. Raises RagopsError (tool_failed, tool_timeout)."""


class Sandbox(Protocol):
    """A throw-away place with the programs of a service, away from the live one; gone when its block ends.

    `folder` is an empty one that they may write, as they see it; `local` is the same on this machine, None
    if it has no access to it.
    """

    folder: str
    local: Path | None

    def tool(self, name: str) -> tuple[str, ...]:
        """Arguments that run the program `name` there; standard streams are passed on."""

    def start_with_stdin(self, command: Sequence[str], limit: float) -> AbstractContextManager[StdinProcess]:
        """Run a program that is fed inside the block and ended with it.

        It may take `limit` seconds for each block that it is given, and as long again once it has all.
        """

    def output(self, command: Sequence[str], limit: float) -> str:
        """Return the output of a program, within `limit` seconds. Raises RagopsError (tool_failed, tool_timeout)."""

    def put(self, source: Path, name: str, *, changing: bool = False) -> None:
        """Make `source` readable for them as the file `name` of the folder, which they do not change.

        With `changing` they may: it is a copy, and `name` may be in a folder below that is made if it is missing.
        """

    def get(self, name: str, target: Path) -> None:
        """Copy the file `name` of the folder to `target`, readable by us alone."""

    def names(self, folder: str) -> tuple[str, ...]:
        """Names of the files in `folder` of the folder, sorted."""
