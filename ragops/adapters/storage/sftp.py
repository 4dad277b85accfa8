"""SFTP as repositories need it: known hosts only, bounded waits, writes that are checked.

Imported on use: paramiko is heavy, and an extra. A connection is for one thread at a time.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import Any

import paramiko  # type: ignore[import-untyped]
from fsspec.implementations.sftp import SFTPFileSystem

_CONNECT, _ANSWER = 10.0, 60.0
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600
_LAST = 1024
_READ = 255 * 1024  # what OpenSSH answers with at most; paramiko's own 32 KiB wait for the line eight times as often
_POLICIES = {"auto_add": paramiko.AutoAddPolicy, "warning": paramiko.WarningPolicy}


class UnknownHostKeyError(paramiko.SSHException):  # type: ignore[misc]
    """The server's key is in no file of known hosts."""


class _Refuse(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:  # noqa: ARG002
        """Close the connection."""
        raise UnknownHostKeyError(f"the host key of {hostname} is not known")


class Sftp(SFTPFileSystem):  # type: ignore[misc]
    """One connection. `known_hosts`: a file besides ~/.ssh/known_hosts; `host_key_policy`: reject or auto_add."""

    def __init__(self, host: str, known_hosts: str = "", host_key_policy: str = "reject", **options: Any) -> None:
        self._known_hosts, self._policy = known_hosts, host_key_policy
        bounds = {
            "timeout": _CONNECT,
            "banner_timeout": _CONNECT,
            "auth_timeout": _CONNECT,
            "channel_timeout": _CONNECT,
        }
        super().__init__(host, **{**bounds, **options})

    def _connect(self) -> None:
        if self._policy != "reject" and self._policy not in _POLICIES:
            raise ValueError(f"host_key_policy is reject or auto_add, not {self._policy!r}")
        self.client = paramiko.SSHClient()
        self.client.load_system_host_keys()
        if self._known_hosts:
            self.client.load_host_keys(self._known_hosts)
        self.client.set_missing_host_key_policy(_POLICIES.get(self._policy, _Refuse)())
        try:
            self.client.connect(self.host, **self.ssh_kwargs)
            self.ftp = self.client.open_sftp()
            self.ftp.get_channel().settimeout(_ANSWER)
            # without it each small packet of a large one waits 40 ms for the one before to be acknowledged
            self.client.get_transport().sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            self.client.close()
            raise

    def alive(self) -> bool:
        """Return whether the connection still stands, as far as this side knows."""
        transport = self.client.get_transport()
        return bool(transport and transport.is_active())

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(Exception):
            self.client.close()

    def make_folders(self, folder: str) -> None:
        """Make what is missing of the way, for us alone."""
        if not folder.strip("/") or self.is_there(folder):
            return
        self.make_folders(folder.rpartition("/")[0])
        try:
            self.ftp.mkdir(folder, _FOLDER_MODE)
        except OSError:
            if not self.is_there(folder):  # else another run was faster
                raise

    def is_there(self, path: str) -> bool:
        """Return whether there is a file or folder of that name."""
        try:
            self.ftp.stat(path)
        except FileNotFoundError:
            return False
        return True

    def open_new(self, path: str) -> CheckedWrites:
        """Open a new file with mode 0600."""
        handle = self.ftp.open(path, "wxb")
        with contextlib.suppress(OSError):  # some servers have no modes
            handle.chmod(_FILE_MODE)
        return CheckedWrites(handle)

    def open_old(self, path: str) -> Any:
        """Open a file to read."""
        handle = self.ftp.open(path, "rb")
        handle.MAX_REQUEST_SIZE = _READ
        return handle

    def copy_new(self, old: str, new: str) -> None:
        """Copy to a new file with mode 0600; each block is acknowledged before the next one is read."""
        with self.open_old(old) as source, self.ftp.open(new, "wxb") as target:
            with contextlib.suppress(OSError):
                target.chmod(_FILE_MODE)
            while block := source.read(_READ):
                target.write(block)

    def mv(self, old: str, new: str) -> None:
        """Rename; what was at `new` is replaced."""
        try:
            self.ftp.posix_rename(old, new)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EACCES):
                raise
            with contextlib.suppress(FileNotFoundError):  # a server without that extension refuses to replace
                self.ftp.remove(new)
            self.ftp.rename(old, new)


class CheckedWrites:
    """Sends without waiting for each answer, and still looks at every one of them.

    paramiko throws the last answers away when a pipelined file is closed, a full disk's among them; it reads them
    all before a write that is not pipelined. So the last block is held back and written that way.
    """

    def __init__(self, handle: Any) -> None:
        self._handle, self._held = handle, b""
        handle.set_pipelined(True)

    def write(self, data: Any) -> int:
        """Take all of `data`."""
        if size := len(data):
            self._handle.write(self._held)
            rest = max(0, size - _LAST)
            self._handle.write(data[:rest])
            self._held = bytes(data[rest:])
        return size

    def close(self) -> None:
        """Write the rest. Raises what any of the writes failed with."""
        try:
            self._handle.set_pipelined(False)
            self._handle.write(self._held)
        finally:
            self._handle.close()

    def discard(self) -> None:
        """Close without the rest."""
        self._handle.close()
