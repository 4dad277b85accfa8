"""The adapter on a real Docker engine."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING

import pytest

from ragops.adapters.docker.client import ArchiveEntry, DockerHost, NotFoundError
from ragops.errors import ExitCode, RagopsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REDIS = "redis:8.0.2"


class Count:
    """A sink that only counts."""

    size = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)


class Zeros:
    """A source of so many zeros."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int) -> bytes:
        part = min(size, self.left)
        self.left -= part
        return bytes(part)


@pytest.fixture(scope="module")
def redis(docker: DockerHost, image: Callable[[str], str], module_mine) -> Iterator[str]:
    """A running container of Redis with a health check, a label and a published port."""
    name = module_mine.name("redis")
    docker.create(
        name,
        {
            "Image": image(REDIS),
            "User": "redis",
            "Cmd": ["redis-server", "--save", ""],
            "Labels": {**module_mine.labels, "io.ragops.service": "redis"},
            "Healthcheck": {"Test": ["CMD-SHELL", "redis-cli ping | grep -q PONG"], "Interval": 3600 * 10**9},
            "HostConfig": {
                "PortBindings": {"6379/tcp": [{"HostIp": "127.0.0.1", "HostPort": "0"}]},
                "Binds": [f"{module_mine.name('data')}:/data"],
            },
        },
    )
    docker.start(name)
    docker.wait_healthy(name, 60)
    return name


def test_the_engine(docker: DockerHost) -> None:
    found = docker.engine()
    assert tuple(int(part) for part in found.api.split(".")) >= (1, 41)
    assert found.root_dir.startswith("/")


def test_an_image_that_is_here(docker: DockerHost, image: Callable[[str], str]) -> None:
    found = docker.image(REDIS)
    assert found is not None
    assert found.id == image(REDIS)
    assert found.size > 1_000_000
    assert docker.image(found.id) == found


def test_an_image_that_is_not_here(docker: DockerHost) -> None:
    assert docker.image_id("ragops/none-of-that-name:1") is None


def test_a_pull_that_the_registry_refuses_is_not_tried_again(docker: DockerHost) -> None:
    with pytest.raises(RagopsError, match=r"registry\.invalid") as raised:
        docker.pull("registry.invalid/nothing:1")
    assert raised.value.code == "image_missing"
    assert raised.value.exit_code == ExitCode.MISSING


def test_a_running_container(docker: DockerHost, redis: str, module_mine) -> None:
    (found,) = docker.containers(module_mine.labels)
    assert found == docker.container(redis)
    assert found.name == redis
    assert found.state.running
    assert found.state.started is not None
    assert [(port.inner, port.host) for port in found.ports] == [(6379, "127.0.0.1")]
    assert [(mount.kind, mount.source, mount.target) for mount in found.mounts] == [
        ("volume", module_mine.name("data"), "/data")
    ]
    assert docker.memory(redis) > 100_000
    assert docker.containers({**module_mine.labels, "io.ragops.service": "qdrant"}) == ()
    assert docker.container(module_mine.name("none")) is None


def test_a_command_inside(docker: DockerHost, redis: str) -> None:
    done = docker.exec(redis, ["sh", "-c", "cat; echo out; echo no >&2; exit 3"], input=b"in ")
    assert (done.code, done.stdout, done.stderr) == (3, b"in out\n", b"no\n")
    assert done.error_text == "no"
    assert docker.exec(redis, ["no-such-program"]).code in (126, 127)


def test_no_byte_of_a_short_answer_is_lost(docker: DockerHost, redis: str) -> None:
    assert {docker.exec(redis, ["echo", "x"]).stdout for _ in range(20)} == {b"x\n"}


def test_a_command_that_hangs_is_left_behind(docker: DockerHost, redis: str) -> None:
    with pytest.raises(RagopsError) as raised:
        docker.exec(redis, ["sleep", "60"], limit=0.5)
    assert raised.value.code == "docker_timeout"


def test_much_input_and_output_at_once(docker: DockerHost, redis: str) -> None:
    size, sink = 40_000_000, Count()
    assert docker.exec_stream(redis, ["cat"], source=Zeros(size), target=sink).code == 0
    assert sink.size == size


