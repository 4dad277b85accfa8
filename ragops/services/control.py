"""Operations of a runtime on a provisioned service: on the live one (`Control`), on copies (`Sandbox`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path


@dataclass(frozen=True)
class DataFile:
    """A file of a data folder: bytes, and when it was written last (seconds since 1970)."""

    size: int
    modified: float


class Control(Protocol):
    """Operations on one live service and its data, for backups, restores and repairs."""

    def stop(self) -> None:
        """Stop the service with its own grace; nothing to do if it is down."""

    def start(self, extra_args: Sequence[str] = ()) -> None:
        """Start it as provisioned, with `extra_args` added to its command, and wait for its health check."""

    def is_running(self) -> bool:
        """Return whether the process or container that was provisioned runs."""

    def move_data_aside(self, label: str) -> str:
        """Rename the data folder of the stopped service and leave an empty one; returns the new path."""

    def rollback_data(self, aside: str) -> None:
        """Undo `move_data_aside`; the data that are there now are moved to another name, never deleted."""

    def swap_data(self, files: Mapping[str, Path], label: str) -> str:
        """Like `move_data_aside`, with copies of `files` (by their path inside the data folder) in place at once.

        They are owned and readable as the service needs, and durable before the folder takes its place.
        """

    @property
    def local_data(self) -> Path | None:
        """Return the data folder on this machine, None if this machine has no access to it."""

    def data_files(self) -> Mapping[str, DataFile]:
        """Return every file of the data folder by its path in it; empty without a folder. The service may be down."""

    def get_data_file(self, name: str, target: Path) -> None:
        """Copy the file `name` of the data folder to `target`, readable by us alone."""

    def free_bytes(self) -> int | None:
        """Return the free bytes of the data's file system; None if they are unknown."""

    def tool(self, name: str) -> tuple[str, ...]:
        """Return the arguments that run the engine's tool `name` (such as pg_dump) next to the running service.

        Only its standard streams are shared with this process in every runtime: no files, variables or addresses are.
        """

    def sandbox(self) -> AbstractContextManager[Sandbox]:
        """Make a sandbox with the programs of the engine, whether the service runs or not."""


@runtime_checkable
class RemovesInstance(Protocol):
    """A control that can take away what the service runs in, so that nothing starts it again."""

    def remove(self) -> None:
        """Stop the service and remove what it runs in; its data stay. Nothing to do if it is gone."""


class StdinProcess(Protocol):
    """A running program whose input is written in blocks."""

    def write(self, block: bytes) -> None:
        """Write a block of its input; `b""` is the end of the input. A block for a program that has ended is dropped.

        Raises RagopsError (tool_timeout).
        """

    def output(self) -> str:
        """Return its output once it has ended. Raises RagopsError (tool_failed, tool_timeout)."""


class Sandbox(Protocol):
    """A temporary place with the programs of a service, apart from the live one; removed when its block ends.

    `folder` is the path of an empty folder that the programs may write; `local` is its path on this machine, None if
    this machine has no access to it.
    """

    folder: str
    local: Path | None

    def tool(self, name: str) -> tuple[str, ...]:
        """Return the arguments that run the program `name` there; standard streams are passed on."""

    def start_with_stdin(self, command: Sequence[str], limit: float) -> AbstractContextManager[StdinProcess]:
        """Run a program whose input is written inside the block; the end of the block ends it.

        Each block of input may take `limit` seconds, and so may the program after the last one.
        """

    def output(self, command: Sequence[str], limit: float) -> str:
        """Return the output of a program, within `limit` seconds. Raises RagopsError (tool_failed, tool_timeout)."""

    def put(self, source: Path, name: str, *, changing: bool = False) -> None:
        """Make `source` readable for the programs as the file `name` of the folder.

        With `changing` it is a copy that they may write, and `name` may be in a folder below, which is made.
        """

    def get(self, name: str, target: Path) -> None:
        """Copy the file `name` of the folder to `target`, readable by us alone."""

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names of the files in the folder `folder` below, sorted."""
