"""A repository in a folder: of this machine, or of a server that is mounted here."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import stat
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from ragops.adapters.files import SECRET_MODE, explain_os_error, sync_dir
from ragops.adapters.storage.append_only import NewFile, put_in_place
from ragops.adapters.storage.errors import refusal_error
from ragops.adapters.storage.folder_tree import make_folders, sync, walk
from ragops.adapters.storage.mounts import is_local
from ragops.adapters.storage.names import check_path
from ragops.adapters.storage.temp_files import clear_folder, make_temporary_name
from ragops.errors import MissingError, RagopsError, StoreMissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from ragops.adapters.storage import FileEntry

_T = TypeVar("_T")
_BUFFER = 1 << 20
_TRIES = 100
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_MISSING_HINT = "it may have been removed; list what is there with `ragops backup list`"
_LOST = (errno.ESTALE, errno.EIO, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN)


class FolderStore:
    """Files below `folder`, which may be missing until the first one is written."""

    is_remote = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = str(folder)
        self._seen: tuple[int, int] | None = None
        self._adds = False  # it is known to let nothing be renamed

    @property
    def has_atomic_replace(self) -> bool:
        """On file systems of this machine, where a folder is locked while it is read or changed."""
        return is_local(self.folder)

    @contextlib.contextmanager
    def open_write(self, path: str) -> Iterator[BinaryIO]:
        """See `Store`: a temporary file in the same folder, put in place by one rename."""
        target = self.folder / check_path(path)
        if self._adds:
            with self._adding(target) as stream:
                yield stream
            return
        temporary, stream = self._begin(target)
        try:
            yield stream
            with self._translate_errors(f"write {target}", target):
                sync(stream, temporary)
                self._same_place()
                self._adds = put_in_place(temporary, target)
                sync_dir(target.parent)
        finally:
            with contextlib.suppress(OSError, RagopsError):  # the first error is the one to report
                stream.close()
            with contextlib.suppress(OSError):
                temporary.unlink()

    @contextlib.contextmanager
    def open_read(self, path: str) -> Iterator[BinaryIO]:
        """See `Store`; what is no regular file, a symbolic link among them, is not there."""
        with self._translate_errors(f"read {self.folder / check_path(path)}"):
            handle = self._open(path)
        with io.BufferedReader(_File(handle, "rb", self, f"read {self.folder / path}"), _BUFFER) as stream:
            yield stream

    def read_all(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """See `Store`."""
        found: dict[str, bytes] = {}
        for path in paths:
            with contextlib.suppress(StoreMissingError), self.open_read(path) as stream:
                found[path] = stream.read()
        return found

    def list_entries(self, prefix: str = "") -> list[FileEntry]:
        """See `Store`; temporary files and symbolic links are not listed."""
        prefix = prefix.strip("/")
        with self._translate_errors(f"list {self.folder / prefix}"):
            if not self._same_place() or (prefix and self._link_on_the_way(check_path(prefix))):
                return []
            return sorted(walk(self.folder / prefix, f"{prefix}/" if prefix else ""), key=lambda entry: entry.path)

    def list_folders(self, prefix: str = "") -> list[str]:
        """See `Store`."""
        prefix = prefix.strip("/")
        with self._translate_errors(f"list {self.folder / prefix}"), contextlib.suppress(FileNotFoundError):
            if self._same_place() and not (prefix and self._link_on_the_way(check_path(prefix))):
                with os.scandir(self.folder / prefix) as found:
                    return sorted(item.name for item in found if item.is_dir(follow_symlinks=False))
        return []

    def remove(self, paths: Iterable[str]) -> None:
        """See `Store`; folders that this leaves empty go too."""
        last: Path | None = None
        for path in paths:
            target = self.folder / check_path(path)
            with self._translate_errors(f"remove {target}", target):
                if last is not None and last != target.parent:
                    self._settle(last)  # before the next one: a crash must not keep this and lose that
                last = self._unlink(target)
        if last is not None:
            with self._translate_errors(f"remove files in {last}"):
                self._settle(last)

    def free_bytes(self) -> int | None:
        """See `Store`."""
        place = next(folder for folder in (self.folder.absolute(), *self.folder.absolute().parents) if folder.exists())
        with self._translate_errors(f"ask for the free space of {place}"):
            return shutil.disk_usage(place).free

    def clear_leftovers(self) -> None:
        """Remove temporary files of killed runs, and any that were not changed for a day."""
        with self._translate_errors(f"clear {self.folder}"):
            if self._same_place():
                clear_folder(self.folder)

    # --- what the above is made of

    def _begin(self, target: Path) -> tuple[Path, BinaryIO]:
        doing = f"write {target}"
        with self._translate_errors(doing):
            self._make_private(self.folder)
            temporary = target.parent / make_temporary_name()
            handle = self._create(temporary)
        return temporary, io.BufferedWriter(_File(handle, "wb", self, doing), _BUFFER)

    @contextlib.contextmanager
    def _adding(self, target: Path) -> Iterator[BinaryIO]:
        """Write a new file if nothing may be renamed."""
        doing = f"write {target}"
        with self._translate_errors(doing, target), contextlib.ExitStack() as stack:
            self._make_private(self.folder)
            make_folders(target.parent, self.folder)
            added = NewFile(target)
            stack.callback(added.close)
            stream = io.BufferedWriter(_File(added.handle(), "wb", self, doing), _BUFFER)
            closing = stack.enter_context(contextlib.closing(stream))
            kept = stack.pop_all()
        with kept:
            yield stream
            with self._translate_errors(doing, target):
                closing.close()
                self._same_place()
                added.commit()
                sync_dir(target.parent)

    def _create(self, temporary: Path) -> int:
        """Create the file; another run may remove the folder between its creation and the first file in it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        for _ in range(_TRIES):
            self._same_place()  # or the repository itself would be created again, on a disk that is not its own
            with contextlib.suppress(FileNotFoundError):
                make_folders(temporary.parent, self.folder)
                return os.open(temporary, flags, SECRET_MODE)
        return os.open(temporary, flags, SECRET_MODE)

    def _make_private(self, folder: Path) -> None:
        """Create what is missing of the way; a repository holds all data of the platform."""
        if self._seen is None:
            make_folders(folder)
        self._same_place()
        if not os.access(folder, os.W_OK):
            raise self._read_only()

    def _read_only(self) -> MissingError:
        what = f"cannot write to {self.folder}"
        return MissingError(
            "repository_read_only", what, "check its owner and mode, or that it is not mounted read-only"
        )

    def _same_place(self) -> bool:
        """Return whether the folder is there. Raises MissingError if it was and is not, or is another one now."""
        try:
            found = self.folder.stat()
        except (FileNotFoundError, NotADirectoryError):
            if self._seen is None:
                return False
            raise self._lost("is gone") from None
        if self._seen not in (None, (found.st_dev, found.st_ino)):
            raise self._lost("is another folder than when this run began")
        self._seen = (found.st_dev, found.st_ino)
        return True

    def _lost(self, how: str) -> MissingError:
        return MissingError("repository_unreachable", f"the repository {self.folder} {how}", "is it still mounted?")

    def _open(self, path: str) -> int:
        missing = StoreMissingError("repository_file_missing", f"there is no {path} in {self.name}", _MISSING_HINT)
        if not self._same_place() or self._link_on_the_way(path):
            raise missing
        try:
            handle = os.open(self.folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in _GONE:
                raise missing from error
            raise
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise missing
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        return handle

    def _link_on_the_way(self, path: str) -> bool:
        parts = path.split("/")
        return any(self.folder.joinpath(*parts[: count + 1]).is_symlink() for count in range(len(parts)))

    def _unlink(self, target: Path) -> Path:
        self._same_place()
        if not self._link_on_the_way(target.parent.relative_to(self.folder).as_posix()):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                try:
                    target.unlink()
                except IsADirectoryError as error:  # a folder that we may not read is listed as a file
                    raise PermissionError(errno.EACCES, "we may not read it", str(target)) from error
        return target.parent

    def _settle(self, folder: Path) -> None:
        """Make removals in `folder` durable, and take away what is empty of the way up."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            sync_dir(folder)
        while folder != self.folder and self.folder in folder.parents:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                return  # not empty, most of the time; an empty folder is no harm
            folder = folder.parent

    @contextlib.contextmanager
    def _translate_errors(self, doing: str, target: Path | None = None) -> Iterator[None]:
        """Failures as ours; if `target` is there and must not be touched, the folder takes new files only."""
        try:
            yield
        except (PermissionError, FileExistsError) as error:
            if target is not None and os.path.isfile(target):  # noqa: PTH113  which may not be permitted
                raise refusal_error(doing, self.name) from error
            raise self.explain(error, doing) from error
        except OSError as error:
            raise self.explain(error, doing) from error

    def explain(self, error: OSError, doing: str) -> RagopsError:
        """Return the RagopsError of a failed file operation in this repository."""
        if error.errno == errno.EROFS:
            return self._read_only()
        if error.errno in _LOST:
            return self._lost(f"does not answer any more: {error.strerror}")
        if error.errno in _GONE:
            with contextlib.suppress(OSError):
                try:
                    self._same_place()
                except MissingError as lost:  # the file is missing because all is
                    return lost
        return explain_os_error(error, doing)


class _File(io.FileIO):
    """A file whose failures are RagopsErrors, wherever in a pipeline of streams they occur."""

    def __init__(self, handle: int, mode: str, store: FolderStore, doing: str) -> None:
        super().__init__(handle, mode)
        self._store, self._doing = store, doing

    def write(self, data: Any, /) -> int:
        return self._explained(lambda: super(_File, self).write(data))

    def readinto(self, buffer: Any, /) -> int:
        return self._explained(lambda: super(_File, self).readinto(buffer))

    def readall(self) -> bytes:
        return self._explained(super().readall)

    def _explained(self, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except OSError as error:
            raise self._store.explain(error, self._doing) from error
