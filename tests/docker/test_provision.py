"""One little stack on the real engine and plugin: made, found as made, broken in every way, repaired, taken down."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psutil
import pulumi
import pytest

from ragops.adapters.pulumi import install as pulumi_install
from ragops.adapters.pulumi.engine import PulumiStack
from ragops.adapters.pulumi.events import Action, Phase, Step
from ragops.adapters.pulumi.options import StackOptions
from ragops.errors import RagopsError
from ragops.operations.lifecycle.plan_diff import drifted
from ragops.runtimes.docker.names import DockerNames
from ragops.runtimes.docker.runtime import DockerRuntime
from ragops.services.spec import ConfigFile, ExecCheck, ImageSpec, ServiceSpec
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ragops.adapters.docker.client import DockerHost
    from ragops.adapters.docker.values import Container

pytestmark = pytest.mark.engine

REDIS = "redis:8.0.2"
CONFIGURATION = "dir /data/current\nappendonly yes\nprotected-mode no\ninclude /etc/ragops/secret.conf\n"
SECRET = "masteruser hunter2\n"
IMAGE = ImageSpec(REDIS, "/data", "redis", writable=("/tmp",), hot_dir="/etc/ragops-hot")


def spec_of(port: int) -> ServiceSpec:
    return ServiceSpec(
        service="redis",
        version="8.0.2",
        command=("redis-server", "/etc/ragops/redis.conf"),
        files=(ConfigFile("redis.conf", CONFIGURATION), ConfigFile("secret.conf", SECRET, secret=True)),
        ports={"redis": 6379},
        health=ExecCheck(("sh", "-c", 'test "$(redis-cli ping)" = PONG')),
        environment={"LANG": "C.UTF-8"},
        stop_grace=10.0,
        start_timeout=60.0,
        image=IMAGE,
        publish={"redis": port},
        memory=128 << 20,
        shm=32 << 20,
        hot=(ConfigFile("hot.txt", "one\n"),),
    )


class Redis(pulumi.ComponentResource):
    """What a service's component does."""

    def __init__(self, spec: ServiceSpec, runtime: DockerRuntime) -> None:
        super().__init__("ragops:service:Redis", "redis")
        runtime.run(spec, self)
        self.register_outputs({})


@dataclass
class Platform:
    """The stack, what it is to be, and Docker itself."""

    host: DockerHost
    names: DockerNames
    stack: PulumiStack
    spec: ServiceSpec

    @property
    def name(self) -> str:
        return self.names.container("redis")

    @property
    def volume(self) -> str:
        return self.names.data_volume("redis")

    def up(self, **changes: Any) -> set[tuple[str, Action]]:
        """Bring it up, its specification changed first; what was done, by resource."""
        self.spec = replace(self.spec, **changes)
        return done(self.stack.up().steps)

    def plan(self) -> set[tuple[str, Action]]:
        return done(self.stack.preview())

    def container(self) -> Container:
        found = self.host.container(self.name)
        assert found
        return found

    def redis(self, *words: str) -> str:
        return self.host.exec(self.name, ("redis-cli", *words)).text.strip()

    def in_state(self) -> dict[str, str]:
        return {resource.name: resource.id for resource in self.stack.resources() if resource.id}


def done(steps: tuple[Step, ...]) -> set[tuple[str, Action]]:
    return {(step.resource, step.action) for step in steps if step.action is not Action.REFRESH}


@pytest.fixture(scope="module")
def platform(
    docker: DockerHost, plugin: Path, image: Callable[[str], str], module_mine: Any, module_workspace: Path
) -> Iterator[Platform]:
    engine = pulumi_install.find()
    if engine is None:
        pytest.skip("not here: the Pulumi engine (ragops engine install)")
    names, image_id = DockerNames(module_mine.name(), "default"), image(REDIS)
    runtime = DockerRuntime(names, {}, lambda _reference: image_id)
    options = StackOptions("provision", "default", module_workspace / "pulumi", module_workspace / "passphrase")
    made = Platform(docker, names, None, spec_of(free_port()))  # type: ignore[arg-type]
    made.stack = PulumiStack(engine, options, lambda: _program(made, runtime))
    yield made
    with contextlib.suppress(RagopsError):
        made.stack.unprotect()
        made.stack.destroy()


def _program(platform: Platform, runtime: DockerRuntime) -> None:
    Redis(platform.spec, runtime)


