"""Preparation of the running server at the end of `up`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.services.redis.backup import wait_loaded
from ragops.services.redis.scratch_client import operator_client
from ragops.services.redis.users import load

if TYPE_CHECKING:
    from ragops.services.contract import Endpoint

_LOAD_USERS_LIMIT = 10.0


def prepare(endpoint: Endpoint) -> None:
    """Wait until the server has read its data, and load the users of its file."""
    wait_loaded(endpoint)
    with operator_client(endpoint, _LOAD_USERS_LIMIT) as client:
        load(client, endpoint.options.get("users_file", ""))
