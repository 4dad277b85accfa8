"""Folders of a repository: made so that a crash keeps them, walked so that what goes in between is no fault."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, BinaryIO

from ragops.adapters.files import sync_dir
from ragops.adapters.storage import FileEntry
from ragops.adapters.storage.names import PARTIAL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FOLDER_MODE = 0o700


def make_folders(folder: Path, below: Path | None = None) -> None:
    """Durable: a folder that a crash takes back takes its files with it. None that is not `below` another one."""
    for path in [*reversed(folder.parents), folder]:
        if not path.exists() and (below is None or below in path.parents):
            with contextlib.suppress(FileExistsError):  # another run's, which may be gone again by now
                path.mkdir(mode=_FOLDER_MODE)
            sync_dir(path.parent)


def walk(folder: Path | str, prefix: str) -> Iterator[FileEntry]:
    """Every file below, its path after `prefix`; a folder that we may not read is listed as if it were a file.

    Raises OSError for `folder` itself.
    """
    try:
        with os.scandir(folder) as found:
            children = [child for child in found if not child.name.startswith(PARTIAL)]
    except (FileNotFoundError, NotADirectoryError):  # removed while we looked
        return
    for child in children:
        path = prefix + child.name
        try:
            if child.is_dir(follow_symlinks=False):
                yield from walk(child.path, f"{path}/")
            elif child.is_file(follow_symlinks=False):
                facts = child.stat(follow_symlinks=False)
                yield FileEntry(path, facts.st_size, f"{facts.st_mtime_ns}-{facts.st_size}-{facts.st_ino}")
        except PermissionError:
            yield FileEntry(path, 0, "")
        except FileNotFoundError:
            continue


def sync(stream: BinaryIO, path: Path) -> None:
    """Make the written data durable, also if the writer has closed the stream, as compressors do."""
    if stream.closed:
        sync_dir(path)  # as good for a file
        return
    stream.flush()
    os.fsync(stream.fileno())
    stream.close()
