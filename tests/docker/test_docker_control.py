"""Control of a service in a container: Redis on a real Docker engine."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from ragops.adapters.docker.client import ArchiveEntry, DockerHost
from ragops.errors import RagopsError
from ragops.runtimes.docker.control import DockerControl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REDIS = "redis:8.0.2"
# As the runtime starts it: its data lie in a folder of the volume, whole ones that wait there are taken.
START = """
set -eu; cd /data
[ -e current ] || [ ! -e current.ready ] || mv current.ready current
mkdir -p -m 700 current
exec "$@"
"""


@dataclass
class Redis:
    """A container as the runtime makes it, and its control."""

    docker: DockerHost
    name: str
    control: DockerControl
    port: int

    def ask(self, *words: str) -> str:
        done = self.docker.exec(self.name, ["redis-cli", *words])
        assert done.code == 0, done.error_text
        return done.text.strip()

    def volume(self, script: str) -> list[str]:
        """What a shell in the volume says."""
        container = self.docker.container(self.name)
        done = self.docker.run_once(
            f"{self.name}-look", container.image_id, ["sh", "-c", f"cd /v; {script}"],
            mounts={f"{self.name}-data": "/v"}, capabilities=["DAC_OVERRIDE", "FOWNER"],
        )  # fmt: skip
        assert done.code == 0, done.error_text
        return done.text.split()


@pytest.fixture
def redis(docker: DockerHost, image: Callable[[str], str], mine, free_port: Callable[[], int]) -> Iterator[Redis]:
    name, network, port = mine.name("redis"), mine.name("net"), free_port()
    docker.api.create_network(network, labels=mine.labels)
    docker.create(
        name,
        {
            "Image": image(REDIS),
            "User": "redis",
            "Entrypoint": ["sh", "-c", START, "sh"],
            "Cmd": ["redis-server", "--dir", "/data/current", "--save", "", "--protected-mode", "no"],
            "Labels": {**mine.labels, "io.ragops.service": "redis"},
            "Healthcheck": {"Test": ["CMD-SHELL", "redis-cli ping | grep -q PONG"], "Interval": 3600 * 10**9},
            "ExposedPorts": {"6379/tcp": {}},
            "StopTimeout": 20,
            "HostConfig": {
                "NetworkMode": network,
                "Binds": [f"{name}-config:/etc/ragops:ro", f"{name}-data:/data"],
                "PortBindings": {"6379/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]},
                "RestartPolicy": {"Name": "unless-stopped"},
                "CapDrop": ["ALL"],
                "ReadonlyRootfs": True,
            },
            "NetworkingConfig": {"EndpointsConfig": {network: {"Aliases": ["redis"]}}},
        },
    )
    control = DockerControl(name)
    control.start()
    return Redis(docker, name, control, port)


def test_stop_and_start(redis: Redis) -> None:
    assert redis.control.is_running()
    redis.control.stop()
    redis.control.stop()
    assert not redis.control.is_running()
    redis.control.start()
    redis.control.start()
    assert redis.ask("ping") == "PONG"


def test_more_arguments_for_one_start(redis: Redis, mine) -> None:
    redis.ask("save")
    redis.control.start(["--maxmemory", "123mb"])
    assert not redis.control.is_running()
    temporary = f"{redis.name}.temporary"
    answer = redis.docker.exec(temporary, ["redis-cli", "-h", "redis", "config", "get", "maxmemory"])
    assert answer.text.split() == ["maxmemory", str(123 << 20)]
    with socket.create_connection(("127.0.0.1", redis.port), timeout=10):
        pass
    redis.control.start()
    assert redis.docker.container(temporary) is None
    assert redis.ask("config", "get", "maxmemory").split() == ["maxmemory", "0"]
    redis.control.start(["--maxmemory", "123mb"])
    redis.control.stop()
    assert redis.docker.container(temporary) is None
    assert redis.docker.containers(mine.labels)[0].state.status == "exited"


def test_data_are_replaced_and_brought_back(redis: Redis, tmp_path: Path) -> None:
    redis.ask("set", "key", "old")
    redis.ask("save")
    copy = tmp_path / "dump.rdb"
    redis.control.get_data_file("dump.rdb", copy)
    assert copy.stat().st_mode & 0o777 == 0o600
    redis.ask("set", "key", "newer")
    redis.ask("save")
    redis.control.stop()
    deep = tmp_path / "deep"
    deep.write_text("x")
    aside = redis.control.swap_data({"dump.rdb": copy, "folder/file": deep}, "before-restore")
    assert aside.startswith(f"{redis.name}-data:current.before-restore-")
    redis.control.start()
    assert redis.ask("get", "key") == "old"
    modes = "stat -c '%a:%u:%g' current current/dump.rdb current/folder current/folder/file"
    assert redis.volume(modes) == ["700:999:1000", "600:999:1000", "700:999:1000", "600:999:1000"]
    redis.control.stop()
    redis.control.rollback_data(aside)
    redis.control.start()
    assert redis.ask("get", "key") == "newer"
    folders = redis.volume("ls -d current*")
    assert len(folders) == 2
    assert folders[1].startswith("current.failed-restore-")


def test_an_empty_folder_instead_of_the_data(redis: Redis) -> None:
    redis.ask("set", "key", "value")
    redis.ask("save")
    redis.control.stop()
    aside = redis.control.move_data_aside("before-restore")
    redis.control.start()
    assert redis.ask("dbsize") == "0"
    redis.control.stop()
    redis.control.rollback_data(aside)
    redis.control.rollback_data("")
    redis.control.start()
    assert redis.ask("get", "key") == "value"


@pytest.mark.parametrize("running", [True, False])
def test_what_was_set_aside_is_listed_and_removed(redis: Redis, running: bool) -> None:
    assert redis.control.list_kept() == ()
    redis.ask("set", "key", "value")
    redis.ask("save")
    redis.control.stop()
    aside = redis.control.move_data_aside("before-restore")
    redis.volume("mkdir current.before-christmas")
    if running:
        redis.control.start()
    (found,) = redis.control.list_kept()
    assert (found.kind, found.name) == ("folder", aside)
    assert found.size > 0
    assert found.since is not None
    for wrong in ("current", "current.before-christmas", f"{aside}/..", f"x:{aside.partition(':')[2]}"):
        with pytest.raises(RagopsError) as raised:
            redis.control.remove_aside(wrong if ":" in wrong else f"{aside.partition(':')[0]}:{wrong}")
        assert raised.value.code == "not_kept"
    redis.control.remove_aside(aside)
    assert redis.control.list_kept() == ()
    assert redis.volume("ls -d current*") == ["current", "current.before-christmas"]


def test_a_restore_that_was_killed_between_the_renames(redis: Redis) -> None:
    redis.ask("set", "key", "value")
    redis.ask("save")
    redis.control.stop()
    redis.volume("mv current current.ready; mkdir current.new-1; touch current.new-1/half")
    redis.control.start()
    assert redis.ask("get", "key") == "value"
    redis.control.stop()
    redis.volume("mkdir current.ready")
    redis.control.move_data_aside("x")
    assert [name.partition("-")[0] for name in redis.volume("ls -d current*")] == ["current", "current.x"]


def test_a_file_that_cannot_be_had_changes_nothing(redis: Redis, tmp_path: Path) -> None:
    redis.ask("set", "key", "value")
    redis.ask("save")
    redis.control.stop()
    with pytest.raises(RagopsError, match=r"dump\.rdb"):
        redis.control.swap_data({"dump.rdb": tmp_path / "dump.rdb"}, "before-restore")
    with pytest.raises(RagopsError):
        redis.control.get_data_file("none", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    redis.control.start()
    assert redis.ask("get", "key") == "value"


def test_a_sticky_folder_of_somebody_else(redis: Redis) -> None:
    """PostgreSQL's image makes its data folder so."""
    redis.control.stop()
    container = redis.docker.container(redis.name)
    volume = {f"{redis.name}-data": "/v"}
    argv = ["sh", "-c", "chown 70:70 /v; chmod 1777 /v"]
    rights = ["CHOWN", "FOWNER", "DAC_OVERRIDE"]
    redis.docker.run_once(f"{redis.name}-own", container.image_id, argv, mounts=volume, capabilities=rights)
    aside = redis.control.move_data_aside("before-restore")
    redis.control.rollback_data(aside)


