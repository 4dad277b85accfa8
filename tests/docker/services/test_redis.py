"""Redis in its official image, from the service's own specification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters import redis_client
from ragops.services.contract import Endpoint, Status
from ragops.services.redis.health import probe

if TYPE_CHECKING:
    import redis


def client(endpoint: Endpoint, role: str = "operator") -> redis.Redis:
    login = endpoint.logins[role]
    return redis_client.connect(endpoint.host, endpoint.port, login.user, login.password)


@pytest.fixture(scope="module")
def service(start: Any) -> Any:
    return start("redis", maxmemory="32mb").wait_healthy()


def test_it_is_what_was_asked_for(service: Any) -> None:
    with client(service.endpoint) as connection:
        info = connection.info()
        config = connection.config_get("appendonly", "appendfsync", "aof-use-rdb-preamble", "save", "dir")
    assert info["redis_version"] == service.endpoint.version
    assert config == {
        "appendonly": "yes", "appendfsync": "everysec", "aof-use-rdb-preamble": "yes",
        "save": "900 1 300 10 60 10000", "dir": "/data/current",
    }  # fmt: skip
    assert info["maxmemory"] == 32 << 20


def test_probe(service: Any) -> None:
    found = probe(service.endpoint, 5)
    assert {check.status for check in found.checks} == {Status.OK}, found
    assert found.version == service.endpoint.version
    assert "disk" not in {check.name for check in found.checks}, "the folder that it names is not this machine's"


def test_the_health_login_may_do_nothing_but_ping(service: Any) -> None:
    ask = "redis-cli --user health --pass none --no-auth-warning"
    assert service.sh(f"{ask} PING").strip() == "PONG"
    for command in ("GET x", "INFO", "ACL WHOAMI", "KEYS '*'", "CONFIG GET dir", "SUBSCRIBE x"):
        assert "NOPERM" in service.sh(f"{ask} {command}"), command
    assert "NOAUTH" in service.sh("redis-cli PING")


def test_no_secret_in_what_docker_shows(service: Any) -> None:
    raw = str(service.docker.api.inspect_container(service.name))
    assert "hunter2" not in raw
    assert "hunter2" not in service.sh("cat /etc/ragops/*")