@pytest.fixture
def up(platform: Platform) -> Platform:
    """The stack, up as it is meant to be."""
    if platform.host.container(platform.name) is None or not platform.container().state.running:
        platform.up()
    return platform


def test_it_serves_from_files_that_nobody_else_sees(up: Platform) -> None:
    made = up.container()
    assert up.redis("ping") == "PONG"
    assert up.redis("config", "get", "masteruser").split() == ["masteruser", "hunter2"]
    assert up.host.exec(up.name, ("cat", "/etc/ragops-hot/hot.txt")).text == "one\n"
    assert (made.image_id, made.limit) == (up.host.image_id(REDIS), 128 << 20)
    assert [(port.host, port.inner) for port in made.ports] == [("127.0.0.1", 6379)]
    assert made.labels["io.ragops.instance"] == "redis"
    inspected = str(up.host.api.inspect_container(up.name))
    assert "hunter2" not in inspected
    assert up.host.exec(up.name, ("touch", "/here")).code != 0  # read-only
    assert up.host.exec(up.name, ("touch", "/tmp/here")).code == 0
    assert up.host.exec(up.name, ("touch", "/etc/ragops/here")).code != 0


def test_others_reach_it_by_its_name(up: Platform) -> None:
    ask = ("redis-cli", "-h", "redis", "ping")
    config = {
        "Image": up.container().image_id,
        "Entrypoint": list(ask),
        "HostConfig": {"NetworkMode": up.names.network},
    }
    other = f"{up.names.network}-asker"
    up.host.create(other, config)
    try:
        up.host.start(other)
        assert up.host.api.wait(other, timeout=30)["StatusCode"] == 0
        assert list(up.host.logs(other, 5)) == ["PONG"]
    finally:
        up.host.remove(other, force=True)


def test_what_was_made_is_found_as_made(up: Platform) -> None:
    before = up.container()
    assert up.plan() == set()
    assert drifted(up.stack.drift()) == ()
    assert up.up() == set()
    assert up.container().id == before.id


def test_the_state_knows_it_by_dockers_own_ids(up: Platform) -> None:
    known = up.in_state()
    network = next(found for found in up.host.networks(up.names.labels()))
    assert (known["redis"], known["network"], known["redis-data"]) == (up.container().id, network.id, up.volume)
    assert "hunter2" not in str(up.stack.resources())


def test_a_stopped_one_is_seen_and_brought_back_with_its_data(up: Platform) -> None:
    up.redis("set", "kept", "stopped")
    up.host.stop(up.name, 10)
    seen = {found.resource: found.detail for found in drifted(up.stack.drift())}
    assert "stopped" in seen["redis-ready"]
    assert ("redis-ready", Action.UPDATE) in up.up()
    assert up.redis("get", "kept") == "stopped"
    assert up.plan() == set()


def test_a_stopped_one_that_was_started_again_by_hand_is_no_change(up: Platform) -> None:
    before = up.container().id
    up.host.stop(up.name, 10)
    up.host.start(up.name)
    up.host.wait_healthy(up.name, 30)
    assert up.up() == set()
    assert up.container().id == before


def test_a_removed_one_is_made_anew_on_its_volume(up: Platform) -> None:
    up.redis("set", "kept", "removed")
    up.host.remove(up.name, force=True)
    assert {found.resource: found.detail for found in drifted(up.stack.drift())} == {
        "redis": "is gone", "redis-ready": "gone"
    }  # fmt: skip
    assert {("redis", Action.CREATE), ("redis-ready", Action.UPDATE)} == up.up()
    assert up.redis("get", "kept") == "removed"


def test_limits_change_in_place_and_files_by_a_new_container(up: Platform) -> None:
    before = up.container().id
    assert up.up(memory=160 << 20) == {("redis", Action.UPDATE)}
    assert (up.container().id, up.container().limit) == (before, 160 << 20)
    up.redis("set", "kept", "through a change")
    changed = (ConfigFile("redis.conf", CONFIGURATION + "maxmemory 90mb\n"), up.spec.files[1])
    assert up.plan() == set()
    assert {
        ("redis-config", Action.UPDATE), ("redis", Action.REPLACE), ("redis-ready", Action.UPDATE)
    } == up.up(files=changed)  # fmt: skip
    assert up.redis("config", "get", "maxmemory").split() == ["maxmemory", str(90 << 20)]
    assert up.redis("get", "kept") == "through a change"
    assert up.plan() == set()


