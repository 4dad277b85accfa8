"""ragops killed with all that it started, and Ctrl-C, at several points of `up`: the next `up` completes."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.fault]

Point = Callable[[Any], bool]


def _exists(instance: str) -> Point:
    return lambda whole: whole.docker.container(whole.name(instance)) is not None


def _network(whole: Any) -> bool:
    return bool(whole.docker.networks(whole.names.labels()))


def _a_volume(whole: Any) -> bool:
    return bool(whole.docker.volumes(whole.names.labels()))


def _initialising(whole: Any) -> bool:
    """The database's files are being made."""
    found = whole.docker.container(whole.name("timescaledb"))
    return found is not None and found.state.running


POINTS = {
    "the first volume": _a_volume,
    "the network": _network,
    "the database begins": _initialising,
    "the first node": _exists("qdrant-1"),
    "the last node": _exists("qdrant-3"),
    "the api": _exists("api"),
    "the gateway": _exists("gateway"),
}


@pytest.fixture(scope="module")
def victim(needed: Any, ragops: Any, module_workspace: Any, make_whole: Any) -> Any:
    made = make_whole(module_workspace / "project", needed, ragops)
    try:
        yield made
    finally:
        made.remove()


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point_of_the_first_up(victim: Any, end_at: Any, point: str) -> None:
    victim.run("down", "--purge-data", "--yes", code=None)
    assert victim.ours() == {"containers": [], "volumes": [], "networks": []}
    code, _said = end_at(victim, lambda: POINTS[point](victim), signal.SIGKILL, "up", "--yes")
    assert code == -signal.SIGKILL
    assert any(victim.ours().values())
    victim.up()
    assert victim.run("health", "--json", code=None).json()["status"] in ("ok", "degraded")
    assert victim.drift() == {}
    assert victim.json("plan", "--exit-code")["changes"] == []
    victim.assert_nothing_but_the_platform()


@pytest.mark.parametrize("instance", ["redis", "api", "gateway"])
def test_killed_while_a_container_is_replaced(whole: Any, kept: Any, token: str, end_at: Any, instance: str) -> None:
    """An upgrading `up`, killed once the old container is gone or a new one in its place."""
    before = whole.container(instance).id
    answers = whole.answers(token)

    def replaced() -> bool:
        found = whole.docker.container(whole.name(instance))
        return found is None or found.id != before

    _change(whole, instance)
    code, _said = end_at(whole, replaced, signal.SIGKILL, "up", "--yes")
    assert code == -signal.SIGKILL
    whole.up()
    whole.settled()
    assert whole.answers(token) == answers
    whole.assert_nothing_but_the_platform()


def _change(whole: Any, instance: str) -> None:
    """Something that makes the container anew."""
    section, key, one, other = {
        "redis": ("redis", "maxmemory", "64mb", "72mb"),
        "api": ("api", "cache_seconds", 0, 1),
        "gateway": ("gateway", "body_limit", "10mb", "12mb"),
    }[instance]
    now = whole.settings[section].get(key, one)
    whole.configure(**{section: {key: other if now == one else one}})


def test_ctrl_c_ends_up_cleanly_and_the_next_one_completes(victim: Any, end_at: Any) -> None:
    victim.run("down", "--purge-data", "--yes")
    code, said = end_at(victim, lambda: _exists("qdrant-2")(victim), signal.SIGINT, "up", "--yes")
    assert code == 130, said
    victim.up()
    assert victim.drift() == {}
    assert victim.json("plan", "--exit-code")["changes"] == []
    victim.assert_nothing_but_the_platform()


def test_a_killed_down_is_completed_by_the_next(victim: Any, end_at: Any) -> None:
    victim.up()
    gone = lambda: not _exists("api")(victim)  # noqa: E731
    code, _said = end_at(victim, gone, signal.SIGKILL, "down", "--yes")
    assert code == -signal.SIGKILL
    victim.run("down", "--yes")
    assert victim.ours() == {"containers": [], "volumes": victim.data_volumes(), "networks": []}
    victim.up()
    victim.assert_nothing_but_the_platform()
