"""The picture of the platform: which services there are and what they are made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from ragops.services.redis.component import Redis, RedisArgs
from ragops.services.timescaledb.component import Timescale, TimescaleArgs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.config.model import Settings
    from ragops.services.contract import Runtime


def program(settings: Settings, secrets: Mapping[str, str], runtime: Runtime) -> None:
    """Declare every service and export how to reach it."""
    timescale = Timescale(TimescaleArgs(settings.timescaledb, secrets, runtime))
    redis = Redis(RedisArgs(settings.redis, secrets, runtime))

    services = (timescale, redis)
    pulumi.export("endpoints", {service.endpoint.service: service.endpoint.to_dict() for service in services})