def test_a_command_that_reads_no_input(docker: DockerHost, redis: str) -> None:
    assert docker.exec_stream(redis, ["true"], source=Zeros(40_000_000)).code == 0


def test_input_that_cannot_be_read_is_an_error(docker: DockerHost, redis: str) -> None:
    class Broken:
        def read(self, size: int) -> bytes:
            raise ValueError("broken source")

    with pytest.raises(ValueError, match="broken source"):
        docker.exec_stream(redis, ["cat"], source=Broken())


def test_files_in_and_out(docker: DockerHost, redis: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)
    ids = docker.user(redis, "redis")
    entries = [ArchiveEntry("d", 0o750, ids.uid, ids.gid), ArchiveEntry("d/f", 0o440, ids.uid, ids.gid, source)]
    docker.put_archive(redis, "/data", entries)
    assert docker.exec(redis, ["stat", "-c", "%a %u %s", "/data/d", "/data/d/f"]).text.split()[:2] == ["750", "999"]
    sink = io.BytesIO()
    docker.get_file(redis, "/data/d/f", sink)
    assert sink.getvalue() == source.read_bytes()
    with pytest.raises(NotFoundError):
        docker.get_file(redis, "/data/none", sink)
    with pytest.raises(RagopsError, match="nobody-of-that-name"):
        docker.user(redis, "nobody-of-that-name")


def test_logs(docker: DockerHost, redis: str) -> None:
    lines = list(docker.logs(redis, 2))
    assert len(lines) == 2
    assert "Ready to accept connections" in lines[-1]


def test_a_log_is_followed_until_the_container_ends(docker: DockerHost, image: Callable[[str], str], mine) -> None:
    script = ["sh", "-c", "echo one; read line; echo two"]
    docker.create(mine.name(), {"Image": image(REDIS), "Entrypoint": script, "OpenStdin": True})
    docker.start(mine.name())
    followed = docker.logs(mine.name(), 10, follow=True)
    assert next(followed) == "one"
    ended = threading.Timer(0.1, docker.api.kill, [mine.name()])
    ended.start()
    assert list(followed) == []
    ended.join()


def test_a_container_that_dies_shows_its_log(docker: DockerHost, image: Callable[[str], str], mine) -> None:
    body = {"Image": image(REDIS), "Entrypoint": ["sh", "-c", "echo why it failed; exit 4"]}
    docker.create(mine.name(), {**body, "Healthcheck": {"Test": ["CMD", "false"]}})
    docker.start(mine.name())
    with pytest.raises(RagopsError, match="ended with 4") as raised:
        docker.wait_healthy(mine.name(), 30)
    assert raised.value.code == "service_failed"
    assert "why it failed" in raised.value.hint


def test_a_container_that_crashes_again_and_again(docker: DockerHost, image: Callable[[str], str], mine) -> None:
    """What it said last is told, not what it says while it is started once more."""
    host = {"RestartPolicy": {"Name": "unless-stopped"}}
    script = "for n in 1 2 3 4 5 6 7 8 9; do echo begins; done; sleep 0.3; echo last words; exit 4"
    body = {"Image": image(REDIS), "Entrypoint": ["sh", "-c", script], "Healthcheck": {"Test": ["CMD", "false"]}}
    docker.create(mine.name(), {**body, "HostConfig": host})
    docker.start(mine.name())
    with pytest.raises(RagopsError, match="again and again") as failed:
        docker.wait_healthy(mine.name(), 60)
    assert failed.value.hint.endswith("last words")


def test_a_check_that_never_passes(docker: DockerHost, image: Callable[[str], str], mine) -> None:
    check = {"Test": ["CMD", "false"], "Interval": 3600 * 10**9}
    docker.create(mine.name(), {"Image": image(REDIS), "Entrypoint": ["sleep", "60"], "Healthcheck": check})
    docker.start(mine.name())
    with pytest.raises(RagopsError, match="not healthy within 1 s"):
        docker.wait_healthy(mine.name(), 1)


