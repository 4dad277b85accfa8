"""Stores of recovery points: files by path, in a folder or in an object store, behind one small protocol.

Paths are relative, with `/` between folders, made of `[A-Za-z0-9._-]` alone; a store has no empty folders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractContextManager


@dataclass(frozen=True)
class FileEntry:
    """One file: its path below the store, size in bytes, and an etag that changes with its content."""

    path: str
    size: int
    etag: str


class Store(Protocol):
    """Files below one place. `name` is what people call it: a folder or a URL, never with credentials.

    `is_remote`: every call costs a request to a server. `has_atomic_replace`: a file that is being replaced is there at
    every moment, and one that was written is there for every later reader.

    All methods raise RagopsError: StoreMissingError if a file is not there, MissingError (disk_full,
    repository_unreachable, repository_read_only, repository_login), RagopsError (not_permitted, file_error,
    repository_error). Every wait is bounded; what can be tried again is, a few times.
    """

    name: str
    is_remote: bool

    @property
    def has_atomic_replace(self) -> bool:
        """See above."""

    def open_write(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a stream that becomes the file `path` when its block ends: durable then, and whole.

        Where the block fails there is no such file, or the one from before. A file that is only ours to read.
        """

    def open_read(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open the file `path` as a stream that is read on demand from its store, not from a cache."""

    def read_all(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Small files, many at once; those that are not there are left out."""

    def list_entries(self, prefix: str = "") -> list[FileEntry]:
        """Return every file below the folder `prefix`, in the order of their paths; none if there is no such folder.

        A folder below it that we may not read is listed by its own path, with no size.
        """

    def list_folders(self, prefix: str = "") -> list[str]:
        """Names of the folders directly below the folder `prefix`, sorted; empty ones may be missing."""

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files, in this order; one that is not there is removed already."""

    def free_bytes(self) -> int | None:
        """Return the free space; None if it is unknown."""

    def clear_leftovers(self) -> None:
        """Remove what runs that were killed left half-written, of living ones nothing."""
