"""The day-2 side of the docker runtime, on containers that are made by hand as `up` makes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from ragops.config.load import Project
from ragops.config.model import Settings
from ragops.config.paths import ProjectPaths
from ragops.errors import RagopsError
from ragops.runtimes.docker.containers import reconcile as docker_reconcile
from ragops.runtimes.docker.host import DockerRuntimeHost
from ragops.runtimes.docker.inspect import provisioned as docker_record
from ragops.services.contract import Endpoint, Node

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ragops.adapters.docker.client import DockerHost
    from ragops.adapters.progress import Progress

IMAGE = "redis:8.0.2"  # for its shell
SERVE = "trap 'exit 0' TERM; echo started; while :; do sleep 0.05; done"


@dataclass
class Platform:
    """An environment whose containers run a shell."""

    docker: DockerHost
    project: Project
    image: str
    said: list[Progress] = field(default_factory=list)

    @property
    def host(self) -> DockerRuntimeHost:
        return DockerRuntimeHost(self.project)

    @property
    def names(self) -> Any:
        return self.host._names

    def name(self, instance: str) -> str:
        return self.names.container(instance)

    def make(self, service: str, instance: str = "", script: str = SERVE, **host: Any) -> str:
        """A started container of the environment; returns its id."""
        instance = instance or service
        labels = self.names.labels(service, instance)
        self.docker.create_volume(self.names.data_volume(instance), labels)
        self.docker.create_volume(self.names.config_volume(instance), labels)
        volumes = [f"{self.names.data_volume(instance)}:/data", f"{self.names.config_volume(instance)}:/etc/x:ro"]
        config = {
            "Image": self.image, "Entrypoint": ["sh", "-c", script], "Cmd": [], "Labels": labels, "StopTimeout": 2,
            "HostConfig": {"NetworkMode": self.names.network, "Binds": volumes, "Memory": 64 << 20, **host},
            "NetworkingConfig": {"EndpointsConfig": {self.names.network: {"Aliases": [instance]}}},
        }  # fmt: skip
        self.docker.create(self.name(instance), config)
        self.docker.start(self.name(instance))
        return self.docker.container(self.name(instance)).id

    def network(self) -> str:
        return self.docker.api.create_network(self.names.network, labels=self.names.labels())["Id"]

    def endpoint(self, service: str, **options: str) -> Endpoint:
        nodes = tuple(Node(name, f"http://{name}:6333") for name in options.pop("nodes", "").split(",") if name)
        found = self.name(nodes[0].name if nodes else service)
        return Endpoint(
            service, service, "1", "docker", "127.0.0.1", 1, found, options, {}, frozenset(), service, 6379, nodes
        )

    def differences(self) -> dict[str, str]:
        return {item.resource: item.now for item in self.host.drift()}

    def own(self) -> None:
        self.project.paths.pulumi.mkdir(parents=True, exist_ok=True)
        self.host._owner.touch()


@pytest.fixture
def platform(docker: DockerHost, image: Callable[[str], str], mine, tmp_path: Path) -> Platform:
    settings = Settings(name=mine.prefix, runtime="docker", observability=False)
    project = Project(settings, ProjectPaths(tmp_path, "default"), tmp_path / "ragops.yaml")
    made = Platform(docker, project, image(IMAGE))
    made.network()
    return made


# --- what is not as it was provisioned ---------------------------------------------------------------------------


def test_nothing_differs_after_up(platform: Platform) -> None:
    platform.make("redis")
    platform.host.record_provisioned()
    assert platform.host.drift() == ()


def stop(platform: Platform) -> None:
    platform.docker.stop(platform.name("redis"), 1)


def pause(platform: Platform) -> None:
    platform.docker.api.pause(platform.name("redis"))


def remove(platform: Platform) -> None:
    platform.docker.remove(platform.name("redis"), force=True)


def limit(platform: Platform) -> None:
    platform.docker.api.update_container(platform.name("redis"), mem_limit=128 << 20, memswap_limit=-1)


def restart_never(platform: Platform) -> None:
    platform.docker.api.update_container(platform.name("redis"), restart_policy={"Name": "no"})  # type: ignore[arg-type]


def disconnect(platform: Platform) -> None:
    platform.docker.api.disconnect_container_from_network(platform.name("redis"), platform.names.network)


def take_its_name(platform: Platform) -> None:
    remove(platform)
    platform.docker.create(platform.name("redis"), {"Image": platform.image})


def make_anew(platform: Platform) -> None:
    remove(platform)
    platform.make("redis", script="sleep 60")


def rename(platform: Platform) -> None:
    platform.docker.api.rename(platform.name("redis"), f"{platform.name('redis')}-old")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (stop, "stopped"),
        (pause, "paused"),
        (remove, "is gone"),
        (rename, "is gone"),
        (limit, "memory limit changed by hand: 64 MiB → 128 MiB"),
        (restart_never, "restart policy changed by hand: unless-stopped → no"),
        (disconnect, "changed by hand"),
        (take_its_name, "a container that ragops did not make has its name"),
        (make_anew, "another container than was provisioned, with another command"),
    ],
)
def test_what_is_changed_by_hand_is_said(platform: Platform, change: Callable, words: str) -> None:
    platform.make("redis", RestartPolicy={"Name": "unless-stopped"})
    platform.host.record_provisioned()
    change(platform)
    assert words in platform.differences()["redis"]


def test_a_loop_is_told_from_a_crash_long_ago(platform: Platform, wait_until: Callable) -> None:
    name = platform.make("redis", script="echo no such file; exit 3", RestartPolicy={"Name": "always"})
    platform.host.record_provisioned()
    wait_until(lambda: platform.docker.container(name).state.restarts >= 1, 60)
    wait_until(lambda: "restarting in a loop" in platform.differences().get("redis", ""), 60)
    assert "it ended with 3" in platform.differences()["redis"]


def test_a_container_that_needs_more_memory_says_so(platform: Platform, wait_until: Callable) -> None:
    script = "x=$(head -c 200m /dev/zero | tr '\\0' x); echo $x | wc -c"
    platform.make("redis", script=script, Memory=24 << 20, MemorySwap=24 << 20)
    platform.host.record_provisioned()
    wait_until(lambda: not platform.host.is_running("redis"), 60)
    container = platform.docker.container(platform.name("redis"))
    if not container.state.oom_killed:
        pytest.skip("this kernel ended a child, not the container")
    assert platform.differences()["redis"] == "stopped: it needed more memory than its limit of 24 MiB"


def test_a_stranger_in_the_network_is_named(platform: Platform, mine) -> None:
    platform.make("redis")
    platform.host.record_provisioned()
    name = mine.name("stranger")
    config = {"Image": platform.image, "Cmd": ["sleep", "60"], "HostConfig": {"NetworkMode": platform.names.network}}
    platform.docker.create(name, config)
    platform.docker.start(name)
    assert name in platform.differences()["network"]


def recorded(platform: Platform) -> docker_record.Record:
    return platform.host._record.read() or docker_record.Record()


def test_lost_volumes_and_networks_are_named(platform: Platform) -> None:
    platform.make("redis")
    platform.host.record_provisioned()
    remove(platform)
    platform.docker.remove_volume(platform.names.data_volume("redis"))
    platform.docker.remove_network(platform.names.network)
    assert platform.differences() == {"redis": "is gone", "redis-data": "is gone", "network": "is gone"}
    docker_reconcile.report_lost_data(platform.docker, recorded(platform), platform.said.append)
    assert "starts EMPTY" in platform.said[0].text


# --- before up ----------------------------------------------------------------------------------------------------


def clear(platform: Platform, known: set[str]) -> list[str]:
    record = recorded(platform)
    docker_reconcile.clear_left_over(platform.docker, platform.names, record, lambda: known, platform.said.append)
    return [item.resource for item in platform.said]


def test_what_the_state_lost_track_of_is_cleared_and_its_data_stay(platform: Platform) -> None:
    known, lost = platform.make("redis"), platform.make("qdrant", "qdrant-1")
    network = platform.docker.networks(platform.names.labels())[0].id
    assert clear(platform, {known, network}) == ["qdrant-1"]
    assert platform.docker.container(lost) is None
    assert platform.docker.container(known).state.running
    assert len(platform.docker.networks(platform.names.labels())) == 1
    assert platform.docker.volume(platform.names.data_volume("qdrant-1"))


def test_an_unknown_network_goes_with_its_containers(platform: Platform) -> None:
    platform.make("redis")
    clear(platform, set())
    assert platform.docker.containers(platform.names.labels()) == ()
    assert platform.docker.networks(platform.names.labels()) == ()


def test_the_state_is_asked_only_in_doubt(platform: Platform) -> None:
    platform.make("redis")
    platform.host.record_provisioned()
    record = recorded(platform)

    def ask() -> set[str]:
        raise AssertionError("half a second for nothing")

    docker_reconcile.clear_left_over(platform.docker, platform.names, record, ask, platform.said.append)
    assert platform.docker.container(platform.name("redis")).state.running


def test_short_lived_containers_of_a_killed_run_go(platform: Platform) -> None:
    name = f"{platform.name('redis')}.look"
    platform.docker.create(name, {"Image": platform.image, "Labels": platform.names.labels()})
    clear(platform, set())
    assert platform.docker.container(name) is None


def test_what_is_stopped_or_paused_is_started(platform: Platform) -> None:
    for service in ("redis", "api", "gateway"):
        platform.make(service)
    stop(platform)
    platform.docker.api.pause(platform.name("api"))
    docker_reconcile.start_stopped(platform.docker, platform.names, platform.said.append)
    assert all(platform.host.is_running(service) for service in ("redis", "api", "gateway"))
    assert [item.resource for item in platform.said] == ["redis", "api"]


def test_another_projects_platform_of_the_same_name_is_left_alone(platform: Platform) -> None:
    container = platform.make("redis")
    with pytest.raises(RagopsError) as caught:
        docker_reconcile.refuse_foreign_platform(platform.docker, platform.names, set)
    assert (caught.value.code, caught.value.exit_code) == ("name_taken", 2)
    docker_reconcile.refuse_foreign_platform(platform.docker, platform.names, lambda: {container})
    assert platform.host.stop_orphans() == ()
    assert platform.host.list_data() == ()
    assert not platform.host.has_data("redis")
    assert not platform.host.lacks_data("redis"), "whoever's it is: that it is another's is said elsewhere"
    assert platform.docker.container(container).state.running


# --- looking ------------------------------------------------------------------------------------------------------


def test_every_node_is_observed_the_lost_one_included(platform: Platform) -> None:
    nodes = ("qdrant-1", "qdrant-2", "qdrant-3")
    for node in nodes:
        platform.make("qdrant", node, PortBindings={})
    platform.host.record_provisioned()
    platform.docker.stop(platform.name("qdrant-2"), 1)
    platform.docker.remove(platform.name("qdrant-3"), force=True)
    first, second, third = platform.host.observe(platform.endpoint("qdrant", nodes=",".join(nodes)))
    assert (first.name, first.state) == ("qdrant-1", "running")
    assert first.memory > 0
    assert first.ident == platform.docker.container(platform.name("qdrant-1")).id
    assert (second.name, second.state, second.ident, second.memory) == ("qdrant-2", "stopped", "", 0)
    assert (third.name, third.state) == ("qdrant-3", "gone")
    assert platform.host.is_running("qdrant")


def lines_of(platform: Platform, service: str, lines: int = 10) -> list[tuple[str, str]]:
    found = platform.host.read_log(service, lines)
    return [(line.instance, line.text) for line in found.lines] if found else []


def test_logs_of_nodes_come_in_order_with_their_names(platform: Platform, wait_until: Callable) -> None:
    for node in ("qdrant-1", "qdrant-2"):
        platform.make("qdrant", node, script=f"echo from {node}; {SERVE}")
    wait_until(lambda: len(lines_of(platform, "qdrant")) == 4, 30)
    lines = lines_of(platform, "qdrant")
    assert sorted(lines) == [
        ("qdrant-1", "from qdrant-1"),
        ("qdrant-1", "started"),
        ("qdrant-2", "from qdrant-2"),
        ("qdrant-2", "started"),
    ]
    assert lines[0][0] == "qdrant-1"
    assert lines_of(platform, "qdrant", 1) == lines[-1:]
    times = [line.time for line in platform.host.read_log("qdrant", 10).lines]
    assert times == sorted(times)


def test_one_containers_log_is_as_it_wrote_it(platform: Platform, wait_until: Callable) -> None:
    platform.make("redis")
    wait_until(lambda: lines_of(platform, "redis") == [("redis", "started")], 30)
    assert platform.host.read_log("api", 10) is None


def test_a_log_is_followed_through_a_restart(platform: Platform, wait_until: Callable) -> None:
    platform.make("redis")
    wait_until(lambda: lines_of(platform, "redis"), 30)
    lines = platform.host.read_log("redis", 10).follow()
    stop(platform)
    platform.docker.start(platform.name("redis"))
    assert next(lines).text == "started"


# --- ending -------------------------------------------------------------------------------------------------------


def test_down_leaves_nothing_but_data(platform: Platform) -> None:
    platform.own()
    for service in ("redis", "api"):
        platform.make(service)
    platform.host.record_provisioned()
    assert platform.host.stop_orphans() == ("redis", "api")
    assert platform.docker.containers(platform.names.labels()) == ()
    assert platform.docker.networks(platform.names.labels()) == ()
    left = [volume.name for volume in platform.docker.volumes(platform.names.labels())]
    assert left == [platform.names.data_volume("api"), platform.names.data_volume("redis")]
    assert platform.host.list_data() == tuple(left)
    assert platform.host.has_data("redis")
    assert platform.host.drift() == ()
    assert not platform.host.lacks_data("redis")
    platform.host.purge_data()
    assert not platform.host.has_data("redis")
    assert platform.host.lacks_data("redis")


def test_data_in_use_stay(platform: Platform) -> None:
    platform.own()
    for service in ("redis", "api"):
        platform.make(service)
    platform.docker.remove(platform.name("api"), force=True)
    stop(platform)
    with pytest.raises(RagopsError) as caught:
        platform.host.purge_data()
    assert caught.value.code == "data_in_use"
    assert platform.name("redis") in caught.value.hint
    assert len(platform.host.list_data()) == 2
