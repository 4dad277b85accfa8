"""Containers killed and removed one after the other, nodes killed under load, everything at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.engine, pytest.mark.fault]

ALL = ("timescaledb", "redis", "qdrant-1", "qdrant-2", "qdrant-3", "api", "gateway")


@pytest.mark.parametrize("instance", ALL)
def test_a_killed_container_comes_back_with_its_data(whole: Any, kept: Any, token: str, instance: str) -> None:
    before = whole.answers(token)
    whole.docker.api.kill(whole.name(instance))
    assert whole.states()[instance] == "stopped"
    assert instance in " ".join(whole.drift())
    whole.up()
    assert whole.drift() == {}
    assert whole.answers(token) == before


@pytest.mark.parametrize("instance", ALL)
def test_a_removed_container_is_made_anew_on_its_data(whole: Any, kept: Any, token: str, instance: str) -> None:
    before, container = whole.answers(token), whole.container(instance).id
    whole.docker.remove(whole.name(instance), force=True)
    assert whole.states()[instance] == "gone"
    assert whole.up()[instance] == "create"
    assert whole.drift() == {}
    assert whole.container(instance).id != container
    assert whole.answers(token) == before
    whole.assert_nothing_but_the_platform()


def test_everything_started_again_by_docker_alone(whole: Any, kept: Any, token: str) -> None:
    """As after the machine's own restart: the very containers, a second time."""
    before, ids = whole.answers(token), {instance: whole.container(instance).id for instance in ALL}
    for instance in ALL:
        whole.docker.api.restart(whole.name(instance), timeout=10)
    whole.settled()
    assert {instance: whole.container(instance).id for instance in ALL} == ids
    assert whole.answers(token) == before


def test_everything_removed_at_once(whole: Any, kept: Any, token: str) -> None:
    before = whole.answers(token)
    for instance in ALL:
        whole.docker.remove(whole.name(instance), force=True)
    whole.docker.remove_network(whole.names.network)
    assert {name: text for name, text in whole.drift().items() if name in ALL} == dict.fromkeys(ALL, "is gone")
    whole.up()
    whole.settled()
    assert whole.answers(token) == before
    whole.assert_nothing_but_the_platform()


@pytest.mark.parametrize("node", ["qdrant-1", "qdrant-2", "qdrant-3"])
def test_a_node_is_killed_under_reads_and_writes(
    whole: Any, kept: Any, token: str, load: Any, wait_for: Callable[..., None], node: str
) -> None:
    with load(whole, token) as running:
        whole.docker.api.kill(whole.name(node))
        running.goes_on(reads=150, writes=30)
        assert whole.container(node).state.status == "exited"
        whole.up()
        running.goes_on(reads=30)
    wait_for(lambda: whole.run("--json", "health", "qdrant", code=None).code == 0, 120, "all replicas active")
    running.assert_nothing_lost()
    running.assert_active()


def test_a_node_whose_data_are_lost_joins_again_and_fills_itself(
    whole: Any, kept: Any, wait_for: Callable[..., None]
) -> None:
    """The other nodes have every shard: nothing is lost, and `up` says loudly that a volume was."""
    whole.docker.remove(whole.name("qdrant-2"), force=True)
    whole.docker.remove_volume(whole.names.data_volume("qdrant-2"))
    assert whole.drift()
    said = whole.run("up", "--yes")
    assert "EMPTY" in said.out + said.err
    wait_for(lambda: whole.run("--json", "health", "qdrant", code=None).code == 0, 180, "all replicas active")
    whole.settled()
