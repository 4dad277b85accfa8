"""Listings of a file system of fsspec that need few rights and no existing folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragops.adapters.storage import FileEntry
from ragops.adapters.storage.errors import is_missing, is_refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKS = ("ETag", "etag", "generation", "md5Hash", "mtime", "LastModified", "updated", "created")


def listing(files: Any, folder: str) -> list[dict[str, Any]]:
    """Return the entries directly in `folder`, none if there is no such folder."""
    try:
        return list(files.ls(folder or "/", detail=True))
    except FileNotFoundError:
        return []


def walk(files: Any, folder: str, *, atomic: bool) -> Iterator[dict[str, Any]]:
    """Every file below `folder`; `atomic` stores list all at once."""
    # not fsspec's own walk: a connection that breaks off is the end of a listing to it
    for info in _find(files, folder) if atomic else listing(files, folder):
        if info["type"] == "directory":
            yield from () if atomic else _walk_below(files, info["name"])
        elif info["type"] == "file" and not info["name"].endswith("/"):
            yield info


def _walk_below(files: Any, folder: str) -> Iterator[dict[str, Any]]:
    """Yield the files below; a folder that cannot be read is listed as a file, so that it hides no others."""
    try:
        yield from walk(files, folder, atomic=False)
    except OSError as error:
        if not is_refusal(error):
            raise
        yield {"name": folder, "size": 0, "type": "file"}


def is_there(files: Any, full: str) -> bool:
    """Return whether the file is in the list of its folder."""
    return any(info["name"] == full for info in listing(files, full.rpartition("/")[0]))


def is_absent(files: Any, full: str, error: BaseException) -> bool:
    """Return whether `error` means that a file is not there: some keys may not ask for such a one, but may list."""
    return is_missing(error) or (is_refusal(error) and not is_there(files, full))


def make_entry(info: dict[str, Any], start: int) -> FileEntry:
    """Return a file of a list, its path from `start`."""
    mark = next((str(info[name]).strip('"') for name in _MARKS if info.get(name)), "")
    return FileEntry(str(info["name"])[start:], int(info["size"] or 0), f"{mark}-{info['size']}")


def _find(files: Any, folder: str) -> list[dict[str, Any]]:
    try:
        return list(files.find(folder, detail=True).values())
    except OSError as error:  # the library asks for the folder itself if it is empty
        if is_refusal(error) and not listing(files, folder):
            return []
        raise
