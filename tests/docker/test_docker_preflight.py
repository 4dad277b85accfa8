"""What would make `up` fail half-way, and what doctor says, on a real engine."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.docker.client import DockerHost
from ragops.adapters.docker.inspect import list_all_containers
from ragops.config.load import Project
from ragops.config.model import Settings
from ragops.config.paths import ProjectPaths
from ragops.errors import ExitCode, RagopsError
from ragops.runtimes.docker.inspect import doctor as docker_doctor
from ragops.runtimes.docker.inspect import preflight as docker_preflight
from ragops.services.contract import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IMAGE = "redis:8.0.2"


@pytest.fixture
def project(mine, tmp_path: Path) -> Project:
    settings = Settings(name=mine.prefix, runtime="docker", observability=False)
    return Project(settings, ProjectPaths(tmp_path, "default"), tmp_path / "ragops.yaml")


def publish(docker: DockerHost, name: str, image: str, port: int, labels: dict[str, str]) -> None:
    host: dict[str, Any] = {"PortBindings": {"6379/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}}
    docker.create(name, {"Image": image, "Cmd": ["sleep", "60"], "Labels": labels, "HostConfig": host})
    docker.start(name)


def test_a_port_of_another_container_is_taken_ours_is_not(
    docker: DockerHost, image: Callable[[str], str], mine, project: Project, free_port: Callable[[], int]
) -> None:
    theirs, ours = free_port(), free_port()
    names = docker_preflight.names_of(project)
    publish(docker, mine.name("theirs"), image(IMAGE), theirs, {})
    publish(docker, names.container("redis"), image(IMAGE), ours, names.labels("redis", "redis"))
    docker_preflight.refuse_taken_port(docker, project, list_all_containers(docker), "redis", ours)
    with pytest.raises(RagopsError) as caught:
        docker_preflight.refuse_taken_port(docker, project, list_all_containers(docker), "redis", theirs)
    assert (caught.value.code, caught.value.exit_code) == ("port_taken", ExitCode.MISSING)
    assert mine.name("theirs") in caught.value.message


def test_a_port_of_a_process_is_taken(docker: DockerHost, project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with pytest.raises(RagopsError) as caught:
            docker_preflight.refuse_taken_port(docker, project, (), "redis", server.getsockname()[1])
        assert "python" in caught.value.message or "pytest" in caught.value.message


def test_names_of_somebody_elses_containers_and_networks_are_taken(
    docker: DockerHost, image: Callable[[str], str], project: Project
) -> None:
    names = docker_preflight.names_of(project)
    docker_preflight.refuse_taken_names(docker, names, list_all_containers(docker))
    docker.create(names.container("qdrant-2"), {"Image": image(IMAGE)})
    with pytest.raises(RagopsError) as caught:
        docker_preflight.refuse_taken_names(docker, names, list_all_containers(docker))
    assert (caught.value.code, caught.value.exit_code) == ("name_taken", ExitCode.USAGE)
    assert f"docker rm -f {names.container('qdrant-2')}" in caught.value.hint
    docker.remove(names.container("qdrant-2"), force=True)
    docker.api.create_network(names.network)
    with pytest.raises(RagopsError, match=names.network):
        docker_preflight.refuse_taken_names(docker, names, ())


def test_a_full_disk_is_refused(docker: DockerHost, monkeypatch: pytest.MonkeyPatch) -> None:
    docker_preflight.refuse_full_disk(docker)
    monkeypatch.setattr(docker_preflight, "MIN_FREE_BYTES", 1 << 62)
    with pytest.raises(RagopsError) as caught:
        docker_preflight.refuse_full_disk(docker)
    assert (caught.value.code, caught.value.exit_code) == ("disk_full", ExitCode.MISSING)
    assert docker.engine().root_dir in caught.value.message


def test_doctor_says_all_there_is_to_say_of_this_engine(docker: DockerHost, project: Project) -> None:
    found = docker_doctor.doctor_checks(docker, project)
    names = {check.name for check in found}
    assert {"docker", "plugin", "disk", "storage", "limits", "security", "loopback", "image", "port"} <= names
    engine = next(check for check in found if check.name == "docker")
    assert engine.status is Status.OK
    assert docker.engine().version in engine.detail
    assert all(check.hint for check in found if check.status is not Status.OK)


def test_without_an_engine_it_says_that_alone(project: Project, tmp_path: Path) -> None:
    found = docker_doctor.doctor_checks(DockerHost(f"unix://{tmp_path}/nothing.sock"), project)
    assert [check.name for check in found] == ["docker", "plugin"]
    assert found[0].status is Status.DOWN
    assert "systemctl start docker" in found[0].hint