def test_hot_files_change_under_the_very_container(up: Platform) -> None:
    before = up.container()
    assert up.up(hot=(ConfigFile("hot.txt", "two\n"),)) == {("redis-hot", Action.UPDATE)}
    assert up.host.exec(up.name, ("cat", "/etc/ragops-hot/hot.txt")).text == "two\n"
    assert (up.container().id, up.container().state.started) == (before.id, before.state.started)


def test_one_that_dies_fails_up_with_its_last_words_and_the_next_up_repairs(up: Platform) -> None:
    up.redis("set", "kept", "though it died")
    good = up.spec.files
    broken = (ConfigFile("redis.conf", CONFIGURATION + "no-such-directive 1\n"), good[1])
    with pytest.raises(RagopsError) as caught:
        up.up(files=broken)
    assert caught.value.code == "service_failed"
    assert "no-such-directive" in caught.value.hint
    assert up.up(files=good)
    assert up.redis("get", "kept") == "though it died"
    assert up.plan() == set()


def test_somebody_elses_container_of_the_name_is_left_alone(up: Platform) -> None:
    up.host.remove(up.name, force=True)
    up.host.create(up.name, {"Image": up.host.image_id(REDIS), "Cmd": ["sleep", "1000"]})
    theirs = up.container().id
    try:
        with pytest.raises(RagopsError) as caught:
            up.up()
        assert (caught.value.code, theirs[:12] in caught.value.message) == ("name_taken", True)
        assert up.container().id == theirs
    finally:
        up.host.remove(theirs, force=True)
    assert ("redis", Action.CREATE) in up.up()


def test_a_port_that_is_taken_is_named(up: Platform) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port, before = taken.getsockname()[1], up.spec.publish
        with pytest.raises(RagopsError) as caught:
            up.up(publish={"redis": port})
        assert (caught.value.code, str(port) in caught.value.message) == ("port_taken", True)
    up.up(publish=before)
    assert up.redis("ping") == "PONG"


def test_a_killed_engine_leaves_what_no_state_knows_and_the_next_up_goes_on_without_it(up: Platform) -> None:
    up.redis("set", "kept", "through a kill")
    up.host.remove(up.name, force=True)
    killer = threading.Thread(target=_kill_the_engine_once_there_is, args=(up,))
    killer.start()
    with pytest.raises(RagopsError):
        up.up()
    killer.join()
    orphan = up.container().id
    assert orphan not in up.in_state().values()
    up.host.remove(orphan, force=True)
    assert ("redis", Action.CREATE) in up.up()
    assert up.redis("get", "kept") == "through a kill"
    assert up.plan() == set()


def _kill_the_engine_once_there_is(platform: Platform) -> None:
    deadline = time.monotonic() + 60
    while platform.host.container(platform.name) is None and time.monotonic() < deadline:
        time.sleep(0.002)
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if child.name() == "pulumi":
                os.kill(child.pid, signal.SIGKILL)


def test_a_volume_that_was_made_by_hand_is_as_good(up: Platform) -> None:
    up.host.remove(up.name, force=True)
    up.host.remove_volume(up.volume)
    up.host.create_volume(up.volume, {})
    assert ("redis", Action.CREATE) in up.up()
    assert up.plan() == set()


def test_down_keeps_the_data_and_forgetting_them_does_not_remove_them(up: Platform) -> None:
    up.redis("set", "kept", "through down")
    gone = {step.resource for step in up.stack.destroy() if step.action is Action.DELETE and step.phase is Phase.DONE}
    assert gone >= {"redis", "network", "redis-ready", "redis-config"}
    assert up.host.container(up.name) is None
    assert up.host.networks(up.names.labels()) == ()
    assert set(up.in_state()) == {"redis-data"}
    assert [volume.name for volume in up.host.volumes({}) if volume.name.startswith(up.name)] == [up.volume]
    up.up()
    assert up.redis("get", "kept") == "through down"
    up.stack.unprotect()
    up.stack.destroy()
    assert up.in_state() == {}
    assert up.host.volume(up.volume) is not None
    up.up()
    assert up.redis("get", "kept") == "through down"
    assert up.plan() == set()


def test_after_a_purge_it_starts_empty(up: Platform) -> None:
    up.redis("set", "kept", "not this time")
    up.stack.unprotect()
    up.stack.destroy()
    up.host.remove_volume(up.volume)
    up.up()
    assert up.redis("get", "kept") == ""
