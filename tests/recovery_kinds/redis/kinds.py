"""One data set on one server: taken, restored in place and on a server that has nothing, equal or named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis

from ragops.operations.restore.restore import RestoreRequest
from tests.backup_helpers import restore, take
from tests.recovery_kinds.redis.data_sets import DATA_SETS, NotHereError, content

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.operations.session import Platform
    from ragops.recovery.repositories import Repositories
    from ragops.services.contract import Endpoint


def opener(endpoint: Endpoint) -> Callable[[int], redis.Redis]:
    """Binary clients of the operator, by database."""
    login = endpoint.logins["operator"]

    def open_(number: int) -> redis.Redis:
        password = login.password.get_secret_value()
        return redis.Redis(
            host=endpoint.host, port=endpoint.port, username=login.user, password=password, db=number,
            socket_timeout=120, protocol=2,
        )  # fmt: skip

    return open_


def prove(name: str, endpoint: Endpoint, platform: Platform, repos: Repositories, wipe: Callable[[], None]) -> None:
    """Fill the empty server, take a recovery point, restore it over other data and onto nothing; `wipe` makes that."""
    open_ = opener(endpoint)
    open_(0).execute_command("FLUSHALL")
    open_(0).execute_command("FUNCTION", "FLUSH")
    try:
        DATA_SETS[name](open_)
    except NotHereError as error:
        pytest.skip(f"not here: {error}")
    before = content(open_)
    point = take(platform, repos)
    notes: list[Any] = [note for part in point.manifest.parts_of("redis") for note in getattr(part, "notes", ())]
    open_(0).execute_command("FLUSHALL")
    open_(0).execute_command("FUNCTION", "FLUSH")
    open_(5).set("written after", 1)
    restore(RestoreRequest(safety=False), platform, repos)
    assert content(open_) == before, "restored in place"
    wipe()
    restore(RestoreRequest(safety=False), platform, repos)
    assert content(open_) == before, "restored on a server that has nothing"
    if name == "users_made_by_hand":
        assert any("by-hand" in note for note in notes), "neither restored nor named"
        assert b"by-hand" not in open_(0).execute_command("ACL", "USERS")
