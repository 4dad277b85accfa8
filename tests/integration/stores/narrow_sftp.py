"""An SFTP server that lets nothing be removed, renamed or changed."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar

import paramiko  # type: ignore[import-untyped]

from tests.integration.stores.conftest import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class _Server(paramiko.ServerInterface):  # type: ignore[misc]
    def check_auth_password(self, username: str, password: str) -> int:
        return int(paramiko.AUTH_SUCCESSFUL)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)


class _Interface(paramiko.SFTPServerInterface):  # type: ignore[misc]
    """What OpenSSH's `sftp-server -P remove,rename,posix-rename,rmdir,setstat` permits."""

    root: ClassVar[Path]

    def _real(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def _told(self, call: Any) -> Any:
        try:
            return call()
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)

    def list_folder(self, path: str) -> Any:
        names = self._told(lambda: sorted(item.name for item in self._real(path).iterdir()))
        if not isinstance(names, list):
            return names
        found = []
        for name in names:
            with suppress(FileNotFoundError):
                found.append(paramiko.SFTPAttributes.from_stat((self._real(path) / name).stat(), name))
        return found

    def stat(self, path: str) -> Any:
        return self._told(lambda: paramiko.SFTPAttributes.from_stat(self._real(path).stat()))

    lstat = stat

    def mkdir(self, path: str, attr: Any) -> Any:
        return self._told(lambda: self._real(path).mkdir() or paramiko.SFTP_OK)

    def open(self, path: str, flags: int, attr: Any) -> Any:
        def opened() -> Any:
            handle = paramiko.SFTPHandle(flags)
            stream = os.fdopen(os.open(self._real(path), flags, 0o600), "wb" if flags & os.O_WRONLY else "rb")
            handle.readfile = handle.writefile = stream
            return handle

        return self._told(opened)

    def _refuse(self, *_paths: object) -> int:
        return int(paramiko.SFTP_PERMISSION_DENIED)

    remove = rename = posix_rename = rmdir = chattr = _refuse


@contextmanager
def sftp_without_renames(home: Path) -> Iterator[Place]:
    """A server that lets nothing be removed, renamed or changed."""
    (home / "served").mkdir()
    listener = socket.create_server(("127.0.0.1", 0))
    key, interface = paramiko.RSAKey.generate(2048), type("Interface", (_Interface,), {"root": home / "served"})
    transports: list[Any] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, interface)
            with suppress(Exception):
                transport.start_server(server=_Server())
                transports.append(transport)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    options = {
        "username": "x", "password": "x", "known_hosts": "", "host_key_policy": "auto_add",
        "allow_agent": False, "look_for_keys": False,
    }  # fmt: skip
    try:
        yield Place("sftp", f"sftp://127.0.0.1:{listener.getsockname()[1]}/repository", options)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for transport in transports:
            transport.close()
        thread.join(10)
