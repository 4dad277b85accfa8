"""Atomic writes, with the right mode from the first byte on."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

from ragops.errors import MissingError, RagopsError

SECRET_MODE = 0o600
PUBLIC_MODE = 0o644


def explain_os_error(error: OSError, doing: str) -> RagopsError:
    """Return the RagopsError of a failed file operation; `doing` is what was attempted, such as "write FILE"."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return MissingError(
            "disk_full", f"cannot {doing}: no space left on the device", "free some space, then run the command again"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return _not_permitted(error, doing)
    hints = {
        errno.ENOENT: "make the folder first",
        errno.ENOTDIR: "a file is where a folder should be: name another place",
        errno.EIO: "the disk or the connection to it has failed: look at the kernel's log",
    }
    return RagopsError("file_error", f"cannot {doing}: {error.strerror or error}", hints.get(error.errno or 0, ""))


def _not_permitted(error: OSError, doing: str) -> RagopsError:
    """Names what really stands in the way, which may be a folder above, or one that another user left."""
    place = _in_the_way(Path(os.fsdecode(error.filename))) if isinstance(error.filename, str | bytes) else None
    if place is None or error.errno == errno.EROFS:
        hint = (
            "check the mount of that folder"
            if error.errno == errno.EROFS
            else "check the owner and mode of that folder"
        )
        return RagopsError("not_permitted", f"cannot {doing}: {error.strerror}", hint)
    info = place.lstat()
    owner, me = _user(info.st_uid), _user(os.geteuid())
    what = f"cannot {doing}: {error.strerror}: {place} belongs to {owner} (mode {stat.S_IMODE(info.st_mode):04o})"
    if info.st_uid == os.geteuid():
        return RagopsError("not_permitted", what, f"give yourself the right to it: `chmod u+rwX {place}`")
    hint = f"give it to the user who runs this: `sudo chown -R {me} {place}`; or run the command as {owner}"
    return RagopsError("not_permitted", what, hint)


def _in_the_way(path: Path) -> Path | None:
    """Return the topmost part of the path that this user may not pass, write or read."""
    for folder in reversed(path.absolute().parents):
        try:
            folder.lstat()
        except OSError:
            break
        if not _may(folder, os.X_OK):
            return folder
    for place in (path.absolute(), *path.absolute().parents):
        with contextlib.suppress(OSError):
            place.lstat()
            needed = os.W_OK | os.X_OK if place.is_dir() else os.R_OK | os.W_OK
            if not _may(place, needed):
                return place
            if place != path.absolute():
                return None
    return None


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _user(uid: int) -> str:
    with contextlib.suppress(KeyError, ImportError):
        import pwd

        return pwd.getpwuid(uid).pw_name
    return str(uid)


def make_dir(path: Path, mode: int = 0o755) -> Path:
    """Create `path` and its parents; `mode` holds for the folders that are new."""
    try:
        for folder in [*reversed(path.parents), path]:
            if not folder.exists():
                folder.mkdir(exist_ok=True)
                folder.chmod(mode)
    except OSError as error:
        raise explain_os_error(error, f"create the folder {path}") from error
    return path


def write_atomic(path: Path, content: str | bytes, mode: int = PUBLIC_MODE) -> None:
    """Put `content` at `path` in one rename, durable when this returns.

    Raises MissingError (disk_full) or RagopsError (not_permitted, file_error); `path` then is as it was before.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = ""
    try:
        make_dir(path.parent)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600 by definition
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise explain_os_error(error, f"write {path}") from error
    sync_dir(path.parent)


def create_private(path: Path) -> BinaryIO:
    """Open the new file `path` for writing, readable by this user alone. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, SECRET_MODE)
    return os.fdopen(handle, "wb")


def copy_private(source: Path, target: Path, *, durable: bool = False) -> None:
    """Copy a file to the new file `target`, readable by this user alone. Raises OSError."""
    with source.open("rb") as stream, create_private(target) as copy:
        shutil.copyfileobj(stream, copy, 1 << 20)
        if durable:
            copy.flush()
            os.fsync(copy.fileno())


def sync_dir(path: Path) -> None:
    """Make the renames inside `path` durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def size_below(folder: Path) -> int:
    """Return the bytes of all files below `folder` that this user may list."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(place) / name).lstat().st_size
    return total
