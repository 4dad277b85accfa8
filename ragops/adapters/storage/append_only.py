"""Files in a folder that lets nothing be renamed or removed: `chattr +a`, or rights of a server's own.

A file without a name is written, then given its one: it is there whole, and a run that is killed leaves nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from ragops.adapters.files import SECRET_MODE, copy_private

if TYPE_CHECKING:
    from pathlib import Path

_NOT_THERE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)


class NewFile:
    """A new file on its way to `target`; if there can be none without a name, it is seen while it is written.

    Raises OSError; FileExistsError if there is such a file.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        if target.exists():
            raise FileExistsError(errno.EEXIST, "there is such a file", str(target))
        self._nameless = True
        flags = os.O_WRONLY | os.O_CLOEXEC
        try:
            self._handle = os.open(target.parent, flags | getattr(os, "O_TMPFILE", os.O_DIRECTORY), SECRET_MODE)
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise
            self._nameless = False
            self._handle = os.open(target, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, SECRET_MODE)

    def handle(self) -> int:
        """Return another handle of the file, for a writer that closes it."""
        return os.dup(self._handle)

    def commit(self) -> None:
        """Make what was written durable and seen."""
        os.fsync(self._handle)
        if self._nameless:
            # Any folder's handle: without one Python asks the system for a link to the link in /proc.
            os.link(f"/proc/self/fd/{self._handle}", self._target, src_dir_fd=self._handle, follow_symlinks=True)

    def close(self) -> None:
        """Close the file; without `commit` it is gone, or half of it stays if nothing may be removed."""
        os.close(self._handle)


def put_in_place(temporary: Path, target: Path) -> bool:
    """Rename it, or if that is refused link or copy it; return whether that was so. Raises OSError."""
    try:
        temporary.replace(target)
    except PermissionError:
        if target.exists():
            raise
        try:
            os.link(temporary, target)
        except OSError:
            copy_private(temporary, target, durable=True)
        with contextlib.suppress(OSError):
            temporary.unlink()
        return True
    return False
