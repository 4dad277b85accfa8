"""Hooks of Redis around an update of the platform: users that it would refuse before it, their rules after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.errors import UnhealthyError, UsageError
from ragops.services.redis.backup import wait_loaded
from ragops.services.redis.scratch_client import operator_client
from ragops.services.redis.users import load, refusal

if TYPE_CHECKING:
    from ragops.services.contract import Endpoint
    from ragops.services.redis.settings import RedisSettings

_LOGIN_SECONDS = 5.0
_LOAD_USERS_LIMIT = 10.0


def refuse_bad_users(endpoint: Endpoint, settings: RedisSettings) -> None:
    """Raise UsageError (redis_user_refused) if the server refuses the rules of its users; nothing while it is down."""
    if not settings.users:
        return
    try:
        with operator_client(endpoint, _LOGIN_SECONDS) as client:
            refused = refusal(client, settings)
    except UnhealthyError:
        return
    if refused:
        hint = "change its rules in ragops.yaml: https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl"
        raise UsageError("redis_user_refused", f"cannot make {refused}", hint)


def prepare(endpoint: Endpoint) -> None:
    """Wait until the server has read its data, and load the users of its file."""
    wait_loaded(endpoint)
    with operator_client(endpoint, _LOAD_USERS_LIMIT) as client:
        load(client, endpoint.options.get("users_file", ""))
