"""Inspections of the Docker API as values, and its failures as errors with a cure."""

from __future__ import annotations

import errno
from datetime import UTC, datetime

import pytest
from docker.errors import APIError, DockerException
from requests import Response
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import ReadTimeout

from ragops.adapters.docker import values
from ragops.adapters.docker.errors import explain
from ragops.errors import ExitCode

CONTAINER = {
    "Id": "abc",
    "Name": "/rag-default-redis",
    "Image": "sha256:1",
    "Created": "2026-01-02T03:04:05.123456789Z",
    "RestartCount": 3,
    "Config": {
        "Image": "redis:8.0.2",
        "User": "redis",
        "Labels": {"io.ragops.service": "redis"},
        "Cmd": ["redis-server"],
        "Healthcheck": {"Test": ["CMD", "redis-cli", "ping"]},
    },
    "State": {
        "Status": "exited",
        "ExitCode": 137,
        "OOMKilled": True,
        "StartedAt": "2026-01-02T03:04:06Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
        "Health": {"Status": "unhealthy"},
        "Pid": 0,
    },
    "HostConfig": {
        "Memory": 1024,
        "PortBindings": {"6379/tcp": [{"HostIp": "127.0.0.1", "HostPort": "16379"}], "1/udp": None},
    },
    "Mounts": [
        {
            "Type": "volume",
            "Name": "v",
            "Source": "/var/lib/docker/volumes/v/_data",
            "Destination": "/data",
            "RW": True,
        },
        {"Type": "bind", "Source": "/etc/x", "Destination": "/x", "RW": False},
    ],
    "NetworkSettings": {"Networks": {"rag-default": {}}},
}


def test_a_container() -> None:
    found = values.container(CONTAINER)
    assert found.name == "rag-default-redis"
    assert found.state.oom_killed
    assert (found.state.health, found.state.restarts, found.state.exit_code) == ("unhealthy", 3, 137)
    assert found.state.finished is None
    assert found.created == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)
    assert found.ports == (values.PublishedPort(6379, "127.0.0.1", 16379),)
    assert found.mounts == (values.Mount("volume", "v", "/data"), values.Mount("bind", "/etc/x", "/x", read_only=True))
    assert found.limit == 1024
    assert found.check == ("redis-cli", "ping")


def test_memory_without_what_the_kernel_could_drop() -> None:
    assert values.memory_used({"memory_stats": {"usage": 100, "stats": {"inactive_file": 30}}}) == 70  # cgroup 2
    assert values.memory_used({"memory_stats": {"usage": 100, "stats": {"total_inactive_file": 40}}}) == 60
    assert values.memory_used({"memory_stats": {}}) == 0


def api_error(status: int, said: str) -> APIError:
    response = Response()
    response.status_code = status
    return APIError("x", response=response, explanation=said)


def wrapped(cause: Exception) -> DockerException:
    """As docker-py and requests wrap it."""
    outer = DockerException(f"Error while fetching server API version: {cause}")
    outer.__cause__ = RequestsConnectionError(("Connection aborted.", cause), cause)
    return outer


@pytest.mark.parametrize(
    ("error", "code", "exit_code", "hint"),
    [
        (wrapped(FileNotFoundError(2, "No such file")), "docker_missing", 7, "systemctl start docker"),
        (wrapped(ConnectionRefusedError(111, "refused")), "docker_missing", 7, "systemctl start docker"),
        (wrapped(PermissionError(13, "denied")), "docker_missing", 7, "usermod -aG docker"),
        (ReadTimeout("Read timed out."), "docker_timeout", 1, "busy"),
        (api_error(404, "No such container: x"), "docker_not_found", 1, "ragops up"),
        (api_error(409, "in use"), "docker_conflict", 1, "docker ps"),
        (api_error(500, "boom"), "docker_failed", 1, "log"),
        (api_error(500, "write /x: no space left on device"), "disk_full", 7, "free"),
        (OSError(errno.ENOSPC, "full"), "disk_full", 7, "free"),
    ],
)
def test_failures_say_the_cure(error: Exception, code: str, exit_code: int, hint: str) -> None:
    found = explain(error, "start it", "unix:///x.sock")
    assert found.code == code
    assert found.exit_code == ExitCode(exit_code)
    assert hint in found.hint
