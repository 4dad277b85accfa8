"""One folder for each service, with all that is known about it; SERVICES is their order of dependence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.services.redis import RedisService
from ragops.services.timescaledb import TimescaleService

if TYPE_CHECKING:
    from ragops.services.contract import Service

SERVICES: tuple[Service, ...] = (TimescaleService(), RedisService())


def by_name(name: str) -> Service:
    """The service called `name` (KeyError where there is none)."""
    return {service.name: service for service in SERVICES}[name]
