"""Waiting for a container that serves, and bringing back one that does not, on the real engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.docker.inspect import unpause
from ragops.errors import RagopsError, decode_error
from ragops.runtimes.docker.provision.readiness import ReadyProvider, Wanted, make_ready

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.adapters.docker.client import DockerHost

SECOND = 10**9
# Serves while the file is there; it goes with whatever makes the container unhealthy, and comes with every start.
SERVES = "trap 'exit 0' TERM; touch /tmp/serves; while :; do sleep 0.1; done"


@pytest.fixture
def made(docker: DockerHost, image: Callable[[str], str], mine: Any) -> Callable[..., str]:
    """A function: a container of this test's own that runs `script`, by its name."""

    def make(script: str = SERVES, **host: Any) -> str:
        name = mine.name("ready")
        check = {"Test": ["CMD", "test", "-e", "/tmp/serves"], "Interval": SECOND // 2, "Timeout": SECOND, "Retries": 1}
        config = {"Image": image("debian:trixie-slim"), "Entrypoint": ["bash", "-c", script], "Healthcheck": check}
        docker.create(name, {**config, "HostConfig": {"NetworkMode": "none", **host}, "Labels": mine.labels})
        return name

    return make


def wanted(name: str, seconds: float = 20) -> Wanted:
    return Wanted(name, seconds, 5.0)


def started(docker: DockerHost, name: str) -> Any:
    found = docker.container(name)
    assert found
    return found.state.started


def test_one_that_was_never_started_and_one_that_was_stopped_are_started(docker: DockerHost, made: Any) -> None:
    name = made()
    make_ready(docker, wanted(name))
    first = started(docker, name)
    docker.stop(name, 5)
    make_ready(docker, wanted(name))
    assert started(docker, name) > first


def test_one_that_serves_is_left_alone(docker: DockerHost, made: Any) -> None:
    name = made()
    make_ready(docker, wanted(name))
    first = started(docker, name)
    make_ready(docker, wanted(name))
    assert started(docker, name) == first


def test_a_paused_one_goes_on(docker: DockerHost, made: Any) -> None:
    name = made()
    make_ready(docker, wanted(name))
    docker.api.pause(name)
    try:
        make_ready(docker, wanted(name))
    except BaseException:
        unpause(docker, name)
        raise
    found = docker.container(name)
    assert found
    assert found.state.status == "running"


def test_an_unhealthy_one_is_restarted(docker: DockerHost, made: Any, wait_until: Any) -> None:
    name = made()
    make_ready(docker, wanted(name))
    first = started(docker, name)
    docker.exec(name, ("rm", "/tmp/serves"))
    wait_until(lambda: docker.container(name).state.health == "unhealthy", 60, "the container to be unhealthy")  # type: ignore[union-attr]
    make_ready(docker, wanted(name))
    assert started(docker, name) > first


@pytest.mark.parametrize(
    ("script", "host", "says"),
    [
        ("echo last words >&2; exit 3", {}, "ended with 3"),
        ("echo last words; exit 4", {"RestartPolicy": {"Name": "unless-stopped"}}, "crashes again and again"),
        ("echo last words; sleep 1000", {}, "was not healthy within"),
    ],
)
def test_one_that_will_not_serve_fails_with_its_last_words(
    docker: DockerHost, made: Any, script: str, host: dict[str, Any], says: str
) -> None:
    name = made(script, **host)
    with pytest.raises(RagopsError) as caught:
        make_ready(docker, wanted(name, 3))
    assert (caught.value.code, says in caught.value.message) == ("service_failed", True)
    assert "last words" in caught.value.hint


def test_the_provider_tells_what_is_so(docker: DockerHost, made: Any) -> None:
    name, provider = made(), ReadyProvider()
    props = {"container": name, "start_timeout": 20.0, "stop_grace": 5.0, "container_id": docker.container(name).id}  # type: ignore[union-attr]
    outs = provider.create(props).outs
    assert outs
    assert outs["state"] == "running"
    assert not provider.diff(name, outs, props).changes
    assert provider.diff(name, outs, {**props, "container_id": "another"}).changes
    docker.stop(name, 5)
    stopped = provider.read(name, outs).outs
    assert "stopped" in stopped["state"]
    assert provider.diff(name, stopped, props).changes
    assert provider.update(name, stopped, props).outs == outs
    docker.remove(name, force=True)
    assert provider.read(name, outs).outs["state"] == "gone"
    with pytest.raises(RuntimeError) as caught:
        provider.update(name, outs, props)
    error = decode_error(str(caught.value))
    assert error
    assert error.code == "docker_not_found"