def test_a_copy_with_more_arguments(docker: DockerHost, image: Callable[[str], str], mine) -> None:
    body = {"Image": image(REDIS), "Entrypoint": ["sleep"], "Cmd": ["60"], "Labels": {"a": "1"}}
    docker.create(mine.name(), {**body, "HostConfig": {"Binds": [f"{mine.name('v')}:/data"]}})
    docker.run_copy(mine.name(), mine.name("copy"), ["1"], {"b": "2"})
    found = docker.container(mine.name("copy"))
    assert found is not None
    assert found.state.running
    assert docker.api.inspect_container(mine.name("copy"))["Config"]["Cmd"] == ["60", "1"]
    of_image = docker.api.inspect_image(image(REDIS))["Config"].get("Labels") or {}
    assert found.labels == {**of_image, "a": "1", "b": "2"}
    assert [mount.source for mount in found.mounts] == [mine.name("v")]


def test_stopping_and_removing(docker: DockerHost, image: Callable[[str], str], mine) -> None:
    docker.create(mine.name(), {"Image": image(REDIS), "Entrypoint": ["sleep", "60"], "StopSignal": "SIGKILL"})
    docker.start(mine.name())
    docker.start(mine.name())
    docker.stop(mine.name(), 5)
    docker.stop(mine.name(), 5)
    found = docker.container(mine.name())
    assert found is not None
    assert found.state.status == "exited"
    docker.remove(mine.name())
    docker.remove(mine.name())
    with pytest.raises(NotFoundError):
        docker.start(mine.name())


def test_a_short_lived_container(docker: DockerHost, image: Callable[[str], str], mine) -> None:
    mounts = {mine.name("v"): "/v"}
    script = "cat > /v/f; cat /v/f; id -u; grep CapEff /proc/self/status; ip addr 2>/dev/null | grep eth; exit 5"
    done = docker.run_once(mine.name(), image(REDIS), ["sh", "-c", script], mounts=mounts, input=b"text\n")
    assert done.code == 5
    assert done.text.split() == ["text", "0", "CapEff:", "0000000000000000"]
    assert docker.container(mine.name()) is None


def test_a_short_lived_container_that_hangs_is_ended(docker: DockerHost, image: Callable[[str], str], mine) -> None:
    with pytest.raises(RagopsError) as raised:
        docker.run_once(mine.name(), image(REDIS), ["sleep", "60"], limit=1)
    assert raised.value.code == "docker_timeout"
    assert docker.container(mine.name()) is None


def test_what_a_killed_run_left_is_awaited(docker: DockerHost, image: Callable[[str], str], mine) -> None:
    volume = mine.name("v")
    left = {"Image": image(REDIS), "Entrypoint": ["sh", "-c", "sleep 1; echo first >> /v/f"]}
    docker.create(mine.name(), {**left, "HostConfig": {"Binds": [f"{volume}:/v"]}})
    docker.start(mine.name())
    argv = ["sh", "-c", "echo second >> /v/f; cat /v/f"]
    assert docker.run_once(mine.name(), image(REDIS), argv, mounts={volume: "/v"}).text == "first\nsecond\n"


def test_volumes(docker: DockerHost, image: Callable[[str], str], mine) -> None:
    made = docker.create_volume(mine.name("v"), mine.labels)
    assert docker.create_volume(mine.name("v"), {}) == made
    assert docker.volumes(mine.labels) == (made,)
    with (
        docker.created(mine.name(), image(REDIS), mounts={made.name: "/v"}),
        pytest.raises(RagopsError) as raised,
    ):
        docker.remove_volume(made.name)
    assert raised.value.code == "volume_in_use"
    docker.remove_volume(made.name)
    docker.remove_volume(made.name)
    assert docker.volume(made.name) is None


def test_networks(docker: DockerHost, mine) -> None:
    docker.api.create_network(mine.name(), labels=mine.labels)
    (found,) = docker.networks(mine.labels)
    assert found.name == mine.name()
    docker.remove_network(found.name)
    docker.remove_network(found.name)
    assert docker.networks(mine.labels) == ()
