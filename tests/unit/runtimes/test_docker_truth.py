"""The state of a container in words, and what doctor makes of an engine: pure parts of the docker machine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ragops.adapters.docker.inspect import extract_settings
from ragops.adapters.docker.values import Container, Engine, State
from ragops.runtimes.docker.inspect import doctor as docker_doctor
from ragops.runtimes.docker.inspect import preflight as docker_preflight
from ragops.runtimes.docker.inspect.drift import state_of, uptime
from ragops.runtimes.docker.inspect.provisioned import Provisioned, Record, record_file
from ragops.services.contract import Status

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def container(status: str = "running", ago: float = 3600, limit: int = 0, **state: Any) -> Container:
    found = State(status, started=NOW - timedelta(seconds=ago), **state)
    return Container("id", "rag-default-redis", {}, "sha256:1", "redis", found, limit=limit)


@pytest.mark.parametrize(
    ("found", "before", "words"),
    [
        (None, 0, "gone"),
        (container(), 0, "running"),
        (container(health="starting"), 0, "running"),
        (container(health="healthy"), 0, "running"),
        (container(health="unhealthy"), 0, "unhealthy"),
        (container("paused"), 0, "paused"),
        (container("created"), 0, "created and never started"),
        (container("exited"), 0, "stopped"),
        (container("exited", exit_code=137), 0, "stopped"),
        (container("exited", exit_code=78), 0, "stopped: it ended with 78"),
        (
            container("exited", exit_code=137, oom_killed=True, limit=256 << 20),
            0,
            "stopped: it needed more memory than its limit of 256 MiB",
        ),
        (container("restarting", restarts=2, exit_code=1), 0, "restarting in a loop (2 times, it ended with 1)"),
        (
            container("restarting", restarts=2, exit_code=137, oom_killed=True),
            0,
            "restarting in a loop (2 times, it needs more memory than its limit)",
        ),
        (container(ago=5, restarts=4, exit_code=1), 0, "restarting in a loop (4 times, it ended with 1)"),
        (container(ago=5, restarts=4), 3, "running"),
        (container(ago=3600, restarts=9), 0, "running"),
    ],
)
def test_words_for_a_state(found: Container | None, before: int, words: str) -> None:
    assert state_of(found, before, NOW) == words


def test_uptime_is_that_of_the_last_start() -> None:
    assert uptime(container(ago=90), NOW) == 90
    assert uptime(container("exited", ago=90), NOW) == 0


RAW = {
    "Id": "abcdef0123456789",
    "Name": "/rag-default-redis",
    "Image": "sha256:1",
    "Config": {"Entrypoint": ["sh"], "Cmd": ["-c", "x"], "Env": ["B=2", "A=hunter2"], "User": "redis"},
    "HostConfig": {
        "Memory": 1024,
        "RestartPolicy": {"Name": "unless-stopped"},
        "PortBindings": {"6379/tcp": [{"HostIp": "127.0.0.1", "HostPort": "7000"}]},
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "ReadonlyRootfs": True,
    },
    "Mounts": [{"Type": "volume", "Name": "v", "Destination": "/data", "RW": True}],
    "NetworkSettings": {"Networks": {"rag-default": {"Aliases": ["redis", "abcdef012345"]}}},
}


def test_settings_of_an_inspection_hold_no_value_of_a_variable() -> None:
    found = extract_settings(RAW)
    assert "hunter2" not in str(found)
    assert found["environment"].startswith("A=")
    assert found["published ports"] == "127.0.0.1:7000→6379/tcp"
    assert found["network names"] == "redis"
    assert found["capabilities"] == "-ALL"
    assert found["root"] == "read-only"
    assert found["mounts"] == "v:/data"


def test_a_record_is_read_as_it_was_written(tmp_path) -> None:
    record = Record((Provisioned("redis", "redis", "id", "redis:8", 2, {"user": "redis"}, ("v",)),), "net")
    record_file(tmp_path / "run" / "containers.json").write(record)
    assert record_file(tmp_path / "run" / "containers.json").read() == record
    assert record.known == {"id", "net"}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"containers": [{"id": 1}], "network": ""}', "{}"])
def test_a_damaged_record_is_none(tmp_path, text: str) -> None:
    (tmp_path / "containers.json").write_text(text)
    assert (record_file(tmp_path / "containers.json").read() or Record()) == Record()
    assert (record_file(tmp_path / "nothing.json").read() or Record()) == Record()


# --- doctor -------------------------------------------------------------------------------------------------------


def facts(**values: Any) -> Engine:
    usual: dict[str, Any] = {"version": "28", "api": "1.48", "os": "", "architecture": "amd64"} | {
        "root_dir": "/var/lib/docker", "storage_driver": "overlay2", "security": ("seccomp",), "warnings": (),
        "memory_limit": True, "name": "host",
    }  # fmt: skip
    return Engine(**{**usual, **values})


@pytest.mark.parametrize(
    ("check", "status"),
    [
        (docker_doctor.storage(facts()), Status.OK),
        (docker_doctor.storage(facts(storage_driver="vfs")), Status.DEGRADED),
        (docker_doctor.limits(facts()), Status.OK),
        (docker_doctor.limits(facts(memory_limit=False)), Status.DEGRADED),
        (docker_doctor.limits(facts(warnings=("WARNING: No memory limit support",))), Status.DEGRADED),
        (docker_doctor.security(facts()), Status.OK),
        (docker_doctor.security(facts(security=("rootless", "seccomp"))), Status.OK),
        (docker_doctor.security(facts(security=("apparmor",))), Status.DEGRADED),
        (docker_doctor.loopback("27.5.1", forwarding=True), Status.DEGRADED),
        (docker_doctor.loopback("20.10.24+dfsg1", forwarding=True), Status.DEGRADED),
        (docker_doctor.loopback("20.10.24+dfsg1", forwarding=False), Status.OK),
        (docker_doctor.loopback("28.0.1", forwarding=True), Status.OK),
    ],
)
def test_what_doctor_makes_of_an_engine(check: Any, status: Status) -> None:
    assert check.status is status
    assert bool(check.hint) == (status is not Status.OK)


class Url:
    def __init__(self, url: str) -> None:
        self.url = url


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("unix:///var/run/docker.sock", True),
        ("tcp://127.0.0.1:2375", True),
        ("tcp://10.0.0.7:2376", False),
        ("ssh://user@host", False),
    ],
)
def test_which_engine_is_this_machines(url: str, local: bool) -> None:
    assert docker_preflight.is_local(Url(url)) is local