def test_free_space_is_seen_whether_it_runs_or_not(redis: Redis) -> None:
    assert redis.control.free_bytes() > 1 << 20
    redis.control.stop()
    assert redis.control.free_bytes() > 1 << 20


def test_a_start_that_fails_shows_the_log(redis: Redis) -> None:
    redis.control.stop()
    with pytest.raises(RagopsError, match="ended with 1") as raised:
        redis.control.start(["--no-such-setting", "1"])
    assert raised.value.code == "service_failed"
    assert "no-such-setting" in raised.value.hint
    redis.control.start()


def test_a_port_that_somebody_took_meanwhile(redis: Redis) -> None:
    redis.control.stop()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", redis.port))
        taken.listen()
        with pytest.raises(RagopsError, match=str(redis.port)):
            redis.control.start()
    redis.control.start()


def test_a_container_that_is_not_there(docker: DockerHost, mine, tmp_path: Path) -> None:
    control = DockerControl(mine.name("none"))
    assert not control.is_running()
    control.stop()
    for act in (
        control.start,
        control.free_bytes,
        lambda: control.move_data_aside("x"),
        lambda: control.get_data_file("x", tmp_path / "x"),
    ):
        with pytest.raises(RagopsError) as raised:
            act()
        assert raised.value.code == "not_provisioned"


def test_big_files_are_streamed(redis: Redis, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as stream:
        stream.truncate(100_000_000)
    redis.control.stop()
    redis.control.swap_data({"big": big}, "x")
    assert redis.volume("stat -c %s current/big") == ["100000000"]
    redis.docker.put_archive(redis.name, "/data", [ArchiveEntry("current/small", 0o600, 999, 1000, b"s")])
    redis.control.get_data_file("small", tmp_path / "small")
    assert (tmp_path / "small").read_bytes() == b"s"
