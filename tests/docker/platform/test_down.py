"""`down` keeps data, `down --purge-data` removes this environment's and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.engine


def test_down_keeps_every_volume_and_up_finds_the_data(whole: Any, kept: Any, token: str) -> None:
    answers = whole.answers(token)
    done = whole.json("down", "--yes")
    assert sorted(done["kept"]) == whole.data_volumes()
    assert whole.ours() == {"containers": [], "volumes": whole.data_volumes(), "networks": []}
    assert whole.run("status", code=None).code == 7
    whole.up()
    whole.settled()
    assert whole.answers(token) == answers
    whole.assert_nothing_but_the_platform()


def test_purging_removes_exactly_what_is_its_own(fresh: Any, whole: Any, kept: Any) -> None:
    """Beside it stand another platform, and a volume whose name only begins alike."""
    neighbour = f"{fresh.names.network}x-redis-data"
    fresh.up()
    fresh.docker.create_volume(neighbour, {})
    try:
        assert set(fresh.ours()["volumes"]) > {*fresh.data_volumes()}
        refused = fresh.run("down", "--purge-data", code=None)
        assert refused.code == 2, refused.err
        assert len(fresh.ours()["containers"]) == 7
        done = fresh.json("down", "--purge-data", "--yes")
        assert sorted(done["purged"]) == fresh.data_volumes()
        assert fresh.ours() == {"containers": [], "volumes": [neighbour], "networks": []}
    finally:
        fresh.docker.remove_volume(neighbour)
    whole.assert_nothing_but_the_platform()
