"""TCP ports of this machine: which process listens on one, and whether one is free."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

import psutil

_EVERY_ADDRESS = ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"))  # noqa: S104  bound for a moment, never listened on


@dataclass(frozen=True)
class PortOwner:
    """The process that listens on a port; `pid` is 0 if the system does not show it."""

    port: int
    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})" if self.pid else "a process of another user"


def port_owner(port: int) -> PortOwner | None:
    """Return the process that listens on TCP `port` of any address of this machine; None if the port is free."""
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,):
            return PortOwner(port, connection.pid or 0, _name(connection.pid))
    return None


def is_free(port: int) -> bool:
    """Return whether a service could listen on TCP `port` of every address of this machine.

    A listener on one of its addresses is enough to fail: services may be published on all of them.
    """
    return all(_can_bind(family, address, port) for family, address in _EVERY_ADDRESS)


def _can_bind(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        probe = socket.socket(family)
    except OSError:  # without IPv6 nothing listens there
        return True
    with probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno == errno.EADDRNOTAVAIL  # no address of this family
    return True


def _name(pid: int | None) -> str:
    try:
        return psutil.Process(pid).name() if pid else ""
    except psutil.Error:
        return "a process"
