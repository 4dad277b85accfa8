"""What is as it was made is left alone; what is otherwise is seen by whoever looks, and repaired with its data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.engine, pytest.mark.fault]


def test_what_was_made_is_found_as_made(whole: Any, kept: Any, instances: tuple[str, ...]) -> None:
    before = {name: (whole.container(name).id, whole.container(name).state.started) for name in instances}
    assert whole.run("plan", "--exit-code").out.strip() == "no changes"
    assert whole.up() == {}
    assert whole.up() == {}
    assert whole.drift() == {}
    assert {name: (whole.container(name).id, whole.container(name).state.started) for name in instances} == before
    whole.assert_nothing_but_the_platform()


# --- ways to be otherwise: what is done by hand, what `status` and `drift` then say of it -----------------------------


def _stop(whole: Any) -> None:
    whole.docker.stop(whole.name("redis"), 10)


def _kill(whole: Any) -> None:
    whole.docker.api.kill(whole.name("redis"))


def _remove(whole: Any) -> None:
    whole.docker.remove(whole.name("redis"), force=True)


def _pause(whole: Any) -> None:
    whole.docker.api.pause(whole.name("redis"))


def _limit(whole: Any) -> None:
    whole.docker.api.update_container(whole.name("redis"), mem_limit=200 << 20, memswap_limit=200 << 20)


def _cut_off(whole: Any) -> None:
    whole.docker.api.disconnect_container_from_network(whole.name("redis"), whole.names.network)


@pytest.mark.parametrize(
    ("harm", "state", "detail"),
    [
        pytest.param(_stop, "stopped", "stopped", id="stopped"),
        pytest.param(_kill, "stopped", "stopped", id="killed"),
        pytest.param(_remove, "gone", "is gone", id="removed"),
        pytest.param(_pause, "paused", "paused", id="paused"),
        pytest.param(_limit, "running", "memory limit changed by hand: 256 MiB → 200 MiB", id="another limit"),
        pytest.param(_cut_off, "running", "network", id="off its network"),
    ],
)
def test_what_was_changed_by_hand_is_seen_and_repaired(
    whole: Any, kept: Any, harm: Callable[[Any], None], state: str, detail: str
) -> None:
    harm(whole)
    assert whole.states()["redis"] == state
    seen = whole.drift()
    assert detail in "; ".join(text for name, text in seen.items() if name.startswith("redis")), seen
    assert whole.run("health", code=None).code == 3
    whole.up()
    assert set(whole.states().values()) == {"running"}
    assert whole.drift() == {}
    whole.assert_nothing_but_the_platform()


def test_one_made_anew_by_hand_from_another_image_is_seen_and_replaced(whole: Any, kept: Any, image_from: Any) -> None:
    raw = whole.inspect("redis")
    networking = {whole.names.network: {"Aliases": ["redis"]}}
    whole.docker.remove(whole.name("redis"), force=True)
    with image_from("redis:8.0.2", "redis:8.0.2-other") as image:
        config = {**raw["Config"], "Image": image, "HostConfig": raw["HostConfig"]}
        whole.docker.create(whole.name("redis"), {**config, "NetworkingConfig": {"EndpointsConfig": networking}})
        whole.docker.start(whole.name("redis"))
        seen = whole.drift()
        assert "is another container than was provisioned, with another image" in seen["redis"], seen
        whole.up()
    assert whole.container("redis").image_id == whole.docker.image_id("redis:8.0.2")
    whole.settled()


def test_one_that_hangs_is_unhealthy_and_started_again(whole: Any, kept: Any, wait_for: Callable[..., None]) -> None:
    """Its process is frozen, which Docker does not see; the health check does."""
    whole.docker.api.kill(whole.name("redis"), "SIGSTOP")
    wait_for(lambda: whole.container("redis").state.health == "unhealthy", 120, "an unhealthy container")
    assert whole.states()["redis"] == "unhealthy"
    assert "unhealthy" in "; ".join(whole.drift().values())
    assert "redis" in whole.faults()
    whole.up()
    whole.settled()


def test_one_that_dies_at_every_start_is_seen_as_a_loop(whole: Any, kept: Any, wait_for: Callable[..., None]) -> None:
    """Somebody wrote nonsense into its configuration: what is provisioned is put back."""
    volume = whole.names.config_volume("redis")
    broken = ("sh", "-c", "f=$(readlink -f /v/redis.conf) && chmod u+w $f && echo no-such-directive 1 >> $f")
    image = whole.container("redis").image_id
    done = whole.docker.run_once(
        f"{whole.name('redis')}.harm", image, broken, mounts={volume: "/v"}, capabilities=("DAC_OVERRIDE", "FOWNER")
    )
    assert done.code == 0, done.error_text
    whole.docker.api.kill(whole.name("redis"), "SIGTERM")
    wait_for(lambda: not whole.container("redis").state.running, 60, "its end")
    whole.docker.start(whole.name("redis"))
    wait_for(lambda: whole.container("redis").state.restarts >= 3, 60, "three restarts")
    assert whole.states()["redis"].startswith("restarting in a loop")
    seen = whole.drift()
    assert "loop" in "; ".join(seen.values()), seen
    assert "changed by hand" in seen["redis-config"], seen
    whole.up()
    whole.settled()


def test_a_stranger_in_the_network_is_named(whole: Any) -> None:
    image, name = whole.container("redis").image_id, f"{whole.names.platform}x-stranger"
    config = {"Image": image, "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": whole.names.network}}
    whole.docker.create(name, config)
    try:
        whole.docker.start(name)
        assert name in whole.drift()["network"]
    finally:
        whole.docker.remove(name, force=True)
    assert whole.drift() == {}


def test_the_memory_of_a_service_is_changed_in_its_container(whole: Any, kept: Any) -> None:
    """A change that needs no new container does not get one."""
    before = whole.container("qdrant-2")
    whole.configure(qdrant={"memory": "640mb"})
    try:
        changes = {item["resource"]: item["action"] for item in whole.json("plan")["changes"]}
        assert changes == dict.fromkeys(("qdrant-1", "qdrant-2", "qdrant-3"), "update"), json.dumps(changes)
        assert whole.up() == changes
        after = whole.container("qdrant-2")
        assert (after.id, after.state.started, after.limit) == (before.id, before.state.started, 640 << 20)
    finally:
        whole.configure(qdrant={"memory": "512mb"})
        whole.up()
    whole.settled()
