"""One folder for each service; SERVICES lists them in order of dependence, optional ones included."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.errors import UsageError
from ragops.services.api import ApiService
from ragops.services.gateway import GatewayService
from ragops.services.observability import ObservabilityService
from ragops.services.ollama import OllamaService
from ragops.services.qdrant.service import QdrantService
from ragops.services.redis import RedisService
from ragops.services.timescaledb import TimescaleService

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ragops.services.contract import BackupEngine, Service

SERVICES: tuple[Service, ...] = (
    TimescaleService(),
    RedisService(),
    QdrantService(),
    OllamaService(),
    ApiService(),
    GatewayService(),
    ObservabilityService(),
)


def names() -> tuple[str, ...]:
    """Return the names of all services, in order of dependence."""
    return tuple(service.name for service in SERVICES)


def by_name(name: str) -> Service:
    """Return the service called `name`; KeyError if there is none."""
    return {service.name: service for service in SERVICES}[name]


def backup_engine(name: str) -> BackupEngine:
    """Return dump, verify and restore of the service called `name`; KeyError without data or without such a service."""
    engine = by_name(name).backup()
    if engine is None:
        raise KeyError(name)
    return engine


def refuse_unknown(wanted: Iterable[str]) -> None:
    """Raise UsageError (unknown_service) if one of `wanted` is no service; its hint has the nearest name, or all."""
    from difflib import get_close_matches

    known = [service.name for service in SERVICES]
    for name in wanted:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"one of: {', '.join(known)}"
            raise UsageError("unknown_service", f"there is no service {name!r}", hint)
