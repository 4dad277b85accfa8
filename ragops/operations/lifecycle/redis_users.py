"""Refuses users of Redis whose rules the server does not take: with such a file it would not start again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.errors import UnhealthyError, UsageError
from ragops.services.redis.scratch_client import operator_client
from ragops.services.redis.users import refusal

if TYPE_CHECKING:
    from ragops.operations.session import Session
    from ragops.services.contract import Endpoint
    from ragops.services.redis.settings import RedisSettings

_LOGIN_SECONDS = 5.0


def refuse_users(session: Session) -> None:
    """Raise UsageError (redis_user_refused) where Redis runs and does not take the rules of its users."""
    settings = session.project.settings.redis
    if settings.users and session.host.is_running("redis") and session.project.paths.endpoints.exists():
        refuse_bad_users(session.endpoint("redis"), settings)


def refuse_bad_users(endpoint: Endpoint, settings: RedisSettings) -> None:
    """Raise UsageError (redis_user_refused): a server would not start with such users. Nothing where it is down."""
    try:
        with operator_client(endpoint, _LOGIN_SECONDS) as client:
            refused = refusal(client, settings)
    except UnhealthyError:
        return
    if refused:
        hint = "change its rules in ragops.yaml: https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl"
        raise UsageError("redis_user_refused", f"cannot make {refused}", hint)
