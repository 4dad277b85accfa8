"""Runs the health check of a ServiceSpec once, on this machine."""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING

from ragops.services.spec import ExecCheck, HttpCheck, TcpCheck

if TYPE_CHECKING:
    from ragops.services.spec import HealthCheck

_HOST = "127.0.0.1"


def passes(check: HealthCheck, timeout: float) -> bool:
    """Whether the check succeeds within `timeout` seconds."""
    match check:
        case TcpCheck():
            return _tcp(check, timeout)
        case HttpCheck():
            return _http(check, timeout)
        case ExecCheck():
            return _exec(check, timeout)


def _tcp(check: TcpCheck, timeout: float) -> bool:
    try:
        with socket.create_connection((_HOST, check.port), timeout) as connection:
            if not check.send:
                return True
            connection.sendall(check.send.encode("latin-1"))
            answer = connection.recv(256).decode("latin-1")
    except OSError:
        return False
    return answer.startswith(check.expect)


def _http(check: HttpCheck, timeout: float) -> bool:
    import httpx  # here alone: it takes longer to import than most commands take to run

    try:
        return httpx.get(f"http://{_HOST}:{check.port}{check.path}", timeout=timeout).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _exec(check: ExecCheck, timeout: float) -> bool:
    try:
        return subprocess.run(check.command, capture_output=True, timeout=timeout, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
