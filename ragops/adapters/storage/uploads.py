"""One file on its way into an object store: whole at the end, or nowhere."""

from __future__ import annotations

import contextlib
import errno
import io
from typing import TYPE_CHECKING, Any

from ragops.adapters.storage.drivers import ATOMIC, BLOCK, SFTP
from ragops.adapters.storage.temp_files import make_temporary_name
from ragops.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Callable

# S3 takes 10,000 parts of a file: parts grow with it, from 8 MiB to 50 MiB at 100 GB, to 430 MiB at 870 GB.
_PARTS = 2_000
_TRIES = 20


class Upload:
    """`stream` takes the content; then either `commit` or `discard`.

    `adds`: the server lets nothing be renamed, so that the file is written in its place; then it has to be a new one.
    """

    def __init__(self, files: Any, protocol: str, target: str, *, adds: bool = False) -> None:
        self._files, self._target = files, target
        self.adds = adds and protocol in SFTP
        self._atomic = protocol in ATOMIC
        folder = target.rpartition("/")[0]
        self._path = target if self._atomic or self.adds else f"{folder}/{make_temporary_name()}"
        self.size = 0
        self.stream: Any = self._open(folder, protocol)
        # A stream that is not closed would be closed, and so committed, by the garbage collector.
        self.stream._unclosable = True

    def _open(self, folder: str, protocol: str) -> Any:
        if protocol in SFTP:
            return self._open_new(folder)
        if not self._atomic:
            self._files.makedirs(folder, exist_ok=True)
        return self._files.open(self._path, "wb", block_size=BLOCK)

    def _open_new(self, folder: str) -> Any:
        """Open the file; another run may remove the folder between its creation and the first file in it."""
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError):
                self._files.make_folders(folder)
                return self._new(self._path)
        return self._new(self._path)

    def _new(self, path: str) -> Any:
        return self._told_apart(lambda: self._files.open_new(path), path)

    def _told_apart(self, call: Callable[[], Any], path: str) -> Any:
        """Raise PermissionError if the file exists: some servers only report a failure."""
        try:
            return call()
        except FileNotFoundError:
            raise
        except OSError as error:
            if self._files.is_there(path):
                raise PermissionError(errno.EACCES, "there is such a file") from error
            raise

    def write(self, data: Any) -> int:
        """Take all of `data`."""
        if hasattr(self.stream, "mpu") and not getattr(self._files, "fixed_upload_size", False):
            self.stream.blocksize = max(BLOCK, self.size // _PARTS)
        self.stream.write(data)
        self.size += len(data)
        return len(data)

    def commit(self) -> None:
        """Make it the file that was asked for."""
        self.stream._unclosable = False
        self.stream.close()
        if self._atomic:
            return
        found = self._files.info(self._path)["size"]
        if found != self.size:  # a server that has no room left does not always report it
            what = f"the server kept {found} of {self.size} bytes"
            raise MissingError("disk_full", what, "free some space there, then run the command again")
        if self._path == self._target:
            return
        try:
            self._files.mv(self._path, self._target)
        except PermissionError:
            if not hasattr(self._files, "copy_new"):
                raise
            self._add()

    def _add(self) -> None:
        """Write it again, in its place; the temporary file stays if nothing may be removed."""
        self._told_apart(lambda: self._files.copy_new(self._path, self._target), self._target)
        self.adds = True
        with contextlib.suppress(OSError):
            self._files.rm_file(self._path)

    def discard(self) -> None:
        """Leave nothing behind, as far as the server still listens."""
        with contextlib.suppress(Exception):
            self.stream.discard()
        with contextlib.suppress(AttributeError):  # not all kinds of streams let that be set, nor need it
            self.stream._unclosable, self.stream.closed = True, True
        if not self._atomic:
            with contextlib.suppress(Exception):
                self._files.rm_file(self._path)


class TranslatingStream(io.RawIOBase):
    """A stream that passes each call to `call`, which translates failures, wherever in a pipeline they occur."""

    def __init__(self, call: Callable[[Callable[[], Any]], Any], *, source: Any = None, sink: Any = None) -> None:
        self._call, self._source, self._sink = call, source, sink
        self.abandoned = False

    def readable(self) -> bool:
        """Return whether it has a source."""
        return self._source is not None

    def writable(self) -> bool:
        """Return whether it has a sink."""
        return self._sink is not None

    def seekable(self) -> bool:
        """Never."""
        return False

    def readinto(self, buffer: Any, /) -> int:
        """See `io.RawIOBase`."""
        data = self._call(lambda: self._source.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any, /) -> int:
        """See `io.RawIOBase`; writes all."""
        if self.abandoned:  # what a buffer above still holds goes nowhere
            return len(data)
        return int(self._call(lambda: self._sink.write(data)))
